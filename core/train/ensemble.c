/* Ensembles: several trained members that say one thing together. */
#include "core/train/ensemble.h"
#include "core/base/text.h"
#include "core/train/loop.h"
#include <stdlib.h>
#include <string.h>

/* A member is a trial of zero epochs that starts from its weights. */
struct member {
	struct trial_spec spec;
	struct trainer trainer;
	cJSON *trial;
};

/* A member is shown the ensemble's images: they must be what it was made for. */
static int check_images(const struct trainer *t, const struct trainer *member, struct error *e)
{
	const struct dataset *ours = t->test, *its = member->test;
	int classes = member->model->config.classes;

	if (classes != t->model->config.classes || its->classes != ours->classes)
		return error_set(e, "it has %d classes, not %d", classes, t->model->config.classes);
	if (strcmp(its->name, ours->name))
		return error_set(e, "its data set is %s, not %s", its->name, ours->name);
	for (int k = 0; k < ours->classes; k++)
		if (strcmp(its->class_name[k], ours->class_name[k]))
			return error_set(e, "its class %d is %s, not %s", k, its->class_name[k],
			                 ours->class_name[k]);
	if (its->height != ours->height || its->width != ours->width)
		return error_set(e, "its images are of %d by %d pixels, not %d by %d", its->height,
		                 its->width, ours->height, ours->width);
	if (memcmp(member->plain.mean, t->plain.mean, sizeof t->plain.mean) ||
	    memcmp(member->plain.std, t->plain.std, sizeof t->plain.std))
		return error_set(e, "its images are normalised in another way: data.mean and "
		                    "data.std must be the ensemble's");
	return 0;
}

static enum outcome load_member(struct trainer *t, int i, struct member *m, struct error *e)
{
	struct trial_files files = {.folder = t->files.folder,
	                            .input = t->files.member[i],
	                            .data = t->files.data,
	                            .cache = t->files.cache};
	const struct observer nobody = {0};

	if (!files.input) {
		error_set(e,
		          "give its weights with --input member%d=FILE, or let `trawl run` "
		          "train the members first",
		          i);
		return OUTCOME_ERROR;
	}
	m->trial = trial_member(t->trial, i);
	if (trial_spec_parse(m->trial, &m->spec, e))
		return OUTCOME_ERROR;
	m->spec.train_epochs = 0;
	if (m->spec.quant_activation_bits) {
		error_set(e, "layers' inputs are quantized: such members cannot be joined");
		return OUTCOME_ERROR;
	}
	enum outcome outcome =
	        trainer_init(&m->trainer, m->trial, &m->spec, &files, &nobody, &t->parallel, e);
	if (outcome != OUTCOME_DONE)
		return outcome;
	return check_images(t, &m->trainer, e) ? OUTCOME_ERROR : OUTCOME_DONE;
}

enum outcome ensemble_run(struct trainer *t, struct error *e)
{
	int count = trial_members(t->trial);

	t->member = xcalloc((size_t)count, sizeof *t->member);
	for (int i = 0; i < count; i++) {
		struct member *m = xcalloc(1, sizeof *m);
		t->member[t->members++] = m;
		enum outcome outcome = load_member(t, i, m, e);
		if (outcome != OUTCOME_DONE) {
			error_prefix(e, "member %d", i);
			return outcome;
		}
	}
	return train_run(t, e);
}

const struct trainer *ensemble_member(const struct trainer *t, int i)
{
	return &t->member[i]->trainer;
}

double ensemble_sum(const struct trainer *t, double of(const struct trainer *t))
{
	double sum = t->members ? 0 : of(t);

	for (int i = 0; i < t->members; i++)
		sum += of(ensemble_member(t, i));
	return sum;
}

void ensemble_release(struct trainer *t)
{
	for (int i = 0; i < t->members; i++) {
		trainer_release(&t->member[i]->trainer);
		trial_spec_release(&t->member[i]->spec);
		cJSON_Delete(t->member[i]->trial);
		free(t->member[i]);
	}
	free(t->member);
	t->members = 0;
}
