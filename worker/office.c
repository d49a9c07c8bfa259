/* What an agent has for itself: a name, folders, sockets, and the guard. */
#include "worker/office.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "schemas/wire.h"
#include "worker/agent.h"
#include "worker/process.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

enum {
	SOCKET_PATH_BYTES = 100, /* the kernel takes 107 */
	QUEUE_MESSAGES = 100000
};

static void name_make(char name[33])
{
	unsigned char bytes[16];
	if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
		abort();
	for (int i = 0; i < 16; i++)
		snprintf(name + 2 * i, 3, "%02x", bytes[i]);
}

/* Opens and locks <folder>/lock; -1 when it is absent or its agent lives. */
static int lock_take(const char *folder, int flags)
{
	char *path = path_join(folder, "lock");
	int fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);
	free(path);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* What agents left that were killed together with their guard. */
static void work_clear(const char *work)
{
	DIR *d = opendir(work);
	for (struct dirent *f; d && (f = readdir(d));) {
		if (strlen(f->d_name) != 32 || strspn(f->d_name, "0123456789abcdef") != 32)
			continue;
		char *folder = path_join(work, f->d_name);
		int fd = lock_take(folder, 0);
		if (fd >= 0) {
			processes_kill(f->d_name);
			folder_remove(folder, NULL);
			close(fd);
			log_info("cleared what an agent left in %s", folder);
		}
		free(folder);
	}
	if (d)
		closedir(d);
}

static int folders_make(struct office *o, const char *work, struct error *e)
{
	char real[PATH_MAX];
	if (folder_make(work, e))
		return -1;
	if (!realpath(work, real))
		return error_errno(e, "%s", work);
	work_clear(real);
	o->folder = path_join(real, o->name);
	o->cache = path_join(real, "cache");
	if (folder_make(o->cache, e) || folder_make(o->folder, e))
		return -1;
	chmod(o->folder, 0700);
	o->lock_fd = lock_take(o->folder, O_CREAT);
	return o->lock_fd < 0 ? error_errno(e, "%s/lock", o->folder) : 0;
}

static void socket_set(void *socket, int option, int value)
{
	zmq_setsockopt(socket, option, &value, sizeof value);
}

static int jobs_bind(struct office *o, struct error *e)
{
	char short_folder[] = "/tmp/trawl-XXXXXX";
	const char *folder = o->folder;
	if (strlen(folder) > SOCKET_PATH_BYTES - 5) {
		if (!mkdtemp(short_folder))
			return error_errno(e, "%s", short_folder);
		folder = o->socket_folder = xstrdup(short_folder);
	}
	o->jobs_url = xformat("ipc://%s/jobs", folder);
	o->jobs = zmq_socket(o->zmq, ZMQ_ROUTER);
	socket_set(o->jobs, ZMQ_LINGER, 0);
	socket_set(o->jobs, ZMQ_RCVHWM, QUEUE_MESSAGES);
	if (zmq_bind(o->jobs, o->jobs_url))
		return error_set(e, "%s: %s", o->jobs_url, zmq_strerror(errno));
	return 0;
}

int office_open(struct office *o, const struct agent_options *options, struct error *e)
{
	*o = (struct office){.lock_fd = -1, .guard = {.fd = -1}};
	name_make(o->name);
	if (folders_make(o, options->work, e) || guard_start(&o->guard, o->name, o->folder, e))
		goto fail;
	o->zmq = zmq_ctx_new();
	if (jobs_bind(o, e) || addresses_open(&o->coordinator, o->zmq, o->name, options->connect,
	                                      options->key, options->server_key, e))
		goto fail;
	return 0;
fail:
	office_close(o);
	return -1;
}

bool office_mind(struct office *o)
{
	if (waitpid(o->guard.pid, NULL, WNOHANG) != o->guard.pid)
		return false;
	close(o->guard.fd);
	guard_start(&o->guard, o->name, o->folder, NULL);
	return true;
}

void office_close(struct office *o)
{
	addresses_close(&o->coordinator);
	if (o->jobs)
		zmq_close(o->jobs);
	if (o->zmq)
		zmq_ctx_term(o->zmq);
	if (o->guard.fd >= 0)
		guard_stop(&o->guard);
	if (o->folder)
		folder_remove(o->folder, NULL);
	if (o->socket_folder)
		folder_remove(o->socket_folder, NULL);
	if (o->lock_fd >= 0)
		close(o->lock_fd);
	free(o->folder);
	free(o->cache);
	free(o->jobs_url);
	free(o->socket_folder);
	*o = (struct office){.lock_fd = -1};
}
