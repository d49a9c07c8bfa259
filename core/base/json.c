/* Reading and changing JSON values; text comes out in json_print.c. */
#include "core/base/json.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 64 };

static int fail_at(const char *text, size_t offset, const char *where, const char *what,
                   struct error *e)
{
	size_t line = 1, column = 1;

	for (size_t i = 0; i < offset; i++) {
		line += text[i] == '\n';
		column = text[i] == '\n' ? 1 : column + 1;
	}
	return error_set(e, "%s: line %zu, column %zu: %s", where, line, column, what);
}

/* Bytes of the UTF-8 character at s, or 0 when it is none (overlong, surrogate, too large, NUL). */
static size_t utf8_bytes(const unsigned char *s, size_t left)
{
	static const uint32_t least[] = {0, 1, 0x80, 0x800, 0x10000};
	size_t bytes = s[0] < 0x80       ? 1
	               : s[0] >> 5 == 6  ? 2
	               : s[0] >> 4 == 14 ? 3
	               : s[0] >> 3 == 30 ? 4
	                                 : 0;

	if (!bytes || bytes > left)
		return 0;
	uint32_t code = bytes == 1 ? s[0] : s[0] & (0x7fu >> bytes);
	for (size_t i = 1; i < bytes; i++) {
		if (s[i] >> 6 != 2)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	bool surrogate = code >= 0xd800 && code < 0xe000;
	return code < least[bytes] || code > 0x10ffff || surrogate ? 0 : bytes;
}

/* What cJSON lets pass: bytes that are no UTF-8, and \u0000, which would cut a string short. */
static int check_bytes(const char *text, size_t length, const char *where, struct error *e)
{
	for (size_t i = 0, bytes = 0; i < length; i += bytes) {
		bytes = utf8_bytes((const unsigned char *)text + i, length - i);
		if (!bytes)
			return fail_at(text, i, where, "not UTF-8", e);
		if (text[i] != '\\')
			continue;
		if (length - i >= 6 && memcmp(text + i, "\\u0000", 6) == 0)
			return fail_at(text, i, where, "\\u0000 is not taken", e);
		bytes = length - i > 1 && (unsigned char)text[i + 1] < 0x80 ? 2 : 1;
	}
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	const cJSON *const *left = a, *const *right = b;

	return strcmp((*left)->string, (*right)->string);
}

static const char *duplicate_key(const cJSON *object)
{
	int count = cJSON_GetArraySize(object), i = 0;
	const cJSON **members = xmalloc((size_t)count * sizeof *members), *member = NULL;
	const char *found = NULL;

	cJSON_ArrayForEach (member, object)
		members[i++] = member;
	qsort(members, (size_t)count, sizeof *members, compare_keys);
	for (i = 1; i < count && !found; i++)
		if (strcmp(members[i - 1]->string, members[i]->string) == 0)
			found = members[i]->string;
	free(members);
	return found;
}

static int check_value(const cJSON *value, int depth, const char *where, struct error *e)
{
	const cJSON *member = NULL;
	const char *twice = cJSON_IsObject(value) ? duplicate_key(value) : NULL;

	if (twice)
		return error_set(e, "%s: key \"%s\" is there twice", where, twice);
	if (cJSON_IsNumber(value) && !isfinite(value->valuedouble))
		return error_set(e, "%s: a number is too large", where);
	if ((cJSON_IsObject(value) || cJSON_IsArray(value)) && depth == DEPTH_MAX)
		return error_set(e, "%s: nested deeper than %d", where, DEPTH_MAX);
	cJSON_ArrayForEach (member, value) {
		if (check_value(member, depth + 1, where, e) != 0)
			return -1;
	}
	return 0;
}

cJSON *json_parse(const char *text, size_t length, const char *where, struct error *e)
{
	const char *end = text;

	if (check_bytes(text, length, where, e) != 0)
		return NULL;
	cJSON *value = cJSON_ParseWithLengthOpts(text, length, &end, false);
	if (!value) {
		size_t offset = end && end > text ? (size_t)(end - text) : 0;
		fail_at(text, offset, where,
		        offset + 1 >= length ? "JSON ends too early" : "not JSON", e);
		return NULL;
	}
	while (end < text + length && strchr(" \t\r\n", *end))
		end++;
	if (end < text + length)
		fail_at(text, (size_t)(end - text), where, "something follows the JSON value", e);
	if (end < text + length || check_value(value, 0, where, e) != 0) {
		cJSON_Delete(value);
		return NULL;
	}
	return value;
}

cJSON *json_read(const char *path, struct error *e)
{
	size_t length = 0;
	char *text = file_read(path, &length, e);
	cJSON *value = text ? json_parse(text, length, path, e) : NULL;

	free(text);
	return value;
}

int json_write(const char *path, const cJSON *value, struct error *e)
{
	char *text = json_print(value, true);
	char *line = xformat("%s\n", text);
	int status = file_write(path, line, strlen(line), e);

	free(line);
	free(text);
	return status;
}

static cJSON *member_of(const cJSON *object, const char *name, size_t length)
{
	cJSON *member = cJSON_IsObject(object) ? object->child : NULL;

	while (member && (member->string[0] != name[0] ||
	                  strncmp(member->string, name, length) != 0 || member->string[length]))
		member = member->next;
	return member;
}

cJSON *json_at(const cJSON *object, const char *path)
{
	cJSON *at = (cJSON *)object;

	for (size_t length; at; path += length + 1) {
		length = strcspn(path, ".");
		at = member_of(at, path, length);
		if (!path[length])
			break;
	}
	return at;
}

/* In the place of `old`, which may be null: then at the end.  A key that is a table's own stays so.
 */
static void put_member(cJSON *object, cJSON *old, const char *name, cJSON *value)
{
	if (!old) {
		cJSON_AddItemToObject(object, name, value);
	} else if (old->type & cJSON_StringIsConst) {
		if (!(value->type & cJSON_StringIsConst))
			cJSON_free(value->string); /* the key that it had elsewhere */
		value->string = old->string;
		value->type |= cJSON_StringIsConst;
		cJSON_ReplaceItemViaPointer(object, old, value);
	} else {
		cJSON_ReplaceItemInObjectCaseSensitive(object, name, value);
	}
}

void json_put(cJSON *object, const char *path, cJSON *value)
{
	char *copy = xstrdup(path), *rest = copy, *part = strsep(&rest, ".");

	assert(cJSON_IsObject(object));
	for (; rest && object; part = strsep(&rest, ".")) {
		cJSON *next = cJSON_GetObjectItemCaseSensitive(object, part);
		if (!cJSON_IsObject(next) && value) {
			cJSON_DeleteItemFromObjectCaseSensitive(object, part);
			next = cJSON_AddObjectToObject(object, part);
		}
		object = cJSON_IsObject(next) ? next : NULL;
	}
	if (!value && object)
		cJSON_DeleteItemFromObjectCaseSensitive(object, part);
	else if (value)
		put_member(object, cJSON_GetObjectItemCaseSensitive(object, part), part, value);
	free(copy);
}

cJSON *json_merge_patch(cJSON *target, const cJSON *patch)
{
	const cJSON *member = NULL;

	if (!cJSON_IsObject(patch)) {
		cJSON_Delete(target);
		return cJSON_Duplicate(patch, true);
	}
	if (!cJSON_IsObject(target)) {
		cJSON_Delete(target);
		target = cJSON_CreateObject();
	}
	cJSON_ArrayForEach (member, patch) {
		cJSON *old = cJSON_GetObjectItemCaseSensitive(target, member->string);
		if (cJSON_IsNull(member))
			cJSON_Delete(cJSON_DetachItemViaPointer(target, old));
		else if (cJSON_IsObject(member) && cJSON_IsObject(old))
			json_merge_patch(old, member);
		else
			put_member(target, old, member->string, json_merge_patch(NULL, member));
	}
	return target;
}

const char *json_text(const cJSON *object, const char *key, const char *otherwise)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsString(value) ? value->valuestring : otherwise;
}

int64_t json_int(const cJSON *object, const char *key, int64_t otherwise)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);

	if (!cJSON_IsNumber(value) || fabs(value->valuedouble) > 0x1p53 ||
	    value->valuedouble != floor(value->valuedouble))
		return otherwise;
	return (int64_t)value->valuedouble;
}

double json_real(const cJSON *object, const char *key, double otherwise)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsNumber(value) ? value->valuedouble : otherwise;
}

bool json_bool(const cJSON *object, const char *key, bool otherwise)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsBool(value) ? cJSON_IsTrue(value) : otherwise;
}

bool json_all(const cJSON *list, cJSON_bool (*kind)(const cJSON *item))
{
	const cJSON *item;

	cJSON_ArrayForEach (item, list)
		if (!kind(item))
			return false;
	return true;
}
