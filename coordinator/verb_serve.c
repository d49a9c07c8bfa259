/* The verb serve: runs the coordinator of a database. */
#include "coordinator/serve.h"
#include "coordinator/verb.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PORT_MAX = 65535, LEASE_MAX_S = 86400 };

/* For machines that show keys: how they reach this one. */
static void say_keys(const char *endpoint, const char *curve)
{
	char host[256] = "HOST";

	gethostname(host, sizeof host - 1);
	printf("key:     %s\nelsewhere: trawl keys new FILE; here: trawl keys authorize agent|user "
	       "KEY; then there:\n"
	       "  trawl-worker --connect tcp://%s%s --key FILE --server-key '%s'\n",
	       curve, host, strrchr(endpoint, ':'), curve);
}

static void say_ready(void *context, const char *endpoint, const char *url, const char *curve)
{
	printf("serving %s\n", (const char *)context);
	if (curve)
		say_keys(endpoint, curve);
	else
		printf("agents:  trawl-worker --connect %s\n", endpoint);
	printf("clients: trawl status --db %s\nfiles:   %s\n", endpoint, url);
	fflush(stdout);
}

/* HOST:PORT, either part may be missing. */
static int http_place(const char *text, char host[256], int *port, struct error *e)
{
	const char *colon = strrchr(text, ':');
	char *end = NULL;
	long number = colon ? strtol(colon + 1, &end, 10) : 0;
	if (colon && (end == colon + 1 || *end || number < 0 || number > PORT_MAX))
		return error_set(e, "--http %s: wants HOST:PORT", text);
	*port = (int)number;
	snprintf(host, 256, "%.*s", colon ? (int)(colon - text) : (int)strlen(text), text);
	return 0;
}

static void say_ready_json(void *context, const char *endpoint, const char *url, const char *curve)
{
	cJSON *json = cJSON_CreateObject();
	cJSON_AddStringToObject(json, "database", context);
	cJSON_AddStringToObject(json, "endpoint", endpoint);
	cJSON_AddStringToObject(json, "url", url);
	if (curve)
		cJSON_AddStringToObject(json, "key", curve);
	verb_print_json(json);
	fflush(stdout);
}

int verb_serve(const struct options *o, struct error *e)
{
	char host[256] = "";
	int64_t lease_s;
	struct serve_options how = {.database = database_path(option_text(o, "--db", NULL)),
	                            .listen = option_text(o, "--listen", "tcp://127.0.0.1:5555"),
	                            .artifacts = option_text(o, "--store", NULL),
	                            .http_url = option_text(o, "--http-url", NULL),
	                            .notify = option_text(o, "--notify", getenv("TRAWL_NOTIFY")),
	                            .take_over = option_given(o, "--take-over"),
	                            .insecure = option_given(o, "--insecure"),
	                            .allow_network = option_given(o, "--allow-network-fs"),
	                            .ready =
	                                    option_given(o, "--json") ? say_ready_json : say_ready};
	if (how.http_url && strncmp(how.http_url, "http://", 7) &&
	    strncmp(how.http_url, "https://", 8))
		return error_set(e, "--http-url %s: http://HOST:PORT or https:// is wanted",
		                 how.http_url);
	if (database_check_file(how.database, "serve", e) ||
	    http_place(option_text(o, "--http", ""), host, &how.http_port, e) ||
	    option_bytes(o, "--artifact-quota", 0, &how.artifact_quota, e) ||
	    option_int(o, "--lease", 1, LEASE_MAX_S, 0, &lease_s, e))
		return -1;
	verb_data_roots(o);
	how.http_address = *host ? host : NULL;
	how.lease_ms = 1000 * lease_s;
	how.context = (void *)how.database;
	log_open("trawl serve");
	return serve_run(&how, e);
}
