/* What a Split-Ensemble begins with: groups of classes, and the tree that its file brings. */
#include "core/train/grouping.h"
#include "core/base/text.h"
#include "core/models/split_record.h"
#include "core/tensor/safetensors.h"
#include "core/train/checkpoint.h"
#include "core/train/start.h"
#include "schemas/split_groups.h"
#include <stdlib.h>
#include <string.h>

/* ---- features to cluster ---- */

/* Adds the features of samples first … first + n - 1 to the sums of their classes, after which
 * images counts them: sum (classes, features + 1). */
static void add_features(const struct trainer *t, const struct model *m, int64_t first, int64_t n,
                         int64_t features, double *sum)
{
	struct tensor *images, *labels;
	struct tape tape;
	struct forward f;

	trainer_read(t, t->seen, first, n, &images, &labels);
	tape_init(&tape, &backend_onednn);
	tape.recording = false;
	model_begin(&f, &tape, m, FORWARD_EVALUATION, NULL);
	const float *x = tensor_f32(model_features(m, &f, tape_leaf(&tape, images)));
	for (int64_t i = 0; i < n; i++, x += features) {
		double *row = sum + tensor_i32(labels)[i] * (features + 1);
		for (int64_t k = 0; k < features; k++)
			row[k] += (double)x[k];
		row[features]++;
	}
	forward_release(&f);
	tape_release(&tape);
	tensor_free(images);
	tensor_free(labels);
}

/* Means over the images of each class (classes, features); the caller's.  Ranks take batches in
 * turn, so that the sums do not depend on them. */
static double *class_means(const struct trainer *t, const struct model *m, int64_t features)
{
	int64_t count = t->seen->count < GROUPING_IMAGES ? t->seen->count : GROUPING_IMAGES;
	int64_t size = t->spec->eval_batch, ranks = t->parallel.ranks;
	int64_t classes = m->config.classes, all = classes * (features + 1);
	double *sum = xcalloc((size_t)all, sizeof *sum);

	for (int64_t first = 0; first < count; first += size * ranks) {
		double *mine = xcalloc((size_t)all, sizeof *mine);
		int64_t at = first + t->parallel.rank * size, left = count - at;
		if (left > 0)
			add_features(t, m, at, left < size ? left : size, features, mine);
		parallel_add_in_turn(&t->parallel, sum, mine, all);
		free(mine);
	}
	double *mean = xcalloc((size_t)(classes * features), sizeof *mean);
	for (int64_t c = 0; c < classes; c++)
		for (int64_t k = 0; k < features; k++)
			mean[c * features + k] =
			        sum[c * (features + 1) + k] / sum[c * (features + 1) + features];
	free(sum);
	return mean;
}

static struct model *load_one_network(const struct trainer *t, const struct model_config *c,
                                      const char *path, struct error *e)
{
	struct model_config one = *c;

	one.subtasks = NULL;
	one.tree = NULL;
	struct model *m = model_new(&one, F32);
	if (!checkpoint_load_model(t, m, path, e))
		return m;
	model_free(m);
	return NULL;
}

static int cluster(struct trainer *t, const struct model_config *c, const char *path,
                   struct error *e)
{
	struct model *m = load_one_network(t, c, path, e);
	struct backbone b;

	if (!m)
		return -1;
	backbone_init(&b, c);
	double *mean = class_means(t, m, b.features);
	int status = subtasks_cluster(&t->subtasks, mean, c->classes, b.features,
	                              (int)t->spec->split_submodels, t->spec->split_seed, e);
	free(mean);
	backbone_release(&b);
	model_free(m);
	return status;
}

/* ---- groups ---- */
static int group_superclasses(struct trainer *t, const cJSON *lists, struct error *e)
{
	const char *const *own = t->test->group_name;
	const char **named = NULL;
	int status = 0;

	if (lists) {
		cJSON *object = split_groups_named(lists);
		named = superclasses_of_json(object, t->test, e);
		status = named ? subtasks_from_superclasses(&t->subtasks, named,
		                                            (int)t->spec->split_submodels, t->test,
		                                            e)
		               : -1;
		free(named);
		cJSON_Delete(object);
		return status;
	}
	return subtasks_from_superclasses(&t->subtasks, own, (int)t->spec->split_submodels, t->test,
	                                  e);
}

static int group_explicitly(struct trainer *t, const cJSON *lists, struct error *e)
{
	int wanted = (int)t->spec->split_submodels;

	if (subtasks_from_lists(&t->subtasks, lists, CLASSES_LEAST, t->test, e))
		return -1;
	if (t->subtasks.count == wanted)
		return 0;
	return error_set(e, "%d groups, but split.submodels is %d", t->subtasks.count, wanted);
}

/* The lists that the trial gives; null: none.  *file is what was read for them, the caller's. */
static int find_lists(const struct trainer *t, cJSON **file, const cJSON **lists, struct error *e)
{
	const struct trial_spec *s = t->spec;

	*file = NULL;
	if (!s->split_groups && s->split_file && !(*file = split_groups_read(s->split_file, e)))
		return error_prefix(e, "split.file");
	*lists = *file ? *file : s->split_groups;
	return 0;
}

