/* Bytes to and from the artifact store, in threads of their own, so that beats go on. */
#include "worker/transfer.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "worker/http.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 8, BAD_TRIES = 3 };

struct node {
	struct transfer_result result;
	bool cancelled, pausing;
	struct node *next;
};

struct transfer {
	struct transfer_options options;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* on the monotonic clock */
	pthread_t thread[THREADS_MAX];
	int threads, event_fd;
	bool ending;
	char *url, *pin;
	int addresses;                             /* how often they have changed */
	struct node *waiting, *running, *finished; /* in the order they came */
};

/* What one try came to. */
enum attempt { TRY_FINISHED, TRY_AGAIN_NOW, TRY_AGAIN_LATER };

static void list_append(struct node **list, struct node *n)
{
	while (*list)
		list = &(*list)->next;
	n->next = NULL;
	*list = n;
}

static void list_remove(struct node **list, const struct node *n)
{
	while (*list != n)
		list = &(*list)->next;
	*list = n->next;
}

static enum attempt finish(struct transfer_result *r, enum transfer_status status)
{
	r->status = status;
	return TRY_FINISHED;
}

/* What an HTTP status that is no success means. */
static enum attempt failed(struct transfer_result *r, long status)
{
	if (status == 404 || status == 410)
		return finish(r, TRANSFER_GONE);
	if (status == 401 || status == 403 || status == 413)
		return finish(r, TRANSFER_REFUSED);
	return TRY_AGAIN_LATER;
}

static enum attempt try_upload(struct http_request *q, struct transfer_result *r, int *bad)
{
	struct http_answer a;
	if (http_head(q, &a, &r->error))
		return TRY_AGAIN_LATER;
	if (a.status == 404)
		q->offset = a.upload_offset > 0 ? a.upload_offset : 0;
	else if (a.status == 200 && a.length == q->bytes)
		q->offset = q->bytes; /* an empty rest: the store commits what it has */
	else
		return failed(r, a.status);
	if (q->offset > q->bytes)
		return failed(r, 500);
	if (http_put(q, &a, &r->error) && a.status < 400)
		return TRY_AGAIN_LATER;
	if (a.status == 201)
		return finish(r, TRANSFER_OK);
	if (a.status == 422)
		return ++*bad < BAD_TRIES ? TRY_AGAIN_NOW : finish(r, TRANSFER_BAD);
	return a.status == 202 ? TRY_AGAIN_NOW : failed(r, a.status);
}

/* Whether the file is whole and is what its name says; then it gets its name. */
static enum attempt keep_download(struct transfer_result *r, const char *part, int *bad)
{
	char hex[SHA256_HEX];
	if (sha256_file(part, hex, &r->error) || file_sync(part, &r->error))
		return finish(r, TRANSFER_LOCAL);
	if (strcmp(hex, r->item.sha256)) {
		unlink(part);
		error_set(&r->error, "%s: its bytes have SHA-256 %s", r->item.sha256, hex);
		return ++*bad < BAD_TRIES ? TRY_AGAIN_NOW : finish(r, TRANSFER_BAD);
	}
	if (file_publish(part, r->item.path, &r->error))
		return finish(r, TRANSFER_LOCAL);
	return finish(r, TRANSFER_OK);
}

static enum attempt try_download(struct http_request *q, struct transfer_result *r,
                                 const char *part, int *bad)
{
	struct http_answer a;
	q->offset = lseek(q->fd, 0, SEEK_END);
	if (q->offset > q->bytes) {
		if (ftruncate(q->fd, 0))
			return finish(r, TRANSFER_LOCAL);
		q->offset = 0;
	}
	errno = 0;
	if (q->offset < q->bytes) {
		int broken = http_get(q, &a, &r->error);
		if (!broken && a.status != 200 && a.status != 206)
			return failed(r, a.status);
		if (broken)
			return errno == ENOSPC ? finish(r, TRANSFER_LOCAL) : TRY_AGAIN_LATER;
	}
	if (lseek(q->fd, 0, SEEK_END) < q->bytes)
		return TRY_AGAIN_LATER;
	return keep_download(r, part, bad);
}

static bool is_right_already(const struct transfer_item *item)
{
	char hex[SHA256_HEX];
	return file_bytes(item->path) == item->bytes && sha256_file(item->path, hex, NULL) == 0 &&
	       strcmp(hex, item->sha256) == 0;
}

/* Waits, at most until the store is elsewhere; false when the item was cancelled in the meantime.
 */
