/* Sweeps as files: what they refer to is found beside them, and read where it is small. */
#ifndef COORDINATOR_SWEEP_FILE_H
#define COORDINATOR_SWEEP_FILE_H
#include "core/base/error.h"
#include <cjson/cJSON.h>

/* The sweep in a file.  A file or data set that it names (start_from.file, data.path, a path in
 * ood.sets), by a relative path that leads nowhere from here, is taken from the sweep's folder, if
 * it is there; split.file becomes the split.groups that it holds.  All of them also in
 * start_from.change, ensemble.members and the values of swept fields.  Null on failure, with one
 * line; the caller's. */
cJSON *sweep_file_read(const char *path, struct error *e);
#endif
