/* Where a data set lies, and what its bytes are. */
#ifndef DATA_SOURCE_H
#define DATA_SOURCE_H
#include "core/base/error.h"
#include "core/base/hash.h"
#include <stdbool.h>

/* shapes: made by the program, so it lies nowhere. */
bool source_is_builtin(const char *name);

/* The folders data sets are looked for in, separated by colons: $TRAWL_DATA, else ../shared/data
 * and $XDG_DATA_HOME/trawl/data (~/.local/share/trawl/data).  The caller's to free. */
char *source_roots(void);

/* The folder that fetched data sets go to: the first of $TRAWL_DATA, else the last of the roots. */
char *source_fetch_folder(void);

/* The folder or archive of a data set, or a folder inside of an archive: `path` (data.path; as it
 * is, then below the roots) or, when that is null, the first known file or folder of data set
 * `name` below the roots.  Null with a line that names all places looked at and, where there is
 * one, the command that fetches the data. For a built-in set "".  The caller's to free. */
char *source_find(const char *name, const char *path, const char *roots, struct error *e);

/* What enters a trial's identity: the SHA-256 of an archive's bytes; for a folder, of its files'
 * sorted lines "relative path, tab, bytes, tab, SHA-256"; for a folder inside of an archive, of the
 * line "the archive's, tab, path in it"; "builtin:shapes:1" for the built-in set.
 * Remembered below $XDG_CACHE_HOME/trawl/digests for as long as names, sizes, times and inodes
 * stay. */
int source_digest(const char *name, const char *found, char digest[SHA256_HEX], struct error *e);
#endif
