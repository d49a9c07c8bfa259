/* What a trial does, by the name of its action: one row each. */
#ifndef TRAIN_ACTION_H
#define TRAIN_ACTION_H
#include "core/train/trainer.h"

struct action {
	const char *name, *help;
	enum outcome (*run)(struct trainer *t, struct error *e); /* after trainer_init */
};
extern const struct action actions[];
extern const int action_count;

/* The whole of a trial: trainer_init, then its action.  All ranks together; release t with
 * trainer_release however it ends.  e has the reason of every outcome but DONE. */
enum outcome action_run(struct trainer *t, const cJSON *trial, const struct trial_spec *spec,
                        const struct trial_files *files, const struct observer *observer,
                        const struct parallel *p, struct error *e);
#endif
