/* Where a trial's data set lies: the path it names, or what is known by the set's name in a root.
 */
#ifndef TRAIN_FIND_H
#define TRAIN_FIND_H
#include "core/base/error.h"

/* *found: the folder or archive, the caller's to free; null for sets that are generated.  path (may
 * be null) is taken as it is, or below a root; without it the usual names are tried in each root.
 * roots: folders separated by colons; null: $TRAWL_DATA.  Fails saying where it was looked for. */
int data_find(const char *name, const char *path, const char *roots, char **found, struct error *e);
#endif
