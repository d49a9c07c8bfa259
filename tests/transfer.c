/* Bytes between agent and artifact store: resumed where they were cut, checked on both sides,
 * promised only after the commit. */
#include "tests/transfer_world.h"

static void what_goes_up_comes_down_the_same(void **state)
{
	struct world *w = *state;
	char hex[SHA256_HEX];
	put(w, true, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	assert_int_equal(stored_bytes(w, ""), BLOB_BYTES);
	assert_int_equal(stored_bytes(w, ".part"), -1);
	put(w, false, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	assert_int_equal(sha256_file(w->copy, hex, NULL), 0);
	assert_string_equal(hex, w->sha256);
	put(w, true, token); /* again: nothing is sent, but it is committed again */
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	assert_int_equal(w->commits, 2);
}

static void stored_is_said_only_after_the_commit(void **state)
{
	struct world *w = *state;
	w->slow_ms = 300;
	int64_t begin = clock_monotonic_ms();
	put(w, true, token);
	assert_int_equal(result(w, 250), -1); /* the bytes lie there, the commit does not */
	assert_int_equal(stored_bytes(w, ""), BLOB_BYTES);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	assert_true(w->committed_ms - begin >= 300);
	assert_int_equal(w->commits, 1);
}

static void commit_that_fails_or_is_late_is_asked_for_again(void **state)
{
	struct world *w = *state;
	w->refusals = 3;
	put(w, true, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	assert_int_equal(w->commits, 1);
}

static void wrong_digest_is_refused_and_leaves_nothing(void **state)
{
	struct world *w = *state;
	w->sha256[0] = w->sha256[0] == '0' ? '1' : '0';
	put(w, true, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_BAD);
	assert_int_equal(stored_bytes(w, ""), -1);
	assert_int_equal(stored_bytes(w, ".part"), -1);
	assert_int_equal(w->commits, 0);
}

static void damaged_bytes_are_not_taken_for_good(void **state)
{
	struct world *w = *state;
	put(w, true, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	char *path = artifact_path(w->store, w->sha256), *bytes = file_read(path, NULL, NULL);
	bytes[12345] ^= 1;
	file_write(path, bytes, BLOB_BYTES, NULL);
	free(bytes);
	free(path);
	put(w, false, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_BAD);
	assert_false(file_exists(w->copy));
	put(w, true, token); /* an upload replaces them */
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	put(w, false, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
}

static void token_without_lease_is_refused(void **state)
{
	struct world *w = *state;
	put(w, true, "guessed");
	assert_int_equal(result(w, WAIT_MS), TRANSFER_REFUSED);
	sql_do(w->database, "update trial set state = 'done'");
	put(w, true, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_REFUSED);
	put(w, false, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_REFUSED);
	assert_int_equal(stored_bytes(w, ".part"), -1);
}

/* Though its trial is leased still, or again. */
static void token_of_a_revoked_key_is_refused(void **state)
{
	struct world *w = *state;
	put(w, true, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	sql_do(w->database, "update key set revoked_ms = 1");
	put(w, false, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_REFUSED);
}

static void absent_bytes_are_gone(void **state)
{
	struct world *w = *state;
	put(w, false, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_GONE);
	assert_false(file_exists(w->copy));
}

static void full_disk_over_there_waits_for_room(void **state)
{
	struct world *w = *state;
	artifacts_stop(w->artifacts);
	store_start(w, INT64_MAX / 2); /* never so much is free: 507 */
	put(w, true, token);
	assert_int_equal(result(w, 200), -1);
	assert_int_equal(stored_bytes(w, ".part"), -1);
	artifacts_stop(w->artifacts);
	store_start(w, 1);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
}

static void too_large_is_refused(void **state)
{
	struct world *w = *state;
	struct error e;
	char *blob = xcalloc(9 << 20, 1);
	file_write(w->file, blob, 9 << 20, &e);
	sha256_hex(blob, 9 << 20, w->sha256);
	struct transfer_item item = {
	        .upload = true, .bytes = 9 << 20, .path = w->file, .token = (char *)token};
	memcpy(item.sha256, w->sha256, sizeof item.sha256);
	transfer_put(w->transfer, &item);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_REFUSED);
	free(blob);
}

static void store_that_is_away_is_waited_for(void **state)
{
	struct world *w = *state;
	artifacts_stop(w->artifacts);
	put(w, true, token);
	assert_int_equal(result(w, 200), -1);
	store_start(w, 1);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
}

static void cancelled_transfer_ends(void **state)
{
	struct world *w = *state;
	artifacts_stop(w->artifacts);
	w->artifacts = NULL;
	put(w, true, token);
	assert_int_equal(result(w, 100), -1);
	transfer_cancel(w->transfer, 1, 1);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_CANCELLED);
}

/* Three megabytes over a line that is cut after each: what came is not sent again. */
static void cut_transfers_go_on_where_they_were(void **state)
{
	struct world *w = *state;
	struct line l;
	line_start(&l, w, "http", 1 << 20);
	put(w, true, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	assert_true(l.cuts >= 2);
	assert_true(l.passed < BLOB_BYTES * 4 / 3);
	l.cuts = 0;
	l.passed = 0;
	put(w, false, token);
	assert_int_equal(result(w, WAIT_MS), TRANSFER_OK);
	assert_true(l.cuts >= 2);
	assert_true(l.passed < BLOB_BYTES * 4 / 3);
	line_stop(&l);
}

static void port_in_use_is_said(void **state)
{
	struct world *w = *state;
	struct error e;
	struct artifacts_options o = {.folder = w->store,
	                              .database = w->database,
	                              .port = artifacts_port(w->artifacts),
	                              .zmq_context = w->zmq,
	                              .turn_endpoint = "inproc://turn"};
	assert_null(artifacts_start(&o, &e));
	assert_non_null(strstr(e.text, "cannot listen on 127.0.0.1"));
	assert_non_null(strstr(e.text, "Address already in use"));
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        LAW(what_goes_up_comes_down_the_same),
	        LAW(stored_is_said_only_after_the_commit),
	        LAW(commit_that_fails_or_is_late_is_asked_for_again),
	        LAW(wrong_digest_is_refused_and_leaves_nothing),
	        LAW(damaged_bytes_are_not_taken_for_good),
	        LAW(token_without_lease_is_refused),
	        LAW(token_of_a_revoked_key_is_refused),
	        LAW(absent_bytes_are_gone),
	        LAW(full_disk_over_there_waits_for_room),
	        LAW(too_large_is_refused),
	        LAW(store_that_is_away_is_waited_for),
	        LAW(cancelled_transfer_ends),
	        LAW(cut_transfers_go_on_where_they_were),
	        LAW(port_in_use_is_said),
	};
	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