static bool pause_ms(struct transfer *t, struct node *n, int ms)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	pthread_mutex_lock(&t->lock);
	int addresses = t->addresses;
	n->pausing = ms > 0;
	while (!n->cancelled && addresses == t->addresses &&
	       !pthread_cond_timedwait(&t->changed, &t->lock, &until))
		;
	n->pausing = false;
	bool go_on = !n->cancelled;
	pthread_mutex_unlock(&t->lock);
	return go_on;
}

static char *or_null(const char *text)
{
	return text ? xstrdup(text) : NULL;
}

/* Where the item lies in the store, and the key that the store must show; both are the caller's. */
static char *item_url(struct transfer *t, const struct transfer_item *item, char **pin)
{
	pthread_mutex_lock(&t->lock);
	char *url = xformat("%s/artifacts/%s", t->url ? t->url : "", item->sha256);
	*pin = or_null(t->pin);
	pthread_mutex_unlock(&t->lock);
	return url;
}

/* One try at it. */
static enum attempt transfer_try(struct transfer *t, struct node *n, int fd, const char *part,
                                 int *bad)
{
	struct transfer_result *r = &n->result;
	char *pin = NULL, *url = item_url(t, &r->item, &pin);
	struct http_request q = {.url = url,
	                         .token = r->item.token,
	                         .pin = pin,
	                         .fd = fd,
	                         .bytes = r->item.bytes,
	                         .stall_ms = t->options.stall_ms,
	                         .cancelled = &n->cancelled};
	enum attempt got = fd < 0           ? finish(r, TRANSFER_LOCAL)
	                   : r->item.upload ? try_upload(&q, r, bad)
	                                    : try_download(&q, r, part, bad);

	free(url);
	free(pin);
	return got;
}

/* Why it is tried again, once while that stays the same. */
static void complain(struct transfer_result *r, struct error *said)
{
	if (strcmp(said->text, r->error.text) == 0)
		return;
	*said = r->error;
	log_warn("trial %lld: %s; trying again", (long long)r->item.trial, said->text);
}

