/* What must hold between the fields of a sweep's trials, as SQL expressions: "quant.weight_bits <=
 * quant.activation_bits or train.epochs = 0". */
#ifndef SCHEMAS_CONSTRAINT_H
#define SCHEMAS_CONSTRAINT_H
#include "core/base/error.h"
#include "core/base/json.h"
#include <stdbool.h>

struct constraints; /* SQLite, in memory, with a statement each */

/* Reads a list of texts.  A field of a trial is named by its path; operators and functions are
 * SQLite's, without queries, chance and time.  Appends a line to e for every problem, and
 * returns how many there are.  *c is null for an empty list; release it after a failure too. */
int constraints_parse(const cJSON *list, struct constraints **c, struct error *e);
void constraints_release(struct constraints *c);

/* Whether none is false, of a trial with these values ({path: value}), else those of `trial`, else
 * defaults.  As with SQL's CHECK, one that a missing value leaves open holds; one that cannot be
 * computed does not.  Null c: true. */
bool constraints_hold(struct constraints *c, const cJSON *assignment, const cJSON *trial);
#endif