static int group(struct trainer *t, const struct model_config *c, const char *path, struct error *e)
{
	const struct trial_spec *s = t->spec;
	const cJSON *lists;
	cJSON *file;
	int status;

	if (find_lists(t, &file, &lists, e))
		return -1;
	if (!strcmp(s->split_grouping, "explicit"))
		status = group_explicitly(t, lists, e);
	else if (!strcmp(s->split_grouping, "superclass"))
		status = group_superclasses(t, lists, e);
	else if (!strcmp(s->split_grouping, "cluster"))
		status = cluster(t, c, path, e);
	else
		status = subtasks_random(&t->subtasks, c->classes, (int)s->split_submodels,
		                         s->split_seed, e);
	cJSON_Delete(file);
	return status ? error_prefix(e, file || lists ? "split.groups" : "split.grouping") : 0;
}

/* ---- what a file brings ---- */

/* Rank 0's part: metadata of the file, in one text; null: it has none. */
static int read_metadata(const char *path, char **split, char **growth, struct error *e)
{
	struct safetensors *f = safetensors_open(path, e);

	if (!f)
		return -1;
	const char *of_split = safetensors_metadata(f, "split");
	const char *of_growth = safetensors_metadata(f, "growth");
	*split = of_split ? xstrdup(of_split) : NULL;
	*growth = of_growth ? xstrdup(of_growth) : NULL;
	safetensors_close(f);
	return 0;
}

static void broadcast_text(const struct parallel *p, char **text)
{
	int64_t bytes = *text ? (int64_t)strlen(*text) + 1 : 0;

	parallel_broadcast(p, &bytes, sizeof bytes);
	if (bytes && !*text)
		*text = xmalloc((size_t)bytes);
	if (bytes)
		parallel_broadcast(p, *text, (size_t)bytes);
}

static int bring(struct trainer *t, const struct model_config *c, const char *path,
                 struct tree **tree, struct error *e)
{
	char *split = NULL, *growth = NULL;
	int status = t->parallel.rank == 0 ? read_metadata(path, &split, &growth, e) : 0;

	status = parallel_outcome(&t->parallel, status, e);
	broadcast_text(&t->parallel, &split);
	broadcast_text(&t->parallel, &growth);
	if (!status && split)
		status = split_record_parse(split, c, t->test, &t->subtasks, tree, e);
	if (!status && split) {
		t->growth.brought = true;
		growth_read(&t->growth, growth ? growth : "{}");
	}
	free(split);
	free(growth);
	if (!status && split && t->subtasks.count != (int)t->spec->split_submodels)
		status = error_set(e, "it has %d submodels, but split.submodels is %d",
		                   t->subtasks.count, (int)t->spec->split_submodels);
	return status ? error_prefix(e, "%s", path) : 0;
}

static bool same_groups(const struct subtasks *a, const struct subtasks *b)
{
	return a->count == b->count && a->classes == b->classes &&
	       !memcmp(a->group, b->group, (size_t)a->classes * sizeof *a->group);
}

/* Submodels are numbered by their groups: those that the trial lists have to be the file's. */
static int check_brought(const struct trainer *t, const char *path, struct error *e)
{
	struct subtasks own = {0};
	const cJSON *lists;
	cJSON *file;

	if (strcmp(t->spec->split_grouping, "explicit"))
		return 0;
	if (find_lists(t, &file, &lists, e))
		return -1;
	int status = subtasks_from_lists(&own, lists, CLASSES_LEAST, t->test, e);
	if (status)
		error_prefix(e, "split.groups");
	else if (!same_groups(&own, &t->subtasks))
		status = error_set(e, "%s: it has other groups than split.groups", path);
	subtasks_release(&own);
	cJSON_Delete(file);
	return status;
}

enum outcome grouping_begin(struct trainer *t, const struct model_config *c, struct tree **tree,
                            struct error *e)
{
	const char *path = t->files.resume;
	enum outcome found = path ? OUTCOME_DONE : start_find(t, &path, e);

	*tree = NULL;
	if (c->classes != t->test->classes) {
		error_set(e, "data.classes must be those of the data set with split.submodels");
		return OUTCOME_ERROR;
	}
	if (found != OUTCOME_DONE)
		return found;
	if (path && bring(t, c, path, tree, e))
		return t->files.resume ? OUTCOME_CHECKPOINT_BAD : OUTCOME_ERROR;
	if (t->growth.brought && !t->files.resume && check_brought(t, path, e)) {
		tree_free(*tree);
		*tree = NULL;
		return OUTCOME_ERROR;
	}
	if (t->files.resume && !t->growth.brought) {
		error_set(e, "cannot resume from %s: it names no tree", path);
		return OUTCOME_CHECKPOINT_BAD;
	}
	if (!t->files.resume) { /* what another trial did is not this one's */
		bool brought = t->growth.brought;
		growth_release(&t->growth);
		t->growth.brought = brought;
	}
	return t->growth.brought || !group(t, c, path, e) ? OUTCOME_DONE : OUTCOME_ERROR;
}

int grouping_load_trunk(struct trainer *t, const char *path, struct error *e)
{
	struct model *one = load_one_network(t, &t->model->config, path, e);

	if (!one)
		return -1;
	for (int i = 0; i < model_items(one); i++) {
		struct parameter *from = model_item(one, i);
		for (int k = 0; k < model_items(t->model); k++) {
			struct parameter *to = model_item(t->model, k);
			if (strcmp(from->name, to->name))
				continue;
			tensor_free(to->value);
			to->value = tensor_copy(from->value);
		}
	}
	model_free(one);
	return 0;
}
