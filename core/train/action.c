/* What a trial does, by the name of its action: one row each. */
#include "core/train/action.h"
#include "core/train/allocate.h"
#include "core/train/ensemble.h"
#include "core/train/landscape.h"
#include "core/train/loop.h"
#include "core/train/measure.h"
#include <string.h>

const struct action actions[] = {
        {"train", "trains and evaluates; zero epochs evaluate only", train_run},
        {"fisher", "measures Fisher information per layer, and evaluates", measure_run},
        {"allocate", "chooses a bit-width for each layer within a budget, and evaluates",
         allocate_run},
        {"ensemble", "evaluates the mean of what its members say", ensemble_run},
        {"landscape", "maps the loss around the weights, and evaluates", landscape_run},
};
const int action_count = sizeof actions / sizeof *actions;

enum outcome action_run(struct trainer *t, const cJSON *trial, const struct trial_spec *spec,
                        const struct trial_files *files, const struct observer *observer,
                        const struct parallel *p, struct error *e)
{
	enum outcome outcome = trainer_init(t, trial, spec, files, observer, p, e);

	if (outcome != OUTCOME_DONE)
		return outcome;
	if (!spec->train_epochs)
		t->result.rows = 0; /* a checkpoint may have kept some: they are made again */
	for (int i = 0; i < action_count; i++)
		if (!strcmp(actions[i].name, spec->action))
			return actions[i].run(t, e);
	error_set(e, "action: %s is not known to this program", spec->action);
	return OUTCOME_ERROR;
}
