/* Downloads with libcurl: NAME.part grows over attempts, and becomes NAME once its MD5 is right. */
#include "core/data/fetch.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static const struct {
	const char *name, *base_url, *file, *md5;
} sets[] = {
        {"cifar10", "https://www.cs.toronto.edu/~kriz", "cifar-10-binary.tar.gz",
         "c32a1d4ab5d03f1284b67883e8d87530"},
        {"cifar100", "https://www.cs.toronto.edu/~kriz", "cifar-100-binary.tar.gz",
         "03b5dce01913d631647c71ecec9e9cb8"},
};
enum { SETS = sizeof sets / sizeof *sets, TRIES = 5, WAIT_MS = 1000 };

/* One file on its way. */
struct fetch {
	const char *url, *md5, *target;
	const struct fetch_options *options;
	char *part; /* target with ".part" */
	int fd;     /* of part, locked */
	CURL *curl;
	int64_t offset;  /* bytes that were there when the attempt began */
	int64_t arrived; /* bytes of this attempt */
	int write_errno; /* why bytes could not be written, or 0 */
	bool cancelled;
	int64_t reported_ms; /* when progress was last told */
	char reason[CURL_ERROR_SIZE];
};

enum outcome { WHOLE, AGAIN, GIVE_UP };

static long response_code(const struct fetch *f)
{
	long code = 0;

	curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &code);
	return code;
}

/* Where in the file the body of a 206 begins, or -1. */
static int64_t range_start(const struct fetch *f)
{
	struct curl_header *header = NULL;
	long long start = -1;

	if (curl_easy_header(f->curl, "Content-Range", 0, CURLH_HEADER, -1, &header) == CURLHE_OK)
		if (sscanf(header->value, "bytes %lld-", &start) != 1)
			start = -1;
	return start;
}

/* At the first bytes of a body: 0 when they can be used.  A server that ignores the range sends all
 * from the beginning; one that sends some other part of the file is asked for all the next time. */
static int begin_body(struct fetch *f)
{
	bool partial = response_code(f) == 206;
	int64_t start = partial ? range_start(f) : 0;

	if (start == f->offset)
		return 0;
	f->offset = 0;
	return ftruncate(f->fd, 0) == 0 && start == 0 ? 0 : -1;
}

static size_t take_bytes(char *bytes, size_t one, size_t count, void *context)
{
	struct fetch *f = context;
	long code = response_code(f);

	if (code != 200 && code != 206)
		return count; /* an error's page */
	if (f->arrived == 0 && begin_body(f) != 0)
		return 0;
	for (size_t done = 0; done < count;) {
		ssize_t wrote = pwrite(f->fd, bytes + done, count - done,
		                       f->offset + f->arrived + (int64_t)done);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0) {
			f->write_errno = errno;
			return 0;
		}
		done += (size_t)wrote;
	}
	f->arrived += (int64_t)count;
	return count;
}

static int tell(struct fetch *f, int64_t total)
{
	const struct fetch_options *o = f->options;

	f->reported_ms = clock_monotonic_ms();
	if (o->progress && o->progress(o->context, f->offset + f->arrived, total) != 0)
		f->cancelled = true;
	return f->cancelled;
}

static int on_progress(void *context, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up_now)
{
	struct fetch *f = context;

	if (clock_monotonic_ms() - f->reported_ms < 1000)
		return 0;
	return tell(f, total ? f->offset + total : 0);
}

static void set_options(struct fetch *f)
{
	CURL *c = f->curl;

	curl_easy_reset(c);
	curl_easy_setopt(c, CURLOPT_URL, f->url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(c, CURLOPT_MAXREDIRS, 5L);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 20L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, 30L);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, f->reason);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_bytes);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, f);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, f);
}

/* The MD5 of what has arrived; wrong bytes are thrown away, and fetched anew when some of them came
 * from an earlier attempt. */
static enum outcome check_part(struct fetch *f, struct error *e)
{
	char md5[MD5_HEX];
	bool all_new = f->offset == 0;

	if (md5_file(f->part, md5, e) != 0)
		return GIVE_UP;
	if (strcmp(md5, f->md5) == 0)
		return WHOLE;
	error_set(e, "%s: the bytes have MD5 %s, published is %s; they were thrown away", f->url,
	          md5, f->md5);
	if (ftruncate(f->fd, 0) != 0)
		return GIVE_UP;
	return all_new ? GIVE_UP : AGAIN;
}

/* What failed before there was an answer, and whether another attempt could help. */
static enum outcome judge_transfer(struct fetch *f, CURLcode code, struct error *e)
{
	bool no_network = code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT ||
	                  code == CURLE_COULDNT_RESOLVE_PROXY;
	bool hopeless = code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT ||
	                code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_TOO_MANY_REDIRECTS;
	const char *reason = f->reason[0] ? f->reason : curl_easy_strerror(code);

