/* JSON values as text: numbers to the last bit, and a canonical form. */
#include "core/base/json.h"
#include "core/base/text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct layout {
	bool indented, sorted;
};

/* As printf's %lld, in a third of its time: nearly all numbers are such. */
static void add_integer(struct text *t, int64_t x)
{
	char digits[24], *at = digits + sizeof digits;
	uint64_t left = x < 0 ? -(uint64_t)x : (uint64_t)x;

	do
		*--at = (char)('0' + left % 10);
	while (left /= 10);
	if (x < 0)
		*--at = '-';
	text_add_bytes(t, at, (size_t)(digits + sizeof digits - at));
}

/* The fewest digits that come back as the same double; 15 are enough for most. */
static void add_number(struct text *t, double x)
{
	char digits[40];

	if (!isfinite(x)) {
		text_add(t, "null");
		return;
	}
	if (x == floor(x) && fabs(x) < 0x1p53) {
		add_integer(t, (int64_t)x);
		return;
	}
	for (int count = isnormal(x) ? 15 : 1; count <= 17; count++) {
		snprintf(digits, sizeof digits, "%.*g", count, x);
		if (strtod(digits, NULL) == x)
			break;
	}
	text_add(t, "%s", digits);
}

static void add_string(struct text *t, const char *s)
{
	static const char plain[] = "\"\\\b\f\n\r\t", escaped[] = "\"\\bfnrt";

	text_add_bytes(t, "\"", 1);
	for (; *s; s++) {
		size_t span = 0;
		while ((unsigned char)s[span] >= 0x20 && s[span] != '"' && s[span] != '\\')
			span++;
		text_add_bytes(t, s, span);
		s += span;
		if (!*s)
			break;
		const char *special = strchr(plain, *s);
		if (special)
			text_add(t, "\\%c", escaped[special - plain]);
		else
			text_add(t, "\\u%04x", (unsigned int)*s);
	}
	text_add_bytes(t, "\"", 1);
}

static int compare_members(const void *a, const void *b)
{
	const cJSON *const *left = a, *const *right = b;

	return strcmp((*left)->string, (*right)->string);
}

static void add_line(struct text *t, struct layout layout, int depth)
{
	if (layout.indented)
		text_add(t, "\n%*s", 2 * depth, "");
}

static void add_value(struct text *t, const cJSON *value, struct layout layout, int depth);

static void add_members(struct text *t, const cJSON *value, struct layout layout, int depth)
{
	bool object = cJSON_IsObject(value);
	int count = cJSON_GetArraySize(value), i = 0;
	const cJSON **members = xmalloc((size_t)count * sizeof *members), *member = NULL;

	cJSON_ArrayForEach (member, value)
		members[i++] = member;
	if (object && layout.sorted)
		qsort(members, (size_t)count, sizeof *members, compare_members);
	/* Lists of plain values stay on one line. */
	layout.indented = layout.indented && (object || (count && members[0]->child));
	text_add_bytes(t, object ? "{" : "[", 1);
	for (i = 0; i < count; i++) {
		if (i)
			text_add_bytes(t, ",", 1);
		add_line(t, layout, depth + 1);
		if (object) {
			add_string(t, members[i]->string);
			text_add_bytes(t, ": ", layout.indented ? 2 : 1);
		}
		add_value(t, members[i], layout, depth + 1);
	}
	if (count)
		add_line(t, layout, depth);
	text_add_bytes(t, object ? "}" : "]", 1);
	free(members);
}

static void add_value(struct text *t, const cJSON *value, struct layout layout, int depth)
{
	if (cJSON_IsObject(value) || cJSON_IsArray(value))
		add_members(t, value, layout, depth);
	else if (cJSON_IsString(value))
		add_string(t, value->valuestring);
	else if (cJSON_IsRaw(value)) /* JSON already */
		text_add_bytes(t, value->valuestring, strlen(value->valuestring));
	else if (cJSON_IsNumber(value))
		add_number(t, value->valuedouble);
	else
		text_add(t, cJSON_IsTrue(value) ? "true" : cJSON_IsFalse(value) ? "false" : "null");
}

char *json_print(const cJSON *value, bool indented)
{
	struct text t = {0};

	add_value(&t, value, (struct layout){.indented = indented}, 0);
	return text_take(&t);
}

char *json_canonical(const cJSON *value)
{
	struct text t = {0};

	add_value(&t, value, (struct layout){.sorted = true}, 0);
	return text_take(&t);
}
