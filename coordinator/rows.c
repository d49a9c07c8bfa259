/* The answer to a query: named columns and cells; printed as a table, CSV or JSON. */
#include "coordinator/rows.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double WHOLE_MAX = 1e15; /* beyond, doubles are not exact to look at */

void rows_init(struct rows *r, int columns)
{
	*r = (struct rows){.columns = columns};
	r->name = xcalloc((size_t)columns + 1, sizeof *r->name);
}

struct cell *rows_add(struct rows *r)
{
	size_t width = (size_t)r->columns;
	if (r->count == r->capacity) {
		r->capacity = r->capacity ? 2 * r->capacity : 32;
		r->cell = xrealloc(r->cell, (size_t)r->capacity * width * sizeof *r->cell + 1);
	}
	struct cell *row = r->cell + (size_t)r->count++ * width;
	memset(row, 0, width * sizeof *row);
	return row;
}

void rows_release(struct rows *r)
{
	for (int64_t i = 0; i < r->count * r->columns; i++)
		free(r->cell[i].text);
	for (int i = 0; i < r->columns; i++)
		free(r->name[i]);
	free(r->name);
	free(r->cell);
	*r = (struct rows){0};
}

void rows_name(struct rows *r, int column, const char *name)
{
	free(r->name[column]);
	r->name[column] = xstrdup(name);
}

static void cell_set(struct cell *c, enum cell_type type, char *text)
{
	free(c->text);
	*c = (struct cell){type, text};
}

void cell_set_text(struct cell *c, const char *text)
{
	cell_set(c, CELL_TEXT, xstrdup(text));
}

void cell_set_real(struct cell *c, double value)
{
	if (isfinite(value))
		cell_set(c, CELL_REAL, xformat("%.17g", value));
	else
		cell_set(c, CELL_NULL, NULL);
}

void cell_set_integer(struct cell *c, int64_t value)
{
	cell_set(c, CELL_INTEGER, xformat("%lld", (long long)value));
}

static bool column_empty(const struct rows *r, int column)
{
	bool empty = true;
	for (int64_t i = 0; i < r->count; i++)
		empty = empty && r->cell[i * r->columns + column].type == CELL_NULL;
	return empty;
}

void rows_drop_empty(struct rows *r)
{
	int kept = 0, *from = xcalloc((size_t)r->columns + 1, sizeof *from);
	for (int k = 0; k < r->columns; k++)
		if (!column_empty(r, k))
			from[kept++] = k;
		else
			free(r->name[k]);
	for (int k = 0; k < kept; k++)
		r->name[k] = r->name[from[k]];
	for (int64_t i = 0; i < r->count; i++)
		for (int k = 0; k < kept; k++)
			r->cell[i * kept + k] = r->cell[i * r->columns + from[k]];
	r->columns = kept;
	r->capacity = kept ? r->count : 0;
	free(from);
}

static const struct cell *at(const struct rows *r, int64_t row, const char *column)
{
	for (int i = 0; i < r->columns && row < r->count; i++)
		if (!strcmp(r->name[i], column))
			return &r->cell[row * r->columns + i];
	return NULL;
}

const char *rows_text(const struct rows *r, int64_t row, const char *column)
{
	const struct cell *c = at(r, row, column);
	return c && c->text ? c->text : "";
}

int64_t rows_int(const struct rows *r, int64_t row, const char *column, int64_t otherwise)
{
	const struct cell *c = at(r, row, column);
	return c && c->text ? strtoll(c->text, NULL, 10) : otherwise;
}

double rows_real(const struct rows *r, int64_t row, const char *column, double otherwise)
{
	const struct cell *c = at(r, row, column);
	return c && c->text ? strtod(c->text, NULL) : otherwise;
}

static cJSON *cell_to_json(const struct cell *c)
{
	switch (c->type) {
	case CELL_INTEGER:
	case CELL_REAL:
		/* as written by SQLite: every digit survives */
		return isfinite(strtod(c->text, NULL)) ? cJSON_CreateRaw(c->text)
		                                       : cJSON_CreateNull();
	case CELL_TEXT: return cJSON_CreateString(c->text);
	default: return cJSON_CreateNull();
	}
}

cJSON *rows_to_json(const struct rows *r)
{
	cJSON *json = cJSON_CreateObject();
	cJSON *columns = cJSON_AddArrayToObject(json, "columns");
	for (int i = 0; i < r->columns; i++)
		cJSON_AddItemToArray(columns, cJSON_CreateString(r->name[i]));
	cJSON *rows = cJSON_AddArrayToObject(json, "rows");
	for (int64_t i = 0; i < r->count; i++) {
		/* cells as [type, text]: no digit is lost on the way */
		cJSON *row = cJSON_CreateArray();
		for (int k = 0; k < r->columns; k++) {
			const struct cell *c = &r->cell[i * r->columns + k];
			cJSON_AddItemToArray(row, cJSON_CreateNumber(c->type));
			cJSON_AddItemToArray(row, c->text ? cJSON_CreateString(c->text)
			                                  : cJSON_CreateNull());
		}
		cJSON_AddItemToArray(rows, row);
	}
	cJSON_AddBoolToObject(json, "cut", r->cut);
	return json;
}

