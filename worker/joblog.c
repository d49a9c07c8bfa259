/* What a job prints: taken from its pipe into a file of limited size, the newest kept. */
#include "worker/joblog.h"
#include "core/base/text.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_BYTES = 65536, PUMP_BLOCKS = 4, FRESH_BYTES = 65536 };

int joblog_init(struct joblog *l, const char *path, int64_t bytes_max, int *write_fd,
                struct error *e)
{
	int ends[2];
	*l = (struct joblog){.pipe_fd = -1, .bytes_max = bytes_max};
	l->file_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (l->file_fd < 0)
		return error_errno(e, "%s", path);
	if (pipe2(ends, O_CLOEXEC)) {
		close(l->file_fd);
		return error_errno(e, "pipe");
	}
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	l->pipe_fd = ends[0];
	l->path = xstrdup(path);
	*write_fd = ends[1];
	return 0;
}

/* The newest file becomes the old one, whose bytes are forgotten. */
static void joblog_turn(struct joblog *l)
{
	char *old = xformat("%s.old", l->path);
	rename(l->path, old);
	free(old);
	close(l->file_fd);
	l->file_fd = open(l->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	l->file_bytes = 0;
}

bool joblog_pump(struct joblog *l)
{
	char block[BLOCK_BYTES];
	for (int i = 0; i < PUMP_BLOCKS && l->pipe_fd >= 0; i++) {
		ssize_t n = read(l->pipe_fd, block, sizeof block);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (n == 0) {
			close(l->pipe_fd);
			l->pipe_fd = -1;
			return false;
		}
		if (l->file_bytes + n > l->bytes_max / 2)
			joblog_turn(l);
		/* A full disk loses the log, not the trial. */
		ssize_t put = write(l->file_fd, block, (size_t)n);
		l->file_bytes += put > 0 ? put : 0;
		l->offset += n;
		if (l->fresh.length + (size_t)n > FRESH_BYTES)
			text_clear(&l->fresh);
		text_add_bytes(&l->fresh, block, (size_t)n);
	}
	return l->pipe_fd >= 0;
}

static void tail_add(struct text *t, const char *path, int64_t bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	int64_t end = lseek(fd, 0, SEEK_END);
	lseek(fd, end > bytes ? end - bytes : 0, SEEK_SET);
	char block[4096];
	ssize_t n;
	while ((n = read(fd, block, sizeof block)) > 0)
		text_add_bytes(t, block, (size_t)n);
	close(fd);
}

/* How many bytes of a well-formed UTF-8 sequence begin here; 0: none. */
static size_t utf8_length(const char *s)
{
	unsigned char c = (unsigned char)s[0];
	size_t length = c < 0x80                ? 1
	                : c >= 0xc2 && c < 0xe0 ? 2
	                : c >= 0xe0 && c < 0xf0 ? 3
	                : c >= 0xf0 && c < 0xf5 ? 4
	                                        : 0;
	for (size_t i = 1; i < length; i++)
		if (((unsigned char)s[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

/* Of `bytes` bytes, which may hold NULs; ends in one. */
static void text_make_printable(char *s, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		s[i] = s[i] ? s[i] : '?';
	while (*s) {
		size_t length = utf8_length(s);
		if (!length || (length == 1 && (unsigned char)*s < 32 && !strchr("\n\t", *s)))
			*s = '?', length = 1;
		s += length;
	}
}

char *joblog_tail(const struct joblog *l, size_t bytes)
{
	struct text t = {0};
	if (l->file_bytes < (int64_t)bytes) {
		char *old = xformat("%s.old", l->path);
		tail_add(&t, old, (int64_t)bytes - l->file_bytes);
		free(old);
	}
	tail_add(&t, l->path, (int64_t)bytes);
	size_t length = t.length;
	char *all = text_take(&t), *start = all;
	if (length > bytes)
		start += length - bytes;
	text_make_printable(all, length);
	if (l->offset > (int64_t)bytes && strchr(start, '\n'))
		start = strchr(start, '\n') + 1;
	char *tail = xstrdup(start);
	free(all);
	return tail;
}

char *joblog_take(struct joblog *l, int64_t *offset)
{
	size_t length = l->fresh.length;
	if (!length)
		return NULL;
	char *taken = text_take(&l->fresh);
	text_make_printable(taken, length);
	*offset = l->offset - (int64_t)length;
	return taken;
}

void joblog_release(struct joblog *l)
{
	if (l->pipe_fd >= 0)
		close(l->pipe_fd);
	close(l->file_fd);
	text_release(&l->fresh);
	free(l->path);
}
