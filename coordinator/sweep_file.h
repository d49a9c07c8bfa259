/* Sweeps as files: what they refer to is found beside them, and read where it is small. */
#ifndef COORDINATOR_SWEEP_FILE_H
#define COORDINATOR_SWEEP_FILE_H
#include "core/base/error.h"
#include <cjson/cJSON.h>

/* The sweep in a file.  A file that it names (start_from.file), by a relative path that leads
 * nowhere from here, is taken from the sweep's folder; split.file becomes the split.groups that it
 * holds.  Both at any depth of start_from.change.  Null on failure, with one line; the caller's. */
cJSON *sweep_file_read(const char *path, struct error *e);
#endif
