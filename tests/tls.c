/* Laws of the artifact store beyond the machine: over TLS, to the key that the coordinator told. */
#include "tests/transfer_world.h"
#include "worker/http.h"
#include <sys/stat.h>

static struct certificate own, other;

static int make_certificates(void **state)
{
	char folder[] = "/tmp/trawl-tls-XXXXXX";
	struct error e = {{0}};
	struct certificate *const both[] = {&own, &other};

	assert_non_null(mkdtemp(folder));
	for (int i = 0; i < 2; i++) {
		char *path = xformat("%s/%d.tls", folder, i);
		if (certificate_open(path, both[i], &e))
			fail_msg("%s", e.text);
		free(path);
	}
	return folder_remove(folder, NULL);
}

static int forget_certificates(void **state)
{
	certificate_release(&own);
	certificate_release(&other);
	return 0;
}

static int setup_tls(void **state)
{
	setup(state);
	struct world *w = *state;
	artifacts_stop(w->artifacts);
	w->certificate = &own;
	w->pin = own.pin;
	store_start(w, 1);
	return 0;
}

/* What one request comes to; 0 when it broke off, with a line. */
static long status_of(struct world *w, const char *url, const char *pin, struct error *e)
{
	bool cancelled = false;
	struct http_answer a;
	char *full = xformat("%s/artifacts/%s", url, w->sha256);
	struct http_request q = {
	        .url = full, .token = token, .pin = pin, .stall_ms = 2000, .cancelled = &cancelled};

	*e = (struct error){{0}};
	int broken = http_head(&q, &a, e);
	free(full);
	assert_null(strchr(e->text, '\n'));
	return broken ? 0 : a.status;
}

static void what_goes_up_over_tls_comes_down_the_same(void **state)
{
	struct world *w = *state;
	char hex[SHA256_HEX];

	assert_int_equal(strncmp(artifacts_url(w->artifacts), "https://", 8), 0);
	put(w, true, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	assert_int_equal(stored_bytes(w, ""), BLOB_BYTES);
	put(w, false, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	assert_int_equal(sha256_file(w->copy, hex, NULL), 0);
	assert_string_equal(hex, w->sha256);
}

static void a_cut_line_is_gone_on_with(void **state)
{
	struct world *w = *state;
	struct line l;

	line_start(&l, w, "https", 1 << 20);
	put(w, true, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	put(w, false, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	assert_true(l.cuts >= 4);
	assert_true(l.passed < BLOB_BYTES * 8 / 3);
	line_stop(&l);
}

/* Who listens on the way hears neither the token nor the bytes. */
static void a_token_travels_unseen(void **state)
{
	struct world *w = *state;
	struct line l;

	line_start(&l, w, "https", INT64_MAX);
	put(w, true, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	assert_true(l.heard.length > 1000);
	assert_null(memmem(l.heard.data, l.heard.length, token, strlen(token)));
	assert_null(memmem(l.heard.data, l.heard.length, "/artifacts/", 11));
	line_stop(&l);
}

/* An address without TLS, for a store whose key is known: nothing is said at all. */
static void a_known_key_is_not_done_without(void **state)
{
	struct world *w = *state;
	struct line l;
	struct error e;

	line_start(&l, w, "http", INT64_MAX);
	put(w, true, token);
	assert_int_equal(result(w, 200), -1);
	assert_int_equal(status_of(w, l.url, own.pin, &e), 0);
	assert_non_null(strstr(e.text, "https:// is wanted"));
	assert_int_equal(l.heard.length, 0);
	transfer_url(w->transfer, artifacts_url(w->artifacts), w->pin);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	line_stop(&l);
}

static void another_key_at_the_address_is_told_nothing(void **state)
{
	struct world *w = *state;
	struct artifacts *theirs, *ours = w->artifacts;
	struct line l;
	struct error e;

	w->certificate = &other;
	store_start(w, 1);
	theirs = w->artifacts;
	line_start(&l, w, "https", INT64_MAX);
	put(w, true, token);
	assert_int_equal(result(w, 300), -1);
	assert_int_equal(stored_bytes(w, ".part"), -1);
	assert_int_equal(w->commits, 0);
	assert_int_equal(status_of(w, l.url, own.pin, &e), 0);
	assert_non_null(strstr(e.text, "another server is at this address"));
	assert_int_equal(status_of(w, l.url, other.pin, &e), 404);
	w->artifacts = ours;
	__atomic_store_n(&l.store_port, artifacts_port(ours), __ATOMIC_RELEASE);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	line_stop(&l);
	artifacts_stop(theirs);
}

/* The coordinator came back elsewhere, with another key: what waits goes there. */
static void a_new_key_is_taken_up_at_once(void **state)
{
	struct world *w = *state;

	w->pin = other.pin;
	transfer_url(w->transfer, artifacts_url(w->artifacts), w->pin);
	put(w, true, token);
	assert_int_equal(result(w, 200), -1);
	transfer_url(w->transfer, artifacts_url(w->artifacts), own.pin);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
}

/* Signed by itself, it proves nothing to who was told no key. */
static void without_a_pin_nobody_is_believed(void **state)
{
	struct world *w = *state;
	struct error e;
	char *plain = xformat("http://127.0.0.1:%d", artifacts_port(w->artifacts));

	assert_int_equal(status_of(w, artifacts_url(w->artifacts), NULL, &e), 0);
	assert_int_equal(status_of(w, plain, NULL, &e), 0);
	assert_int_equal(status_of(w, artifacts_url(w->artifacts), own.pin, &e), 404);
	free(plain);
}

static void a_key_is_made_once_and_for_its_owner(void **state)
{
	struct world *w = *state;
	char *path = path_join(w->folder, "db.tls");
	struct certificate first, again;
	struct error e = {{0}};
	struct stat s;

	assert_int_equal(certificate_open(path, &first, &e), 0);
	assert_int_equal(stat(path, &s), 0);
	assert_int_equal(s.st_mode & 0777, 0600);
	assert_int_equal(certificate_open(path, &again, &e), 0);
	assert_string_equal(first.pin, again.pin);
	assert_string_not_equal(first.pin, own.pin);
	assert_int_equal(strncmp(first.pin, "sha256//", 8), 0);
	assert_int_equal(strlen(first.pin), 8 + 44);
	certificate_release(&again);
	chmod(path, 0644);
	assert_int_equal(certificate_open(path, &again, &e), -1);
	assert_non_null(strstr(e.text, "chmod 600"));
	chmod(path, 0600);
	first.pem[strlen(first.pem) / 2] = 0;
	assert_int_equal(file_write(path, first.pem, strlen(first.pem), &e), 0);
	chmod(path, 0600);
	assert_int_equal(certificate_open(path, &again, &e), -1);
	assert_non_null(strstr(e.text, "remove it"));
	certificate_release(&first);
	free(path);
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, setup_tls, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        LAW(what_goes_up_over_tls_comes_down_the_same),
	        LAW(a_cut_line_is_gone_on_with),
	        LAW(a_token_travels_unseen),
	        LAW(a_known_key_is_not_done_without),
	        LAW(another_key_at_the_address_is_told_nothing),
	        LAW(a_new_key_is_taken_up_at_once),
	        LAW(without_a_pin_nobody_is_believed),
	        LAW(a_key_is_made_once_and_for_its_owner),
	};
	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests(tests, make_certificates, forget_certificates);
}
