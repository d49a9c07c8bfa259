/* Trials: what the table cannot say (rules between fields), and the parent of a staged trial. */
#include "schemas/trial_spec.h"
#include "core/base/text.h"
#include "schemas/ood_set.h"
#include "schemas/split_groups.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const struct field rows[] = {
#define FIELD(...) FIELD_ROW(struct trial_spec, __VA_ARGS__)
#include "schemas/trial_fields.def"
#undef FIELD
};
const struct field_table trial_fields = {"trial", rows, sizeof rows / sizeof *rows};

static bool is_hex64(const char *s)
{
	return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

static bool power_of_two(int64_t n)
{
	return n > 0 && (n & (n - 1)) == 0;
}

static bool rises(const cJSON *list)
{
	for (const cJSON *x = list ? list->child : NULL; x && x->next; x = x->next)
		if (x->next->valuedouble <= x->valuedouble)
			return false;
	return true;
}

static bool is_rgb(const cJSON *list)
{
	return !list || cJSON_GetArraySize(list) == 3;
}

/* Elements that may name categories: the data set says later whether they do. */
static bool names_categories(const cJSON *list)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, list) {
		if (!cJSON_IsString(item) && !(cJSON_IsNumber(item) && item->valuedouble >= 0))
			return false;
	}
	return true;
}

static bool has_budget(const struct trial_spec *s)
{
	return s->allocate_average_bits > 0 || s->allocate_bytes > 0 ||
	       s->allocate_bit_operations > 0;
}

static bool ensembles(const struct trial_spec *s)
{
	return strcmp(s->action, "ensemble") == 0;
}

static bool quantizes(const struct trial_spec *s)
{
	return s->quant_weight_bits || s->quant_activation_bits || strcmp(s->quant_bits, "uniform");
}

/* Whether the tree may change while it trains. */
static bool splits(const struct trial_spec *s)
{
	return s->split_submodels && s->split_interval && s->train_epochs;
}

static int start_count(const struct trial_spec *s)
{
	return !!s->start_from_file + !!s->start_from_trial + !!s->start_from_change;
}

/* What must hold between fields; each rule shown at the path that most likely needs changing. */
struct rule {
	bool holds;
	const char *path, *allowed;
};

static int say_broken(const struct rule *rule, size_t count, const cJSON *filled, const char *where,
                      struct error *e)
{
	int problems = 0;

	for (size_t i = 0; i < count; i++) {
		if (rule[i].holds)
			continue;
		const cJSON *value = json_at(filled, rule[i].path);
		char *found = value ? json_print(value, false) : xstrdup("nothing");
		error_append(e, "%s%s: found %s; allowed: %s", where, rule[i].path, found,
		             rule[i].allowed);
		free(found);
		problems++;
	}
	return problems;
}

static int check_split(const struct trial_spec *s, const cJSON *filled, const char *where,
                       struct error *e)
{
	int members = trial_members(filled);
	const struct rule rules[] = {
	        {!ensembles(s) || (members >= 2 && members <= MEMBERS_MAX), "ensemble",
	         "2 to 64 members, by ensemble.members or ensemble.size"},
	        {json_all(s->ensemble_members, cJSON_IsObject), "ensemble.members",
	         "objects: merge patches"},
	        {!ensembles(s) || !start_count(s), "start_from",
	         "nothing with action ensemble: its members may have one"},
	        {!s->eval_dropout_samples || s->model_dropout > 0, "eval.dropout_samples",
	         "0 without model.dropout"},
	        {s->split_submodels != 1, "split.submodels", "0, or at least 2"},
	        {!s->split_submodels || s->split_beta < 1, "split.beta", "below 1"},
	        {!s->split_submodels || strcmp(s->split_grouping, "cluster") || start_count(s),
	         "split.grouping", "cluster only with a start_from, whose features are clustered"},
	        {!s->split_submodels || strcmp(s->split_grouping, "explicit") || s->split_groups ||
	                 s->split_file,
	         "split.groups", "lists of classes, which grouping explicit needs"},
	        {!s->split_submodels || s->distill_weight == 0, "distill.weight",
	         "0 with split.submodels"},
	        {!s->split_submodels || s->train_label_smoothing == 0, "train.label_smoothing",
	         "0 with split.submodels, which have targets of their own"},
	        {!splits(s) || !quantizes(s), "quant",
	         "nothing while the tree grows (split.interval and train.epochs): start from a "
	         "trained one, with split.interval 0"},
	};

