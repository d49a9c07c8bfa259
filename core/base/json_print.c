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

/* The fewest digits that come back as the same double; 15 are enough for most. */
static void add_number(struct text *t, double x)
{
	char digits[40];

	if (!isfinite(x)) {
		text_add(t, "null");
		return;
	}
	if (x == floor(x) && fabs(x) < 0x1p53) {
		text_add(t, "%lld", (long long)x);
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
		const char *special = strchr(plain, *s);
		if (special)
			text_add(t, "\\%c", escaped[special - plain]);
		else if ((unsigned char)*s < 0x20)
			text_add(t, "\\u%04x", (unsigned int)*s);
		else
			text_add_bytes(t, s, 1);
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
	text_add(t, object ? "{" : "[");
	for (i = 0; i < count; i++) {
		if (i)
			text_add(t, ",");
		add_line(t, layout, depth + 1);
		if (object) {
			add_string(t, members[i]->string);
			text_add(t, layout.indented ? ": " : ":");
		}
		add_value(t, members[i], layout, depth + 1);
	}
	if (count)
		add_line(t, layout, depth);
	text_add(t, object ? "}" : "]");
	free(members);
}

static void add_value(struct text *t, const cJSON *value, struct layout layout, int depth)
{
	if (cJSON_IsObject(value) || cJSON_IsArray(value))
		add_members(t, value, layout, depth);
	else if (cJSON_IsString(value))
		add_string(t, value->valuestring);
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
