/* Constraints between the fields of a trial: SQL expressions that SQLite evaluates. */
#include "schemas/constraint.h"
#include "core/base/text.h"
#include "schemas/trial_spec.h"
#include <ctype.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MOST = 10000 };

struct constraint {
	sqlite3_stmt *statement;
	const struct field **field; /* (fields): parameter i + 1 is its value */
	int fields;
};

struct constraints {
	sqlite3 *memory;
	struct constraint *item;
	int count;
	int selects; /* seen in the statement that is being prepared */
};

/* ---- what an expression may do ---- */

static bool is_pure(const char *function)
{
	static const char *const names[] = {"abs",          "ceil",   "coalesce",
	                                    "exp",          "floor",  "glob",
	                                    "ifnull",       "iif",    "json_array_length",
	                                    "json_extract", "length", "like",
	                                    "ln",           "log",    "log10",
	                                    "log2",         "lower",  "max",
	                                    "min",          "mod",    "nullif",
	                                    "pow",          "power",  "round",
	                                    "sign",         "sqrt",   "upper"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (sqlite3_stricmp(function, names[i]) == 0)
			return true;
	return false;
}

/* One select is the expression itself; one within it could run for ever. */
static int authorize(void *self, int action, const char *a, const char *b, const char *c,
                     const char *d)
{
	struct constraints *all = self;
	bool allowed = (action == SQLITE_SELECT && all->selects++ == 0) ||
	               (action == SQLITE_FUNCTION && is_pure(b));

	return allowed ? SQLITE_OK : SQLITE_DENY;
}

static void open_memory(struct constraints *all)
{
	if (sqlite3_open(":memory:", &all->memory) != SQLITE_OK)
		abort(); /* no memory */
	sqlite3_limit(all->memory, SQLITE_LIMIT_LENGTH, TEXT_MOST);
	sqlite3_set_authorizer(all->memory, authorize, all);
}

/* ---- fields in an expression ---- */

static int add_field(struct constraint *c, const struct field *field)
{
	for (int i = 0; i < c->fields; i++)
		if (c->field[i] == field)
			return i + 1;
	c->field = xrealloc(c->field, (size_t)(c->fields + 1) * sizeof(*c->field));
	c->field[c->fields++] = field;
	return c->fields;
}

/* The end of a text or quoted name that begins here. */
static const char *end_of_quoted(const char *at)
{
	const char *end = strchr(at + 1, *at);

	return end ? end + 1 : at + strlen(at);
}

/* A word: the number of the parameter that a field's path stands for, or itself.  A word with a dot
 * that names no field is a problem. */
static int add_word(struct constraint *c, const char *word, struct text *sql, struct error *e)
{
	const struct field *field = field_find(&trial_fields, word);
	const char *nearest;

	if (field) {
		text_add(sql, "?%d", add_field(c, field));
		return 0;
	}
	text_add(sql, "%s", word);
	if (!strchr(word, '.'))
		return 0;
	nearest = field_nearest(&trial_fields, word);
	return error_set(e, "%s is no field of a trial%s%s%s", word,
	                 nearest ? "; did you mean \"" : "", nearest ? nearest : "",
	                 nearest ? "\"?" : " (trawl help trial lists them)");
}

/* The expression with parameters in place of paths. */
static int translate(struct constraint *c, const char *at, struct text *sql, struct error *e)
{
	int status = 0;

	while (*at && status == 0) {
		const char *end = at + 1;
		if (*at == '\'' || *at == '"')
			end = end_of_quoted(at);
		bool word = isalpha((unsigned char)*at) || *at == '_';
		while (word && (isalnum((unsigned char)*end) || *end == '_' || *end == '.'))
			end++;
		while (isdigit((unsigned char)*at) && (isalnum((unsigned char)*end) || *end == '.'))
			end++;
		char *piece = xformat("%.*s", (int)(end - at), at);
		if (word)
			status = add_word(c, piece, sql, e);
		else
			text_add(sql, "%s", piece);
		free(piece);
		at = end;
	}
	return status;
}

static int prepare(struct constraints *all, struct constraint *c, const char *expression,
                   struct error *e)
{
	struct text sql = {0};
	const char *tail = "";
	int status;

	all->selects = 0;
	text_add(&sql, "select (");
	status = translate(c, expression, &sql, e);
	text_add(&sql, ")");
	if (status == 0 &&
	    (sqlite3_prepare_v2(all->memory, sql.data, -1, &c->statement, &tail) != SQLITE_OK ||
	     *tail || !c->statement || sqlite3_column_count(c->statement) != 1))
		status = error_set(e, "%s",
		                   *tail && sqlite3_errcode(all->memory) == SQLITE_OK
		                           ? "one expression is expected"
		                           : sqlite3_errmsg(all->memory));
	if (status == 0 && sqlite3_bind_parameter_count(c->statement) != c->fields)
		status = error_set(e, "fields are named by their paths, not by ?");
	if (status == 0 && !c->fields)
		status = error_set(e, "it names no field of a trial");
	text_release(&sql);
	return status;
}

int constraints_parse(const cJSON *list, struct constraints **c, struct error *e)
{
	const cJSON *item;
	int problems = 0;

	*c = NULL;
	if (!cJSON_GetArraySize(list))
		return 0;
	struct constraints *all = *c = xcalloc(1, sizeof(*all));
	open_memory(all);
	all->item = xcalloc((size_t)cJSON_GetArraySize(list) + 1, sizeof(*all->item));
	cJSON_ArrayForEach (item, list) {
		struct error problem = {{0}};
		char *text = json_print(item, false);
		if (!cJSON_IsString(item))
			error_set(&problem, "a text is expected");
		else
			prepare(all, &all->item[all->count], item->valuestring, &problem);
		if (problem.text[0])
			error_append(e, "constraints[%d]: %s: %s", all->count, text, problem.text);
		problems += problem.text[0] != 0;
		all->count++;
		free(text);
	}
	return problems;
}

void constraints_release(struct constraints *c)
{
	if (!c)
		return;
	for (int i = 0; i < c->count; i++) {
		sqlite3_finalize(c->item[i].statement);
		free(c->item[i].field);
	}
	sqlite3_close(c->memory);
	free(c->item);
	free(c);
}

/* ---- of one trial ---- */

static void bind(sqlite3_stmt *s, int i, const cJSON *value)
{
	if (!value || cJSON_IsNull(value)) {
		sqlite3_bind_null(s, i);
	} else if (cJSON_IsNumber(value)) {
		sqlite3_bind_double(s, i, value->valuedouble);
	} else if (cJSON_IsBool(value)) {
		sqlite3_bind_int(s, i, cJSON_IsTrue(value));
	} else if (cJSON_IsString(value)) {
		sqlite3_bind_text(s, i, value->valuestring, -1, SQLITE_TRANSIENT);
	} else {
		char *text = json_canonical(value);
		sqlite3_bind_text(s, i, text, -1, SQLITE_TRANSIENT);
		free(text);
	}
}

static bool holds(struct constraint *c, const cJSON *assignment, const cJSON *trial)
{
	for (int i = 0; i < c->fields; i++) {
		cJSON *value = trial_value(c->field[i], assignment, trial);
		bind(c->statement, i + 1, value);
		cJSON_Delete(value);
	}
	bool held = sqlite3_step(c->statement) == SQLITE_ROW &&
	            (sqlite3_column_type(c->statement, 0) == SQLITE_NULL ||
	             sqlite3_column_double(c->statement, 0) != 0);
	sqlite3_reset(c->statement);
	return held;
}

bool constraints_hold(struct constraints *c, const cJSON *assignment, const cJSON *trial)
{
	for (int i = 0; c && i < c->count; i++)
		if (!holds(&c->item[i], assignment, trial))
			return false;
	return true;
}