	return say_broken(rules, sizeof rules / sizeof *rules, filled, where, e) +
	       split_groups_check(filled, where, e);
}

static int check_rules(const struct trial_spec *s, const cJSON *filled, const char *where,
                       struct error *e)
{
	const struct rule rules[] = {
	        {power_of_two(s->train_shards), "train.shards", "a power of two"},
	        {power_of_two(s->resources_ranks), "resources.ranks", "a power of two"},
	        {s->resources_ranks <= s->train_shards, "resources.ranks",
	         "at most train.shards, since every rank computes at least one shard"},
	        {json_all(s->resources_labels, cJSON_IsString), "resources.labels", "texts"},
	        {s->train_batch >= s->train_shards, "train.batch", "at least train.shards"},
	        {is_rgb(s->data_mean), "data.mean", "three numbers: red, green, blue"},
	        {is_rgb(s->data_std), "data.std", "three numbers: red, green, blue"},
	        {rises(s->train_milestones), "train.milestones", "rising epochs"},
	        {(strcmp(s->data_name, "folder") != 0 && strcmp(s->data_name, "idx") != 0) ||
	                 s->data_path,
	         "data.path",
	         "the folder or archive of images, which data set folder or idx needs"},
	        {!s->data_image_size || s->data_image_size >= 8, "data.image_size",
	         "0, or 8 to 1024"},
	        {names_categories(s->critical_categories), "critical.categories",
	         "names of categories, or their indices"},
	        {!s->critical_group || !cJSON_GetArraySize(s->critical_categories),
	         "critical.group", "either this or critical.categories"},
	        {!s->quant_fold_batch_norm || s->train_epochs == 0, "quant.fold_batch_norm",
	         "false while train.epochs is not 0, since training needs the batch norms"},
	        {!s->quant_fold_batch_norm || strcmp(s->quant_scale, "lsq") != 0,
	         "quant.fold_batch_norm",
	         "false with quant.scale lsq, whose steps are those of the weights as trained"},
	        {start_count(s) <= 1, "start_from", "exactly one of file, trial, change"},
	        {!s->start_from_trial || is_hex64(s->start_from_trial), "start_from.trial",
	         "a trial's identity, 64 hex digits (trawl show prints it)"},
	        {!s->start_from_digest || is_hex64(s->start_from_digest), "start_from.digest",
	         "a SHA-256, 64 hex digits"},
	        {strcmp(s->action, "allocate") != 0 || has_budget(s), "allocate",
	         "a budget: average_bits, bytes or bit_operations"},
	        {strcmp(s->action, "allocate") != 0 ||
	                 strcmp(s->allocate_scheme, "fisher_critical") || s->critical_group ||
	                 cJSON_GetArraySize(s->critical_categories),
	         "allocate.scheme", "fisher_critical only with critical categories"},
	        {strcmp(s->action, "allocate") != 0 || !strcmp(s->quant_bits, "uniform"),
	         "quant.bits", "uniform, since action allocate chooses them"},
	        {rises(s->allocate_candidates), "allocate.candidates", "rising bit-widths"},
	        {s->landscape_points % 2 == 1, "landscape.points", "an odd number"},
	        {!s->landscape_plane_points || s->landscape_plane_points % 2 == 1,
	         "landscape.plane_points", "an odd number, or 0"},
	        {strcmp(s->quant_bits, "input") != 0 || start_count(s), "quant.bits",
	         "input only with a start_from that names bits"},
	        {s->distill_weight == 0 || start_count(s), "distill.weight",
	         "0 without start_from, whose weights the teacher has"},
	        {!s->start_from_digest || s->start_from_file, "start_from.digest",
	         "only beside start_from.file"},
	};

