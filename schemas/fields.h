/* Specifications as tables: checks, defaults, help and JSON Schema from one row per field. */
#ifndef SCHEMAS_FIELDS_H
#define SCHEMAS_FIELDS_H
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_type { FIELD_INTEGER, FIELD_REAL, FIELD_BOOLEAN, FIELD_TEXT, FIELD_LIST, FIELD_OBJECT };
enum { IDENTITY = 1, REQUIRED = 2, COMMON = 4 };

struct field {
	const char *path; /* dotted */
	enum field_type type;
	size_t offset;       /* of the member */
	const char *initial; /* default as text, or null */
	bool ranged;         /* min and max hold, for a list of each element */
	double min, max;
	const char *choices; /* "a|b|c", or null */
	int flags;
	const char *meaning; /* one line */
};

struct field_table {
	const char *name; /* "trial" */
	const struct field *rows;
	size_t count;
};

/* What the rows of a .def file become: a struct member, or a struct field. */
#define FIELD_C_INTEGER                       int64_t
#define FIELD_C_REAL                          double
#define FIELD_C_BOOLEAN                       bool
#define FIELD_C_TEXT                          char *
#define FIELD_C_LIST                          cJSON *
#define FIELD_C_OBJECT                        cJSON *
#define FIELD_MEMBER(member, path, type, ...) FIELD_C_##type member;
#define FIELD_ROW(owner, member, path, type, ...) \
	{path, FIELD_##type, offsetof(owner, member), __VA_ARGS__},
#define ANY                false, 0, 0, NULL
#define RANGE(least, most) true, least, most, NULL
#define EACH(least, most)  true, least, most, NULL
#define CHOICES(names)     false, 0, 0, names

/* The row of a path, or null. */
const struct field *field_find(const struct field_table *table, const char *path);

/* The path of the row or section that a mistyped path most likely means, or null. */
const char *field_nearest(const struct field_table *table, const char *path);

/* Appends "integer from 0 to 10" and the like: what a value may be. */
void field_allowed(const struct field *field, struct text *out);

/* Appends "WHERE: found …; allowed: …" when the value is wrong.  Null is wrong too.  Returns the
 * number of problems. */
int field_check(const struct field *field, const cJSON *value, const char *where, struct error *e);

/* Appends a line to e for every problem of what is there: unknown fields (with the nearest known
 * one), wrong types, values out of range.  Paths are shown after `where`, which is "" or ends in a
 * dot.  Null counts as absent.  Returns the number of problems. */
int fields_check(const struct field_table *table, const cJSON *object, const char *where,
                 struct error *e);

/* The same for what is not there and has no default. */
int fields_check_missing(const struct field_table *table, const cJSON *object, const char *where,
                         struct error *e);

/* The default as a value, or null when the field has none. */
cJSON *field_default(const struct field *field);
bool field_is_default(const struct field *field, const cJSON *value);

/* Where the last field that was asked for stands.  Rows of one part of the paths lie side by side
 * in the tables, and so do, mostly, the members of objects. */
struct field_place {
	char part[64]; /* the path before its last dot */
	size_t length;
	bool begun;
	const cJSON *object, *next; /* the part, or null; the member of it that mostly comes next */
};

/* The value of a path, or null.  *place begins empty, and goes from path to path of one object. */
const cJSON *field_value(struct field_place *place, const cJSON *object, const char *path);

/* Whether fields_fill would do no more than bring it into the table's order. */
bool fields_filled(const struct field_table *table, const cJSON *object);

/* Removes nulls and puts in every default, in the order of the table.  For checked objects. */
void fields_fill(const struct field_table *table, cJSON *object);

/* Copies a filled object into a struct that the table describes; the struct owns its strings and
 * values until fields_release. */
void fields_load(const struct field_table *table, const cJSON *object, void *target);
void fields_release(const struct field_table *table, void *target);

/* Path, type and range, default, meaning: as `trawl help trial` prints it. */
void fields_help(const struct field_table *table, struct text *out);

/* JSON Schema, draft 2020-12.  $defs.fields has everything but which fields are required, for
 * sweeps, whose space may give those. */
cJSON *fields_json_schema(const struct field_table *table, const char *title);
#endif
