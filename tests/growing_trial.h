/* A trial whose tree grows, run in this process, so that planted bugs are seen. */
#ifndef TESTS_GROWING_TRIAL_H
#define TESTS_GROWING_TRIAL_H
#include "core/train/action.h"
#include "core/train/loop.h"
#include "schemas/trial_spec.h"
#include "tests/trial_run.h"
#include <math.h>

/* Batches of a look, more of split, prune.flops. */
#define GROWING                                                                              \
	"{\"data\": {\"name\": \"shapes\", \"limit\": 64, \"test_limit\": 24}, \"eval\": "   \
	"{\"batch\": 16}, \"model\": {\"name\": \"resnet20\", \"width\": 4}, \"split\": "    \
	"{\"submodels\": 3, \"interval\": 1, \"until\": 1, \"batches\": %d, \"threshold\": " \
	"0.62%s}, \"prune\": {\"multiple\": 1, \"flops\": %s}, \"train\": {\"epochs\": 3, "  \
	"\"batch\": 32, \"shards\": 2, \"ema_decay\": 0.9, \"seed\": 4}}"

/* A run in this process, that is told to yield at the n-th time that it asks. */
struct told {
	int asked, yield_at; /* 0: never */
	const char *input;   /* weights to start from; null: none */
	char checkpoint[PATH_MAX];
};

static inline enum order on_order(void *self)
{
	struct told *t = self;

	return ++t->asked == t->yield_at ? ORDER_YIELD : ORDER_GO;
}

static inline void on_checkpoint(void *self, const struct written *file, const struct position *p,
                                 const struct result *r)
{
	snprintf(((struct told *)self)->checkpoint, PATH_MAX, "%s", file->path);
}

/* What is kept of a trial: its cost relative to one network's, and how it grew. */
struct grown {
	double cost;
	struct growth growth; /* t's own, with what it points to */
};

static inline void keep(struct grown *g, struct trainer *t)
{
	g->cost = json_real(t->result.figures, "relative_flops", NAN);
	g->growth = t->growth;
	growth_init(&t->growth);
}

static inline enum outcome run_keeping(const char *trial, const char *folder, const char *resume,
                                       struct told *told, struct grown *grown, struct error *e)
{
	struct observer o = {.self = told, .order = on_order, .checkpoint = on_checkpoint};
	struct trial_files files = {.folder = below(folder),
	                            .cache = below("cache"),
	                            .resume = resume,
	                            .input = told->input};
	struct parallel p = {.ranks = 1, .shards = 1, .count = 1};
	cJSON *json = json_read(below(trial), e);
	struct trial_spec spec;
	struct trainer t;

	assert_non_null(json);
	if (trial_spec_parse(json, &spec, e))
		fail_msg("%s", e->text);
	enum outcome outcome = action_run(&t, json, &spec, &files, &o, &p, e);
	if (grown)
		keep(grown, &t);
	trainer_release(&t);
	trial_spec_release(&spec);
	cJSON_Delete(json);
	return outcome;
}

static inline enum outcome run(const char *trial, const char *folder, const char *resume,
                               struct told *told, struct error *e)
{
	return run_keeping(trial, folder, resume, told, NULL, e);
}
#endif