	return say_broken(rules, sizeof rules / sizeof *rules, filled, where, e) +
	       check_split(s, filled, where, e);
}

int trial_check_values(const cJSON *trial, const char *where, struct error *e)
{
	int problems = fields_check(&trial_fields, trial, where, e);
	char *sets = xformat("%sood.sets", where);
	problems += ood_sets_check(json_at(trial, "ood.sets"), sets, e);
	free(sets);
	const cJSON *change = json_at(trial, "start_from.change"), *patch;
	int i = 0;

	cJSON_ArrayForEach (patch, json_at(trial, "ensemble.members")) {
		char *inner = xformat("%sensemble.members[%d].", where, i++);
		problems += cJSON_IsObject(patch) ? trial_check_values(patch, inner, e) : 0;
		free(inner);
	}
	if (!cJSON_IsObject(change))
		return problems;
	char *inner = xformat("%sstart_from.change.", where);
	problems += trial_check_values(change, inner, e);
	free(inner);
	return problems;
}

static void load(const cJSON *filled, struct trial_spec *spec)
{
	fields_load(&trial_fields, filled, spec);
	spec->train_epochs = trial_epochs(filled);
}

/* Where the problems of what comes first are said to be. */
struct checking {
	const char *where;
	struct error *e;
	int problems;
};

static int check_input(void *self, const char *role, const cJSON *input)
{
	struct checking *c = self;
	bool parent = strcmp(role, "start_from") == 0;
	char *inner = parent ? xformat("%sstart_from.change: so patched, ", c->where)
	                     : xformat("%sensemble.members[%s]: so patched, ", c->where,
	                               role + strlen("member"));

	if (!trial_leaves_weights(input)) {
		error_append(c->e,
		             "%saction: found \"ensemble\"; allowed: any other, since an "
		             "ensemble leaves no weights",
		             inner);
		c->problems++;
	} else {
		c->problems += trial_check_whole(input, inner, c->e);
	}
	free(inner);
	return 0;
}

int trial_check_whole(const cJSON *trial, const char *where, struct error *e)
{
	struct trial_spec spec = {0};
	int problems = fields_check_missing(&trial_fields, trial, where, e);

	if (problems)
		return problems;
	cJSON *copy = trial_filled(trial);
	const cJSON *filled = copy ? copy : trial;
	load(filled, &spec);
	problems = check_rules(&spec, filled, where, e);
	trial_spec_release(&spec);
	struct checking c = {where, e, 0};
	if (!problems)
		trial_each_input(filled, check_input, &c);
	cJSON_Delete(copy);
	return problems + c.problems;
}

int trial_check(const cJSON *trial, const char *where, struct error *e)
{
	int problems = trial_check_values(trial, where, e);

	return problems ? problems : trial_check_whole(trial, where, e);
}

cJSON *trial_value(const struct field *field, const cJSON *assignment, const cJSON *trial)
{
	const cJSON *own = cJSON_GetObjectItemCaseSensitive(assignment, field->path);
	const cJSON *value = own ? own : json_at(trial, field->path);

	return value && !cJSON_IsNull(value) ? cJSON_Duplicate(value, true) : field_default(field);
}

bool trial_trains(const cJSON *filled)
{
	return strcmp(json_at(filled, "action")->valuestring, "train") == 0;
}

bool trial_leaves_weights(const cJSON *filled)
{
	return strcmp(json_text(filled, "action", "train"), "ensemble") != 0;
}

int64_t trial_epochs(const cJSON *filled)
{
	return trial_trains(filled) ? (int64_t)json_at(filled, "train.epochs")->valuedouble : 0;
}

/* 32 bits are full precision. */
static const char *const widths[] = {"quant.weight_bits", "quant.activation_bits"};

