/* By hand, what a trial needs is trained first, as the coordinator would have it done. */
#include "worker/parent.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/tensor/safetensors.h"
#include "core/train/action.h"
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether the file is of this very trial. */
static bool is_of(const char *path, const cJSON *trial)
{
	struct error unheard = {0};
	struct safetensors *f = file_exists(path) ? safetensors_open(path, &unheard) : NULL;
	const char *found = f ? safetensors_metadata(f, "identity") : NULL;
	char identity[SHA256_HEX];

	trial_identity(trial, identity);
	bool same = found && !strcmp(found, identity);
	if (f)
		safetensors_close(f);
	return same;
}

/* The last checkpoint of this trial in the folder, into path, or "". */
static void last_checkpoint(const char *folder, const cJSON *trial, char path[PATH_MAX])
{
	char *pattern = path_join(folder, "checkpoint-*.safetensors");
	glob_t g;

	path[0] = 0;
	if (glob(pattern, 0, NULL, &g) == 0) {
		const char *last = g.gl_pathv[g.gl_pathc - 1]; /* names sort by step */
		if (is_of(last, trial))
			snprintf(path, PATH_MAX, "%s", last);
		globfree(&g);
	}
	free(pattern);
}

static enum outcome train(const cJSON *trial, struct trial_files *files,
                          const struct observer *observer, const struct parallel *p,
                          struct error *e)
{
	struct trial_spec spec;
	struct trainer t = {0};
	char *input = NULL, resume[PATH_MAX] = "";
	enum outcome outcome = trial_spec_parse(trial, &spec, e) ? OUTCOME_ERROR : OUTCOME_DONE;

	if (p->rank == 0)
		last_checkpoint(files->folder, trial, resume);
	parallel_broadcast(p, resume, sizeof resume);
	files->resume = resume[0] ? resume : NULL;
	if (outcome == OUTCOME_DONE && spec.start_from_change && !files->resume)
		outcome = parent_train(trial, files, observer, p, &input, e);
	files->input = input;
	if (outcome == OUTCOME_DONE) {
		if (p->rank == 0)
			printf("first: %s, %lld epochs, in %s\n", spec.model_name,
			       (long long)spec.train_epochs, files->folder);
		outcome = action_run(&t, trial, &spec, files, observer, p, e);
		trainer_release(&t);
	}
	trial_spec_release(&spec);
	free(input);
	return outcome;
}

/* What comes first: in its folder, unless its weights are there already. */
static enum outcome train_first(const cJSON *trial, const char *name,
                                const struct trial_files *files, const struct observer *observer,
                                const struct parallel *p, char **weights, struct error *e)
{
	char *folder = path_join(files->folder, name);
	struct trial_files own = {.folder = folder, .data = files->data, .cache = files->cache};
	enum outcome outcome = OUTCOME_DONE;

	*weights = path_join(folder, "weights.safetensors");
	if (!parallel_agree(p, p->rank == 0 && is_of(*weights, trial)))
		outcome = train(trial, &own, observer, p, e);
	free(folder);
	return outcome;
}

enum outcome parent_train(const cJSON *trial, const struct trial_files *files,
                          const struct observer *observer, const struct parallel *p, char **weights,
                          struct error *e)
{
	cJSON *parent = trial_parent(trial);
	enum outcome outcome = OUTCOME_ERROR;

	if (parent)
		outcome = train_first(parent, "parent", files, observer, p, weights, e);
	if (outcome != OUTCOME_DONE)
		error_prefix(e, "start_from.change");
	cJSON_Delete(parent);
	return outcome;
}

enum outcome members_train(const cJSON *trial, const struct trial_files *files,
                           const struct observer *observer, const struct parallel *p,
                           char *weights[MEMBERS_MAX], struct error *e)
{
	enum outcome outcome = OUTCOME_DONE;

	for (int i = 0, n = trial_members(trial); i < n && outcome == OUTCOME_DONE; i++) {
		cJSON *member = trial_member(trial, i);
		char *name = xformat("member%d", i);
		outcome = train_first(member, name, files, observer, p, &weights[i], e);
		if (outcome != OUTCOME_DONE)
			error_prefix(e, "ensemble.members[%d]", i);
		cJSON_Delete(member);
		free(name);
	}
	return outcome;
}