static void transfer_run(struct transfer *t, struct node *n)
{
	struct transfer_result *r = &n->result;
	char *part = xformat("%s.%lld-%lld.part", r->item.path, (long long)r->item.trial,
	                     (long long)r->item.attempt);
	int pause = t->options.pause_ms, bad = 0, fd;
	struct error said = {{0}};
	if (!r->item.upload && is_right_already(&r->item)) {
		finish(r, TRANSFER_OK);
		goto done;
	}
	fd = r->item.upload ? open(r->item.path, O_RDONLY | O_CLOEXEC) : -1;
	if (r->item.upload && (fd < 0 || file_bytes(r->item.path) != r->item.bytes)) {
		error_errno(&r->error, "%s: not the file that was named", r->item.path);
		finish(r, TRANSFER_LOCAL);
		goto close;
	}
	for (;;) {
		if (!r->item.upload && fd >= 0)
			close(fd);
		if (!r->item.upload)
			fd = open(part, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		enum attempt got = transfer_try(t, n, fd, part, &bad);
		if (got == TRY_FINISHED)
			break;
		if (got == TRY_AGAIN_LATER)
			complain(r, &said);
		if (!pause_ms(t, n, got == TRY_AGAIN_NOW ? 0 : pause)) {
			finish(r, TRANSFER_CANCELLED);
			break;
		}
		pause = pause * 2 < t->options.pause_max_ms ? pause * 2 : t->options.pause_max_ms;
	}
close:
	if (fd >= 0)
		close(fd);
done:
	if (!r->item.upload)
		unlink(part);
	free(part);
}

static void *thread_main(void *context)
{
	struct transfer *t = context;
	pthread_mutex_lock(&t->lock);
	for (;;) {
		while (!t->waiting && !t->ending)
			pthread_cond_wait(&t->changed, &t->lock);
		if (t->ending)
			break;
		struct node *n = t->waiting;
		list_remove(&t->waiting, n);
		list_append(&t->running, n);
		pthread_mutex_unlock(&t->lock);
		transfer_run(t, n);
		pthread_mutex_lock(&t->lock);
		list_remove(&t->running, n);
		list_append(&t->finished, n);
		eventfd_write(t->event_fd, 1);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

struct transfer *transfer_new(const struct transfer_options *o, struct error *e)
{
	struct transfer *t = xcalloc(1, sizeof *t);
	pthread_condattr_t monotonic;
	t->options = *o;
	t->options.threads = o->threads ? o->threads : 2;
	t->options.pause_ms = o->pause_ms ? o->pause_ms : 250;
	t->options.pause_max_ms = o->pause_max_ms ? o->pause_max_ms : 10000;
	t->options.stall_ms = o->stall_ms ? o->stall_ms : 30000;
	assert(t->options.threads <= THREADS_MAX);
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&t->changed, &monotonic);
	t->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	while (t->threads < t->options.threads &&
	       !pthread_create(&t->thread[t->threads], NULL, thread_main, t))
		t->threads++;
	if (t->event_fd >= 0 && t->threads)
		return t;
	error_errno(e, "cannot start a transfer thread");
	transfer_free(t);
	return NULL;
}

static bool differs(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) != 0 : a != b;
}

void transfer_url(struct transfer *t, const char *url, const char *pin)
{
	pthread_mutex_lock(&t->lock);
	if (differs(t->url, url) || differs(t->pin, pin)) {
		free(t->url);
		free(t->pin);
		t->url = xstrdup(url);
		t->pin = or_null(pin);
		t->addresses++;
		pthread_cond_broadcast(&t->changed);
	}
	pthread_mutex_unlock(&t->lock);
}

bool transfer_is_stuck(struct transfer *t)
{
	bool stuck = false;
	pthread_mutex_lock(&t->lock);
	for (struct node *n = t->running; n; n = n->next)
		stuck = stuck || n->pausing;
	pthread_mutex_unlock(&t->lock);
	return stuck;
}

int transfer_fd(const struct transfer *t)
{
	return t->event_fd;
}

void transfer_put(struct transfer *t, const struct transfer_item *item)
{
	struct node *n = xcalloc(1, sizeof *n);
	n->result.item = *item;
	n->result.item.path = xstrdup(item->path);
	n->result.item.token = xstrdup(item->token);
	pthread_mutex_lock(&t->lock);
	list_append(&t->waiting, n);
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

bool transfer_next(struct transfer *t, struct transfer_result *r)
{
	eventfd_t ignored;
	pthread_mutex_lock(&t->lock);
	struct node *n = t->finished;
	if (n)
		t->finished = n->next;
	else
		eventfd_read(t->event_fd, &ignored);
	pthread_mutex_unlock(&t->lock);
	if (!n)
		return false;
	*r = n->result;
	free(n);
	return true;
}

/* What waits is finished as cancelled; what runs sees its flag.  Under the lock. */
static void cancel_where(struct transfer *t, bool all, int64_t trial, int64_t attempt)
{
	for (struct node *n = t->running; n; n = n->next)
		if (all || (n->result.item.trial == trial && n->result.item.attempt == attempt))
			__atomic_store_n(&n->cancelled, true, __ATOMIC_RELAXED);
	for (struct node *n = t->waiting, *next; n; n = next) {
		next = n->next;
		if (!all && (n->result.item.trial != trial || n->result.item.attempt != attempt))
			continue;
		list_remove(&t->waiting, n);
		finish(&n->result, TRANSFER_CANCELLED);
		list_append(&t->finished, n);
		eventfd_write(t->event_fd, 1);
	}
	pthread_cond_broadcast(&t->changed);
}

void transfer_cancel(struct transfer *t, int64_t trial, int64_t attempt)
{
	pthread_mutex_lock(&t->lock);
	cancel_where(t, false, trial, attempt);
	pthread_mutex_unlock(&t->lock);
}

void transfer_free(struct transfer *t)
{
	struct transfer_result r;
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->ending = true;
	cancel_where(t, true, 0, 0);
	pthread_mutex_unlock(&t->lock);
	for (int i = 0; i < t->threads; i++)
		pthread_join(t->thread[i], NULL);
	while (transfer_next(t, &r))
		transfer_result_release(&r);
	if (t->event_fd >= 0)
		close(t->event_fd);
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
	free(t->url);
	free(t->pin);
	free(t);
}

void transfer_result_release(struct transfer_result *r)
{
	free(r->item.path);
	free(r->item.token);
}

const char *transfer_status_text(enum transfer_status status)
{
	static const char *const text[] = {
	        [TRANSFER_OK] = "done",           [TRANSFER_GONE] = "the store does not have it",
	        [TRANSFER_BAD] = "wrong SHA-256", [TRANSFER_REFUSED] = "refused",
	        [TRANSFER_LOCAL] = "file here",   [TRANSFER_CANCELLED] = "cancelled"};
	return text[status];
}
