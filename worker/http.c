/* One HTTP exchange with the artifact store, through libcurl. */
#include "worker/http.h"
#include "core/base/text.h"
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONNECT_MS = 5000 };

struct exchange {
	const struct http_request *request;
	struct http_answer *answer;
	struct curl_slist *headers;
	CURL *curl;
	int64_t sent;
	CURLcode unfit; /* what it asks for and this libcurl cannot */
	bool disk_failed;
	int disk_errno;
	struct text body; /* of an answer that is not the file: its reason */
};

static size_t take_header(char *line, size_t size, size_t count, void *context)
{
	struct exchange *x = context;
	char *text = xmalloc(size * count + 1);
	memcpy(text, line, size * count);
	text[size * count] = 0;
	if (strncasecmp(text, "Upload-Offset:", 14) == 0)
		x->answer->upload_offset = strtoll(text + 14, NULL, 10);
	if (strncasecmp(text, "Content-Length:", 15) == 0)
		x->answer->length = strtoll(text + 15, NULL, 10);
	free(text);
	return size * count;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
	struct exchange *x = context;
	if (x->body.length < 500)
		text_add_bytes(&x->body, bytes, size * count);
	return size * count;
}

static size_t take_file(char *bytes, size_t size, size_t count, void *context)
{
	struct exchange *x = context;
	long status = 0;
	curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200 && status != 206)
		return take_body(bytes, size, count, context);
	if (status == 200 && x->sent == 0 && ftruncate(x->request->fd, 0))
		x->disk_failed = true;
	if (status == 200 && x->sent == 0)
		lseek(x->request->fd, 0, SEEK_SET);
	for (size_t done = 0; done < size * count && !x->disk_failed;) {
		ssize_t n = write(x->request->fd, bytes + done, size * count - done);
		x->disk_failed = n < 0 && errno != EINTR;
		x->disk_errno = errno;
		done += n > 0 ? (size_t)n : 0;
	}
	x->sent += (int64_t)(size * count);
	return x->disk_failed ? 0 : size * count;
}

static size_t give_file(char *bytes, size_t size, size_t count, void *context)
{
	struct exchange *x = context;
	ssize_t n = pread(x->request->fd, bytes, size * count, x->request->offset + x->sent);
	if (n < 0)
		return CURL_READFUNC_ABORT;
	x->sent += n;
	return (size_t)n;
}

static int watch(void *context, curl_off_t dt, curl_off_t dn, curl_off_t ut, curl_off_t un)
{
	const struct exchange *x = context;
	return x->request->cancelled && __atomic_load_n(x->request->cancelled, __ATOMIC_RELAXED);
}

static void header_add(struct exchange *x, char *line)
{
	x->headers = curl_slist_append(x->headers, line);
	free(line);
}

static void curl_begin(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* The pin is the check: the certificate is signed by itself. */
static void pin(struct exchange *x, const char *key)
{
	x->unfit = curl_easy_setopt(x->curl, CURLOPT_PINNEDPUBLICKEY, key);
	curl_easy_setopt(x->curl, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(x->curl, CURLOPT_SSL_VERIFYHOST, 0L);
	curl_easy_setopt(x->curl, CURLOPT_PROTOCOLS_STR, "https");
}

static void exchange_init(struct exchange *x, const struct http_request *r, struct http_answer *a)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, curl_begin);
	*a = (struct http_answer){.upload_offset = -1, .length = -1};
	*x = (struct exchange){.request = r, .answer = a, .curl = curl_easy_init()};
	header_add(x, xformat("Authorization: Bearer %s", r->token));
	curl_easy_setopt(x->curl, CURLOPT_URL, r->url);
	curl_easy_setopt(x->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(x->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	if (r->pin)
		pin(x, r->pin);
	curl_easy_setopt(x->curl, CURLOPT_NOPROXY, "*"); /* the store is named by the lease */
	curl_easy_setopt(x->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(x->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(x->curl, CURLOPT_LOW_SPEED_TIME, (long)(r->stall_ms + 999) / 1000);
	curl_easy_setopt(x->curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(x->curl, CURLOPT_XFERINFOFUNCTION, watch);
	curl_easy_setopt(x->curl, CURLOPT_XFERINFODATA, x);
	curl_easy_setopt(x->curl, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(x->curl, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(x->curl, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(x->curl, CURLOPT_WRITEDATA, x);
}

static const char *broken_off(const struct exchange *x, CURLcode code)
{
	if (code == CURLE_SSL_PINNEDPUBKEYNOTMATCH)
		return "its key is not the one that the coordinator told: another server is at "
		       "this "
		       "address";
	if (code == CURLE_UNSUPPORTED_PROTOCOL && x->request->pin)
		return "https:// is wanted, for the coordinator told which key it must show";
	return curl_easy_strerror(code);
}

/* Performs it, says what broke or what the store said about a refusal, releases. */
static int exchange_run(struct exchange *x, struct error *e)
{
	curl_easy_setopt(x->curl, CURLOPT_HTTPHEADER, x->headers);
	CURLcode code = x->unfit ? x->unfit : curl_easy_perform(x->curl);
	curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &x->answer->status);
	int status = 0;
	if (x->disk_failed) {
		errno = x->disk_errno;
		status = error_errno(e, "writing");
	} else if (code != CURLE_OK) {
		status = error_set(e, "%s: %s", x->request->url, broken_off(x, code));
	} else if (x->answer->status >= 400) {
		char *text = text_take(&x->body);
		text[strcspn(text, "\n")] = 0;
		error_set(e, "%s: %ld %s", x->request->url, x->answer->status, text);
		free(text);
	}
	text_release(&x->body);
	curl_slist_free_all(x->headers);
	curl_easy_cleanup(x->curl);
	return status;
}

int http_head(const struct http_request *r, struct http_answer *a, struct error *e)
{
	struct exchange x;
	exchange_init(&x, r, a);
	curl_easy_setopt(x.curl, CURLOPT_NOBODY, 1L);
	return exchange_run(&x, e);
}

int http_put(const struct http_request *r, struct http_answer *a, struct error *e)
{
	struct exchange x;
	exchange_init(&x, r, a);
	if (r->offset < r->bytes)
		header_add(&x, xformat("Content-Range: bytes %lld-%lld/%lld", (long long)r->offset,
		                       (long long)r->bytes - 1, (long long)r->bytes));
	else /* nothing is left to send: the store commits what it has */
		header_add(&x, xformat("Content-Range: bytes */%lld", (long long)r->bytes));
	curl_easy_setopt(x.curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(x.curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)(r->bytes - r->offset));
	curl_easy_setopt(x.curl, CURLOPT_READFUNCTION, give_file);
	curl_easy_setopt(x.curl, CURLOPT_READDATA, &x);
	return exchange_run(&x, e);
}

int http_get(const struct http_request *r, struct http_answer *a, struct error *e)
{
	struct exchange x;
	exchange_init(&x, r, a);
	if (r->offset)
		header_add(&x, xformat("Range: bytes=%lld-", (long long)r->offset));
	curl_easy_setopt(x.curl, CURLOPT_WRITEFUNCTION, take_file);
	return exchange_run(&x, e);
}
