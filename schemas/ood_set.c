/* A set of images from outside of the distribution, as ood.sets lists it. */
#include "schemas/ood_set.h"
#include <stdlib.h>
#include <string.h>

static const char *const known[] = {"uniform",  "gaussian",      "shapes", "cifar10",
                                    "cifar100", "tiny_imagenet", "idx",    "folder"};
enum { KNOWN = sizeof known / sizeof *known, NOISES = 2 };
static const char *const members[] = {"data", "path", "name", "fit", "digest"};
enum { MEMBERS = sizeof members / sizeof *members };
static const char *const found_by_path[] = {"idx", "folder"};
enum { FOUND_BY_PATH = sizeof found_by_path / sizeof *found_by_path, NAME_MOST = 64 };

static bool is_among(const char *name, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(list[i], name))
			return true;
	return false;
}

static int unknown(const char *what, const char *name, const char *const *list, size_t count,
                   struct error *e)
{
	const char *near = nearest_name(name, list, count);

	return error_set(e, "%s \"%s\" is not known%s%s%s", what, name,
	                 near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static int read_object(const cJSON *item, struct ood_set *set, struct error *e)
{
	const char *fit = json_text(item, "fit", "resize");
	const cJSON *member;

	cJSON_ArrayForEach (member, item) {
		if (!is_among(member->string, members, MEMBERS))
			return unknown("member", member->string, members, MEMBERS, e);
		if (!cJSON_IsString(member))
			return error_set(e, "%s is no text", member->string);
	}
	set->data = json_text(item, "data", NULL);
	set->path = json_text(item, "path", NULL);
	set->digest = json_text(item, "digest", NULL);
	set->name = json_text(item, "name", set->data);
	set->crops = !strcmp(fit, "crop");
	if (!set->data)
		return error_set(e, "\"data\" is missing");
	return set->crops || !strcmp(fit, "resize")
	               ? 0
	               : error_set(e, "fit \"%s\": resize or crop is expected", fit);
}

/* Results are told by it: in rows, in pictures, on command lines. */
static bool is_plain(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                              "0123456789_.+-";
	size_t length = strlen(name);

	return length && length <= NAME_MOST && strspn(name, allowed) == length;
}

static int check_set(const struct ood_set *set, struct error *e)
{
	if (!is_among(set->data, known, KNOWN))
		return unknown("data set", set->data, known, KNOWN, e);
	if (is_among(set->data, found_by_path, FOUND_BY_PATH) && !(set->path && *set->path))
		return error_set(e, "data set %s needs a path", set->data);
	if (!is_plain(set->name))
		return error_set(e, "name: 1 to 64 of a-z A-Z 0-9 _ . + - are allowed");
	return 0;
}

int ood_set_read(const cJSON *item, struct ood_set *set, struct error *e)
{
	int status = 0;

	*set = (struct ood_set){0};
	if (cJSON_IsString(item))
		set->data = set->name = item->valuestring;
	else if (cJSON_IsObject(item))
		status = read_object(item, set, e);
	else
		status = error_set(e, "a name or an object is expected");
	return status ? status : check_set(set, e);
}

bool ood_set_is_noise(const struct ood_set *set)
{
	return is_among(set->data, known, NOISES);
}

static bool name_is_taken(const cJSON *list, const cJSON *item, const char *name)
{
	struct error unheard;
	const cJSON *other;
	struct ood_set set;

	cJSON_ArrayForEach (other, list) {
		if (other == item)
			return false;
		if (!ood_set_read(other, &set, &unheard) && !strcmp(set.name, name))
			return true;
	}
	return false;
}

int ood_sets_check(const cJSON *list, const char *where, struct error *e)
{
	const cJSON *item;
	int problems = 0, i = 0;

	cJSON_ArrayForEach (item, list) {
		struct error one = {{0}};
		struct ood_set set;
		int status = ood_set_read(item, &set, &one);
		if (!status && name_is_taken(list, item, set.name))
			status = error_set(&one, "there are two of the name \"%s\"", set.name);
		if (status)
			error_append(e, "%s[%d]: %s", where, i, one.text);
		problems += status != 0;
		i++;
	}
	return problems;
}
