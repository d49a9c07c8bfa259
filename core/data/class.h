/* Classes of a data set, by the names that people give them. */
#ifndef DATA_CLASS_H
#define DATA_CLASS_H
#include "core/base/json.h"
#include "core/data/dataset.h"

/* The class of this name; -1, and a line with the nearest name, when there is none. */
int class_named(const struct dataset *d, const char *name, struct error *e);

/* The class that a JSON value means: its name, or its index.  -1 and one line when it is neither.
 */
int class_of_json(const struct dataset *d, const cJSON *item, struct error *e);
#endif
