/* Groups of classes as users list them: split.groups, and files of such. */
#ifndef SCHEMAS_SPLIT_GROUPS_H
#define SCHEMAS_SPLIT_GROUPS_H
#include "core/base/json.h"

/* The lists of classes in a JSON file: [["cat", "dog"], …], {"pets": ["cat", "dog"], …} or {"cat":
 * "pets", "dog": "pets", …}.  Null with a line that says what else it is.  The caller's. */
cJSON *split_groups_read(const char *path, struct error *e);

/* What can be wrong with the groups of a filled trial, whatever its data set is: each problem is a
 * line of e, with `where` ("trial." or "") in front of its path; returns how many. */
int split_groups_check(const cJSON *filled, const char *where, struct error *e);

/* The other way: {"0": [class, …], "1": …}; the caller's. */
cJSON *split_groups_named(const cJSON *lists);
#endif
