/* Groups of classes in files of the user's, for split.groups. */
#ifndef SCHEMAS_SPLIT_GROUPS_H
#define SCHEMAS_SPLIT_GROUPS_H
#include "core/base/json.h"

/* The lists of classes in a JSON file: [["cat", "dog"], …], {"pets": ["cat", "dog"], …} or {"cat":
 * "pets", "dog": "pets", …}.  Null with a line that says what else it is.  The caller's. */
cJSON *split_groups_read(const char *path, struct error *e);

/* The other way: {"0": [class, …], "1": …}; the caller's. */
cJSON *split_groups_named(const cJSON *lists);
#endif
