/* Classes of a data set, by the names that people give them. */
#ifndef DATA_CLASS_H
#define DATA_CLASS_H
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/data/dataset.h"

/* The class of this name; -1, and a line with the nearest name, when there is none. */
int class_named(const struct dataset *d, const char *name, struct error *e);

/* The class that a JSON value means: its name, or its index.  -1 and one line when it is neither.
 */
int class_of_json(const struct dataset *d, const cJSON *item, struct error *e);

/* Adds the class's name; "class 3" where d, which may be null, names none. */
void class_add_name(struct text *to, const struct dataset *d, int class);

/* Adds three of `classes` classes that are listed, and how many more: "cat, dog, frog and 2 more".
 * How many are listed. */
int class_add_list(struct text *to, const struct dataset *d, const bool *listed, int classes);
#endif
