/* Files by their SHA-256 in one folder, shared by the agents of a work folder; the oldest go. */
#ifndef WORKER_CACHE_H
#define WORKER_CACHE_H
#include "core/base/error.h"
#include <stdbool.h>
#include <stdint.h>

/* Moves a file in, or removes it when it is there. */
void cache_keep(const char *folder, const char *sha256, const char *path);

/* Removes the files longest not used, until the rest is within bytes_max; what was used in the last
 * ten minutes stays. */
void cache_trim(const char *folder, int64_t bytes_max, int64_t wall_ms);
void cache_touch(const char *folder, const char *sha256); /* it is used now */
#endif