int rows_from_json(struct rows *r, const cJSON *json, struct error *e)
{
	const cJSON *columns = cJSON_GetObjectItem(json, "columns"), *item;
	rows_init(r, cJSON_GetArraySize(columns));
	int k = 0;
	cJSON_ArrayForEach (item, columns)
		r->name[k++] = xstrdup(cJSON_IsString(item) ? item->valuestring : "");
	r->cut = cJSON_IsTrue(cJSON_GetObjectItem(json, "cut"));
	cJSON_ArrayForEach (item, cJSON_GetObjectItem(json, "rows")) {
		if (cJSON_GetArraySize(item) != 2 * r->columns)
			return error_set(e, "the coordinator's answer has rows of unequal length");
		struct cell *row = rows_add(r);
		const cJSON *part = item->child;
		for (k = 0; k < r->columns; k++, part = part->next->next) {
			row[k].type = (enum cell_type)part->valueint;
			if (cJSON_IsString(part->next))
				row[k].text = xstrdup(part->next->valuestring);
		}
	}
	return 0;
}

/* ---- table ---- */

/* Reals in six digits, whole ones (bytes, operations) in all of theirs. */
static void cell_shown(const struct cell *c, char out[], size_t bytes)
{
	double value = c->type == CELL_REAL ? strtod(c->text, NULL) : 0;
	if (c->type != CELL_REAL)
		snprintf(out, bytes, "%s", c->text ? c->text : "");
	else if (value == floor(value) && fabs(value) < WHOLE_MAX)
		snprintf(out, bytes, "%.0f", value);
	else
		snprintf(out, bytes, "%.6g", value);
	for (char *p = out; *p; p++)
		if (*p == '\n' || *p == '\t')
			*p = ' ';
}

static void pad(struct text *out, const char *s, int width, bool right, bool last)
{
	int space = width - text_columns(s);
	text_add(out, "%*s%s%*s", right ? space : 0, "", s, right || last ? 0 : space, "");
	if (!last)
		text_add(out, "  ");
}

enum { SHOWN_BYTES = 512 };

static void format_table(const struct rows *r, bool bold, struct text *out)
{
	char shown[SHOWN_BYTES];
	int *width = xcalloc((size_t)r->columns + 1, sizeof *width);
	bool *right = xcalloc((size_t)r->columns + 1, sizeof *right);
	for (int k = 0; k < r->columns; k++) {
		width[k] = text_columns(r->name[k]);
		right[k] = r->count > 0;
		for (int64_t i = 0; i < r->count; i++) {
			const struct cell *c = &r->cell[i * r->columns + k];
			cell_shown(c, shown, sizeof shown);
			int w = text_columns(shown);
			width[k] = w > width[k] ? w : width[k];
			right[k] &= c->type != CELL_TEXT;
		}
	}
	if (bold)
		text_add(out, "\033[1m");
	for (int k = 0; k < r->columns; k++)
		pad(out, r->name[k], width[k], right[k], k == r->columns - 1);
	text_add(out, bold ? "\033[0m\n" : "\n");
	for (int64_t i = 0; i < r->count; i++) {
		for (int k = 0; k < r->columns; k++) {
			cell_shown(&r->cell[i * r->columns + k], shown, sizeof shown);
			pad(out, shown, width[k], right[k], k == r->columns - 1);
		}
		text_add(out, "\n");
	}
	free(width);
	free(right);
}

/* ---- CSV and JSON ---- */

static void csv_field(struct text *out, const char *s, bool last)
{
	if (strpbrk(s, ",\"\r\n")) {
		text_add(out, "\"");
		for (; *s; s++) {
			text_add_bytes(out, s, 1);
			if (*s == '"')
				text_add_bytes(out, s, 1);
		}
		text_add(out, "\"");
	} else {
		text_add(out, "%s", s);
	}
	text_add(out, last ? "\r\n" : ",");
}

static void format_csv(const struct rows *r, struct text *out)
{
	for (int k = 0; k < r->columns; k++)
		csv_field(out, r->name[k], k == r->columns - 1);
	for (int64_t i = 0; i < r->count; i++)
		for (int k = 0; k < r->columns; k++) {
			const char *s = r->cell[i * r->columns + k].text;
			csv_field(out, s ? s : "", k == r->columns - 1);
		}
}

static void format_json(const struct rows *r, struct text *out)
{
	cJSON *list = cJSON_CreateArray();
	for (int64_t i = 0; i < r->count; i++) {
		cJSON *object = cJSON_CreateObject();
		for (int k = 0; k < r->columns; k++)
			cJSON_AddItemToObject(object, r->name[k],
			                      cell_to_json(&r->cell[i * r->columns + k]));
		cJSON_AddItemToArray(list, object);
	}
	char *s = cJSON_Print(list); /* json_print would not know raw numbers */
	text_add(out, "%s\n", s);
	free(s);
	cJSON_Delete(list);
}

void rows_format(const struct rows *r, enum rows_format format, bool bold, struct text *out)
{
	if (format == ROWS_CSV)
		format_csv(r, out);
	else if (format == ROWS_JSON)
		format_json(r, out);
	else
		format_table(r, bold, out);
}