	if (f->cancelled) {
		error_set(e, "%s: interrupted; the same command goes on where it stopped", f->url);
		return GIVE_UP;
	}
	if (f->write_errno) {
		errno = f->write_errno;
		error_errno(e, "%s: cannot be written", f->part);
		return GIVE_UP;
	}
	if (no_network)
		error_set(e, "%s: no connection (%s); is this machine online?", f->url, reason);
	else
		error_set(e, "%s: %s", f->url, reason);
	return hopeless || (no_network && f->offset == 0) ? GIVE_UP : AGAIN;
}

static enum outcome judge_response(struct fetch *f, struct error *e)
{
	long code = response_code(f);

	if (code == 416 && f->offset > 0) /* nothing after what is there: whole, or not this file */
		return check_part(f, e);
	if (code == 200 || code == 206)
		return check_part(f, e);
	error_set(e, "%s: the server answers %ld%s", f->url, code,
	          code == 404 ? " (not found)" : "");
	return code >= 500 || code == 429 || code == 408 ? AGAIN : GIVE_UP;
}

static enum outcome attempt(struct fetch *f, struct error *e)
{
	char range[32];

	f->offset = file_bytes(f->part);
	f->arrived = 0;
	f->reason[0] = 0;
	set_options(f);
	if (f->offset > 0) {
		snprintf(range, sizeof range, "%lld-", (long long)f->offset);
		curl_easy_setopt(f->curl, CURLOPT_RANGE, range);
	}
	CURLcode code = curl_easy_perform(f->curl);
	if (code == CURLE_OK)
		return judge_response(f, e);
	return judge_transfer(f, code, e);
}

static int publish(struct fetch *f, struct error *e)
{
	tell(f, f->offset + f->arrived);
	if (fsync(f->fd) != 0)
		return error_errno(e, "%s: fsync", f->part);
	return file_publish(f->part, f->target, e);
}

static int run(struct fetch *f, struct error *e)
{
	int tries = f->options->tries ? f->options->tries : TRIES;
	int64_t wait_ms = f->options->wait_ms ? f->options->wait_ms : WAIT_MS;
	int64_t wait = wait_ms, most = 0;

	for (int idle = 0; idle < tries;) {
		enum outcome outcome = attempt(f, e);
		if (outcome == WHOLE)
			return publish(f, e);
		if (outcome == GIVE_UP)
			return -1;
		bool further = f->offset + f->arrived > most;
		most = further ? f->offset + f->arrived : most;
		idle = further ? 1 : idle + 1;
		wait = further ? wait_ms : wait;
		if (idle < tries)
			usleep((useconds_t)(wait * 1000));
		wait = wait < 30000 ? 2 * wait : wait;
	}
	return error_prefix(e, "given up after %d attempts", tries);
}

static bool is_there(const char *target, const char *md5)
{
	char hex[MD5_HEX];

	return file_exists(target) && md5_file(target, hex, NULL) == 0 && strcmp(hex, md5) == 0;
}

int fetch_file(const char *url, const char *md5, const char *target,
               const struct fetch_options *options, struct error *e)
{
	static const struct fetch_options usual;
	struct fetch f = {.url = url, .md5 = md5, .target = target};
	int status = -1;

	if (is_there(target, md5))
		return 0;
	f.options = options ? options : &usual;
	f.part = xformat("%s.part", target);
	f.fd = open(f.part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (f.fd < 0) {
		error_errno(e, "%s: cannot be created", f.part);
		goto end;
	}
	if (flock(f.fd, LOCK_EX | LOCK_NB) != 0) {
		error_set(e, "%s: is being fetched by another process", target);
		goto close;
	}
	f.curl = curl_easy_init();
	assert(f.curl);
	status = run(&f, e);
	if (status != 0 && file_bytes(f.part) == 0)
		unlink(f.part);
	curl_easy_cleanup(f.curl);
close:
	close(f.fd);
end:
	free(f.part);
	return status;
}

static int unknown_set(const char *name, struct error *e)
{
	const char *names[SETS];
	struct text list = {0};

	for (int i = 0; i < SETS; i++) {
		names[i] = sets[i].name;
		text_add(&list, "%s%s", i ? ", " : "", sets[i].name);
	}
	const char *nearest = nearest_name(name, names, SETS);
	error_set(e, "no data set \"%s\" to fetch; known: %s%s%s%s", name, list.data,
	          nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
	text_release(&list);
	return -1;
}

int fetch_data(const char *name, const char *folder, const struct fetch_options *options,
               char **path, struct error *e)
{
	int set = 0;

	while (set < SETS && strcmp(sets[set].name, name) != 0)
		set++;
	if (set == SETS)
		return unknown_set(name, e);
	if (folder_make(folder, e) != 0)
		return -1;
	const char *base = options && options->base_url ? options->base_url : sets[set].base_url;
	char *url = xformat("%s/%s", base, sets[set].file);
	char *target = path_join(folder, sets[set].file);
	int status = fetch_file(url, sets[set].md5, target, options, e);
	free(url);
	if (path && status == 0)
		*path = target;
	else
		free(target);
	return status;
}
