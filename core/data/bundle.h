/* A folder, an archive (tar, tar.gz, tar.xz, zip, …) or a folder inside of one ("a.tar/b") seen
 * alike: a set of named files. */
#ifndef DATA_BUNDLE_H
#define DATA_BUNDLE_H
#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/text.h"
#include <stddef.h>
#include <stdint.h>

struct bundle_file {
	const char *bundle; /* the folder, the archive, or the folder inside of it */
	const char *name;   /* below it, '/' between folders, no leading "./" */
	struct archive *archive;
	int fd;
};

/* Calls visit for every regular file whose name does not begin with a dot: by sorted name in a
 * folder, in stored order in an archive.  A visit that returns non-zero ends the walk; so does the
 * first error (-1).  Returns what the last visit returned. */
typedef int bundle_visit(void *context, struct bundle_file *file, struct error *e);
int bundle_each(const char *source, bundle_visit *visit, void *context, struct error *e);

/* During a visit only: the whole content, to be freed by the caller.  More than limit_bytes is an
 * error. */
void *bundle_read(struct bundle_file *file, size_t limit_bytes, size_t *bytes, struct error *e);

/* A digest that changes when the source does, from sizes and times of change, not from contents:
 * of the archive, or of every file below the folder. */
int bundle_stamp(const char *source, char hex[SHA256_HEX], struct error *e);

const char *bundle_base_name(const char *name); /* what follows the last '/' */

/* Adds a name to a list of what was found, for a message about what was not; the first few. */
void bundle_list(const struct bundle_file *file, struct text *found);
#endif
