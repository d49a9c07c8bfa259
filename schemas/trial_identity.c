/* The identity of a trial: the digest of what decides its result, and of nothing else. */
#include "schemas/trial_spec.h"
#include <stdlib.h>
#include <string.h>

static bool is_text(const cJSON *filled, const char *path, const char *text)
{
	return strcmp(json_at(filled, path)->valuestring, text) == 0;
}

static bool quantizes(const cJSON *filled)
{
	return json_at(filled, "quant.weight_bits")->valuedouble != 0 ||
	       json_at(filled, "quant.activation_bits")->valuedouble != 0 ||
	       cJSON_IsTrue(json_at(filled, "quant.fold_batch_norm")) ||
	       is_text(filled, "quant.bits", "input") || is_text(filled, "action", "allocate");
}

/* All else of an ensemble is its members'. */
static bool is_of_evaluation(const char *path)
{
	static const char *const kept[] = {
	        "action",   "task",      "data.name",       "data.digest",  "data.mean",
	        "data.std", "data.seed", "data.test_limit", "data.classes", "data.image_size",
	        "eval.",    "ood.",      "critical."};

	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		if (strncmp(path, kept[i], strlen(kept[i])) == 0)
			return true;
	return false;
}

/* What kind of trial it is, as far as that says which fields count. */
struct nature {
	bool ensemble, quantizes, splits, trains;
};

static struct nature nature_of(const cJSON *filled)
{
	return (struct nature){
	        .ensemble = is_text(filled, "action", "ensemble"),
	        .quantizes = quantizes(filled),
	        .splits = json_at(filled, "split.submodels")->valuedouble != 0,
	        .trains = trial_trains(filled),
	};
}

/* At full precision it does not matter how a model would be quantized, nor of one network how it
 * would be split, nor how long one would be trained, and how often
 * evaluated, that is not. */
static bool matters(const struct field *field, const struct nature *n)
{
	if (n->ensemble && !is_of_evaluation(field->path))
		return false;
	if (strncmp(field->path, "quant.", 6) == 0 && !n->quantizes)
		return false;
	if ((strncmp(field->path, "split.", 6) == 0 || strncmp(field->path, "prune.", 6) == 0) &&
	    !n->splits)
		return false;
	if ((strcmp(field->path, "train.epochs") == 0 || strcmp(field->path, "eval.every") == 0) &&
	    !n->trains)
		return false;
	return field->flags & IDENTITY;
}

/* Where the bytes of a set lie does not matter once it is known which they are. */
static void forget_paths(cJSON *sets)
{
	cJSON *item;

	cJSON_ArrayForEach (item, sets)
		if (json_text(item, "digest", NULL))
			cJSON_DeleteItemFromObjectCaseSensitive(item, "path");
}

/* "start_from.trial": its identity; "ensemble.members": theirs, in their order. */
static int add_input(void *self, const char *role, const cJSON *input)
{
	cJSON *form = self, *members = cJSON_GetObjectItemCaseSensitive(form, "ensemble.members");
	char hex[SHA256_HEX];

	trial_identity(input, hex);
	if (strcmp(role, "start_from") == 0) {
		cJSON_AddStringToObject(form, "start_from.trial", hex);
		return 0;
	}
	if (!members)
		members = cJSON_AddArrayToObject(form, "ensemble.members");
	cJSON_AddItemToArray(members, cJSON_CreateString(hex));
	return 0;
}

cJSON *trial_identity_form(const cJSON *trial)
{
	cJSON *copy = trial_filled(trial), *form = cJSON_CreateObject();
	const cJSON *filled = copy ? copy : trial;
	struct field_place place = {.begun = false};
	const struct nature nature = nature_of(filled);

	for (size_t i = 0; i < trial_fields.count; i++) {
		const struct field *field = trial_fields.rows + i;
		const cJSON *value = field_value(&place, filled, field->path);
		if (value && matters(field, &nature) && !field_is_default(field, value))
			cJSON_AddItemToObjectCS(form, field->path, cJSON_Duplicate(value, true));
	}
	forget_paths(cJSON_GetObjectItemCaseSensitive(form, "ood.sets"));
	trial_each_input(filled, add_input, form);
	cJSON_AddNumberToObject(form, "semantics", TRIAL_SEMANTICS);
	cJSON_Delete(copy);
	return form;
}

void trial_identity(const cJSON *trial, char hex[SHA256_HEX])
{
	cJSON *form = trial_identity_form(trial);
	char *text = json_canonical(form);

	sha256_hex(text, strlen(text), hex);
	free(text);
	cJSON_Delete(form);
}