void trial_fill(cJSON *trial)
{
	fields_fill(&trial_fields, trial);
	for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
		if (json_at(trial, widths[i])->valuedouble == 32)
			json_put(trial, widths[i], cJSON_CreateNumber(0));
}

cJSON *trial_filled(const cJSON *trial)
{
	bool filled = fields_filled(&trial_fields, trial);

	for (size_t i = 0; i < sizeof widths / sizeof *widths && filled; i++)
		filled = json_at(trial, widths[i])->valuedouble != 32;
	if (filled)
		return NULL;
	cJSON *copy = cJSON_Duplicate(trial, true);
	trial_fill(copy);
	return copy;
}

int trial_spec_parse(const cJSON *trial, struct trial_spec *spec, struct error *e)
{
	struct error problems = {{0}};

	*spec = (struct trial_spec){0};
	if (trial_check(trial, "", &problems))
		return error_set(e, "%s", problems.text);
	cJSON *filled = cJSON_Duplicate(trial, true);
	trial_fill(filled);
	load(filled, spec);
	cJSON_Delete(filled);
	return 0;
}

void trial_spec_release(struct trial_spec *spec)
{
	fields_release(&trial_fields, spec);
}

/* Whether the trial's data set is another after the patch: then what was known of it is not. */
static bool changes_data(const cJSON *patch)
{
	return json_at(patch, "data.name") || json_at(patch, "data.path") ||
	       cJSON_IsNull(json_at(patch, "data"));
}

/* The trial, which is taken, so patched; filled. */
static cJSON *patched(cJSON *trial, const cJSON *patch)
{
	if (changes_data(patch))
		json_put(trial, "data.digest", NULL);
	trial = json_merge_patch(trial, patch);
	trial_fill(trial);
	return trial;
}

cJSON *trial_parent(const cJSON *trial)
{
	const cJSON *change = json_at(trial, "start_from.change");

	if (!cJSON_IsObject(change))
		return NULL;
	cJSON *parent = cJSON_Duplicate(trial, true);
	json_put(parent, "start_from", NULL);
	return patched(parent, change);
}

int trial_members(const cJSON *trial)
{
	int listed = cJSON_GetArraySize(json_at(trial, "ensemble.members"));

	if (strcmp(json_text(trial, "action", "train"), "ensemble") != 0)
		return 0;
	return listed ? listed : (int)json_int(json_at(trial, "ensemble"), "size", 0);
}

void trial_list_members(cJSON *trial)
{
	int count = trial_members(trial);
	int64_t seed = json_int(json_at(trial, "train"), "seed", 0);
	cJSON *list;

	if (!count || cJSON_GetArraySize(json_at(trial, "ensemble.members")))
		return;
	list = cJSON_CreateArray();
	for (int i = 0; i < count; i++) {
		cJSON *patch = cJSON_CreateObject();
		json_put(patch, "train.seed", cJSON_CreateNumber((double)(seed + i)));
		cJSON_AddItemToArray(list, patch);
	}
	json_put(trial, "ensemble.members", list);
}

cJSON *trial_member(const cJSON *trial, int member)
{
	cJSON *copy = cJSON_Duplicate(trial, true);

	trial_list_members(copy);
	cJSON *patch = cJSON_Duplicate(
	        cJSON_GetArrayItem(json_at(copy, "ensemble.members"), member), true);
	json_put(copy, "start_from", NULL);
	json_put(copy, "ensemble", NULL);
	json_put(copy, "action", cJSON_CreateString("train"));
	copy = patched(copy, patch);
	cJSON_Delete(patch);
	return copy;
}

int trial_each_input(const cJSON *trial, input_fn *each, void *self)
{
	cJSON *parent = trial_parent(trial);
	int status = parent ? each(self, "start_from", parent) : 0;

	cJSON_Delete(parent);
	for (int i = 0, count = trial_members(trial); i < count && !status; i++) {
		char *role = xformat("member%d", i);
		cJSON *member = trial_member(trial, i);
		status = each(self, role, member);
		cJSON_Delete(member);
		free(role);
	}
	return status;
}
