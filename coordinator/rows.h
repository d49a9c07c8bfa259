/* The answer to a query: named columns and cells; printed as a table, CSV or JSON. */
#ifndef COORDINATOR_ROWS_H
#define COORDINATOR_ROWS_H
#include "core/base/error.h"
#include "core/base/text.h"
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

enum cell_type { CELL_NULL, CELL_INTEGER, CELL_REAL, CELL_TEXT };
struct cell {
	enum cell_type type;
	char *text; /* as SQLite casts it to text; null for CELL_NULL */
};
struct rows {
	int columns;
	char **name;
	int64_t count, capacity;
	struct cell *cell; /* (count, columns) */
	bool cut;          /* there were more than the limit allowed */
};

enum rows_format { ROWS_TABLE, ROWS_CSV, ROWS_JSON };

void rows_init(struct rows *r, int columns); /* names null */
struct cell *rows_add(struct rows *r);       /* a new row of null cells */
void rows_release(struct rows *r);

/* For rows that come from no database: a column's name, a cell; a value that is no number is null.
 */
void rows_name(struct rows *r, int column, const char *name);
void rows_drop_empty(struct rows *r); /* columns in which every cell is null */
void cell_set_text(struct cell *c, const char *text);
void cell_set_real(struct cell *c, double value);
void cell_set_integer(struct cell *c, int64_t value);

/* Cells by row and column name; "" / `otherwise` for null or an absent column. */
const char *rows_text(const struct rows *r, int64_t row, const char *column);
int64_t rows_int(const struct rows *r, int64_t row, const char *column, int64_t otherwise);
double rows_real(const struct rows *r, int64_t row, const char *column, double otherwise);

/* {"columns": […], "rows": [[…]], "cut": bool} and back: how rows travel in a REPLY. */
cJSON *rows_to_json(const struct rows *r);
int rows_from_json(struct rows *r, const cJSON *json, struct error *e);

/* Table: aligned, numbers to the right, reals in 6 significant digits, headings in bold on a
 * terminal.  CSV: RFC 4180 with a heading.  JSON: an array of objects. */
void rows_format(const struct rows *r, enum rows_format format, bool bold, struct text *out);
#endif
