/* What a job prints: taken from its pipe into a file of limited size, the newest kept. */
#ifndef WORKER_JOBLOG_H
#define WORKER_JOBLOG_H
#include "core/base/error.h"
#include "core/base/text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct joblog {
	int pipe_fd; /* reading end, non-blocking; -1 after its end */
	int file_fd;
	char *path;         /* the newest bytes; the ones before are in PATH.old */
	int64_t bytes_max;  /* of both files together */
	int64_t file_bytes; /* in the newest file */
	int64_t offset;     /* bytes that were printed in all */
	struct text fresh;  /* the last of them, not taken yet; ends at offset */
};

/* Makes the pipe and the file; *write_fd is for the job's stdout and stderr. */
int joblog_init(struct joblog *l, const char *path, int64_t bytes_max, int *write_fd,
                struct error *e);

/* Takes at most 256 KiB of what the pipe holds, so that a flood never keeps the caller from its
 * other work.  False at the end of the pipe. */
bool joblog_pump(struct joblog *l);

/* The last `bytes` or fewer, from the beginning of a line, valid UTF-8 (other bytes become '?').
 * Free with free(). */
char *joblog_tail(const struct joblog *l, size_t bytes);

/* What was printed since the last call, made valid UTF-8 of the same length; *offset is where it
 * begins.  After a flood only the last 64 KiB.  Null when there is nothing.  Free with free(). */
char *joblog_take(struct joblog *l, int64_t *offset);
void joblog_release(struct joblog *l);
#endif
