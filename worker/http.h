/* One HTTP exchange with the artifact store, through libcurl. */
#ifndef WORKER_HTTP_H
#define WORKER_HTTP_H
#include "core/base/error.h"
#include <stdbool.h>
#include <stdint.h>

struct http_request {
	const char *url, *token;
	const char *pin; /* only over TLS, to who shows this public key: "sha256//…"; null: any */
	int fd;          /* of the file that is sent or written */
	int64_t offset;  /* first byte sent, or asked for */
	int64_t bytes;   /* of the whole file */
	int stall_ms;
	const bool *cancelled; /* watched, may be set by another thread */
};

struct http_answer {
	long status;           /* HTTP's, or 0 when there was no answer */
	int64_t upload_offset; /* -1 when not said */
	int64_t length;        /* Content-Length, -1 when not said */
};

/* -1 with a line when the exchange broke off; whatever status came is in the answer. */
int http_head(const struct http_request *r, struct http_answer *a, struct error *e);
int http_put(const struct http_request *r, struct http_answer *a, struct error *e);

/* Appends to fd what comes with status 206, or with 200 after truncating it. */
int http_get(const struct http_request *r, struct http_answer *a, struct error *e);
#endif
