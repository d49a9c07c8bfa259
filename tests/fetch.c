/* Laws of fetching, against a server in this process that misbehaves as told. */
#include "core/data/fetch.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/text.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { BODY_BYTES = 300000, CUT_BYTES = 100000 };

/* What the server does with a request; how many it has had, and how many bytes of body it sent. */
struct behaviour {
	bool ignores_range, wrong_bytes, wrong_range;
	int cuts;   /* so many answers end after CUT_BYTES; -1: all */
	int busy;   /* so many answers are 503; */
	int status; /* or this for all, when not 0 */
	int requests, ranges, sent;
};

static struct behaviour server;
static unsigned char body[BODY_BYTES];
static char body_md5[MD5_HEX];
static int listener = -1, port;
static pthread_t server_thread;
static char *folder, *target, *url;

static bool send_all(int client, const void *bytes, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t sent =
		        send(client, (const char *)bytes + done, length - done, MSG_NOSIGNAL);
		if (sent <= 0)
			return false;
		done += (size_t)sent;
	}
	return true;
}

static void send_body(int client, long start, bool partial)
{
	long claimed = server.wrong_range ? start + 7 : start, length = BODY_BYTES - start;
	char *range = partial ? xformat("Content-Range: bytes %ld-%d/%d\r\n", claimed,
	                                BODY_BYTES - 1, BODY_BYTES)
	                      : xstrdup("");
	char *head = xformat("HTTP/1.1 %s\r\nContent-Length: %ld\r\n%sConnection: close\r\n\r\n",
	                     partial ? "206 Partial Content" : "200 OK", length, range);
	bool cut = server.cuts != 0 && length > CUT_BYTES;

	server.cuts -= server.cuts > 0;
	length = cut ? CUT_BYTES : length;
	unsigned char *bytes = xmalloc((size_t)length);
	memcpy(bytes, body + start, (size_t)length);
	bytes[length / 2] ^= server.wrong_bytes;
	if (send_all(client, head, strlen(head)) && send_all(client, bytes, (size_t)length))
		server.sent += (int)length;
	free(bytes);
	free(head);
	free(range);
}

static void send_status(int client, int status)
{
	char *text = xformat(
	        "HTTP/1.1 %d No\r\nContent-Length: 5\r\nConnection: close\r\n\r\nsorry", status);

	send_all(client, text, strlen(text));
	free(text);
}

static void answer(int client)
{
	char request[4096] = {0};
	size_t length = 0;
	ssize_t got = 0;

	while (!strstr(request, "\r\n\r\n") && length < sizeof request - 1 &&
	       (got = recv(client, request + length, sizeof request - 1 - length, 0)) > 0)
		length += (size_t)got;
	if (!length)
		return;
	const char *range = strstr(request, "Range: bytes=");
	long start = range ? atol(range + 13) : 0;
	server.requests++;
	server.ranges += range != NULL;
	if (server.status)
		send_status(client, server.status);
	else if (server.busy > 0 && server.busy--)
		send_status(client, 503);
	else if (range && !server.ignores_range && start >= BODY_BYTES)
		send_status(client, 416);
	else if (range && !server.ignores_range)
		send_body(client, start, true);
	else
		send_body(client, 0, false);
}

static void *serve(void *unused)
{
	int client = -1;

	while ((client = accept(listener, NULL, NULL)) >= 0) {
		answer(client);
		shutdown(client, SHUT_WR);
		close(client);
	}
	return NULL;
}

static int start_server(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof address;
	struct hash *h = hash_new("md5");

	for (int i = 0; i < BODY_BYTES; i++)
		body[i] = (unsigned char)(i * 2654435761u >> 13);
	hash_add(h, body, BODY_BYTES);
	hash_end(h, body_md5);
	setenv("no_proxy", "*", 1);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(listener, 8), 0);
	getsockname(listener, (struct sockaddr *)&address, &length);
	port = ntohs(address.sin_port);
	return pthread_create(&server_thread, NULL, serve, NULL);
}

static int stop_server(void **state)
{
	shutdown(listener, SHUT_RDWR);
	pthread_join(server_thread, NULL);
	close(listener);
	return 0;
}

static int setup(void **state)
{
	const char *root = getenv("TMPDIR");

	server = (struct behaviour){0};
	folder = xformat("%s/trawl-fetch-XXXXXX", root ? root : "/tmp");
	assert_non_null(mkdtemp(folder));
	target = path_join(folder, "data.tar.gz");
	url = xformat("http://127.0.0.1:%d/data.tar.gz", port);
	return 0;
}

static int teardown(void **state)
{
	folder_remove(folder, NULL);
	free(folder);
	free(target);
	free(url);
	return 0;
}

static int fetch(struct error *e)
{
	struct fetch_options options = {.tries = 3, .wait_ms = 1};

	return fetch_file(url, body_md5, target, &options, e);
}

static void put_part(const void *bytes, size_t length)
{
	struct error e = {{0}};
	char *part = xformat("%s.part", target);

	assert_int_equal(file_write(part, bytes, length, &e), 0);
	free(part);
}

static int64_t part_bytes(void)
{
	char *part = xformat("%s.part", target);
	int64_t bytes = file_bytes(part);

	free(part);
	return bytes;
}

static void assert_whole(void)
{
	char md5[MD5_HEX];
	struct error e = {{0}};

	assert_int_equal(md5_file(target, md5, &e), 0);
	assert_string_equal(md5, body_md5);
	assert_int_equal(part_bytes(), -1);
}

static void assert_fetched(void)
{
	struct error e = {{0}};

	if (fetch(&e) != 0)
		fail_msg("%s", e.text);
	assert_whole();
}

static void assert_refused(const char *reason)
{
	struct error e = {{0}};

	assert_int_equal(fetch(&e), -1);
	if (!strstr(e.text, reason))
		fail_msg("no \"%s\" in: %s", reason, e.text);
	assert_null(strchr(e.text, '\n'));
	assert_false(file_exists(target));
}

static void file_arrives_whole(void **state)
{
	assert_fetched();
	assert_int_equal(server.requests, 1);
}

static void cut_connection_is_resumed_where_it_broke(void **state)
{
	server.cuts = 2;
	assert_fetched();
	assert_int_equal(server.requests, 3);
	assert_int_equal(server.ranges, 2);
	assert_int_equal(server.sent, BODY_BYTES); /* no byte twice */
}

static void progress_does_not_use_up_the_attempts(void **state)
{
	put_part(body, 1);
	server.cuts = -1;
	server.busy = 2; /* of 3 attempts */
	assert_fetched();
	assert_true(server.requests > 4);
}

static void later_run_goes_on_from_the_part(void **state)
{
	put_part(body, 200000);
	assert_fetched();
	assert_int_equal(server.sent, 100000);
}

static void server_without_ranges_sends_all_again(void **state)
{
	server.ignores_range = true;
	server.cuts = 1;
	assert_fetched();
	assert_int_equal(server.sent, CUT_BYTES + BODY_BYTES);
}

static void part_longer_than_the_file_is_cut_back(void **state)
{
	unsigned char *longer = xcalloc(1, BODY_BYTES + 5);

	put_part(longer, BODY_BYTES + 5);
	server.ignores_range = true;
	assert_fetched();
	put_part(longer, BODY_BYTES + 5);
	unlink(target);
	server.ignores_range = false;
	assert_fetched();
	free(longer);
}

static void other_range_than_asked_is_not_mixed_in(void **state)
{
	put_part(body, 1000);
	server.wrong_range = true;
	assert_fetched();
	assert_int_equal(server.ranges, 1);
}

static void always_cut_at_the_same_place_ends_with_a_line(void **state)
{
	server.ignores_range = true;
	server.cuts = -1;
	assert_refused("given up after 3 attempts");
	assert_int_equal(server.requests, 3);
	assert_int_equal(part_bytes(), CUT_BYTES); /* for the next time */
}

static void wrong_bytes_never_get_the_name(void **state)
{
	server.wrong_bytes = true;
	assert_refused("published is ");
	assert_int_equal(part_bytes(), -1);
	assert_int_equal(server.requests, 1);
}

static void part_of_another_file_is_thrown_away_once(void **state)
{
	put_part("something else", 14);
	assert_fetched();
	assert_int_equal(server.requests, 2);
}

static void complete_part_only_needs_its_check(void **state)
{
	put_part(body, BODY_BYTES);
	assert_fetched();
	assert_int_equal(server.sent, 0);
}

static void missing_file_is_one_line_at_once(void **state)
{
	server.status = 404;
	assert_refused("answers 404 (not found)");
	assert_int_equal(server.requests, 1);
	assert_int_equal(part_bytes(), -1);
}

static void busy_server_is_asked_again(void **state)
{
	server.busy = 2;
	assert_fetched();
	assert_int_equal(server.requests, 3);
}

static void offline_is_one_line_at_once(void **state)
{
	int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof address;

	assert_int_equal(bind(other, (struct sockaddr *)&address, sizeof address), 0);
	getsockname(other, (struct sockaddr *)&address, &length); /* bound, but nobody listens */
	free(url);
	url = xformat("http://127.0.0.1:%d/x", ntohs(address.sin_port));
	assert_refused("is this machine online?");
	assert_int_equal(part_bytes(), -1);
	close(other);
}

static void file_that_is_there_is_not_fetched(void **state)
{
	struct error e = {{0}};

	assert_int_equal(file_write(target, body, BODY_BYTES, &e), 0);
	assert_fetched();
	assert_int_equal(server.requests, 0);
	assert_int_equal(file_write(target, "damaged", 7, &e), 0);
	assert_fetched();
}

static void two_fetches_of_one_file_do_not_mix(void **state)
{
	char *part = xformat("%s.part", target);
	int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_refused("is being fetched by another process");
	close(fd);
	free(part);
}

static void unwritable_folder_is_one_line(void **state)
{
	free(target);
	target = path_join(folder, "absent/data.tar.gz");
	assert_refused("cannot be created");
}

static int cancel_late(void *context, int64_t got_bytes, int64_t total_bytes)
{
	*(int64_t *)context = got_bytes;
	return got_bytes == BODY_BYTES && total_bytes == BODY_BYTES ? 0 : 1;
}

static void progress_is_told_and_can_end_the_transfer(void **state)
{
	struct error e = {{0}};
	int64_t last = 0;
	struct fetch_options options = {.tries = 1, .progress = cancel_late, .context = &last};

	assert_int_equal(fetch_file(url, body_md5, target, &options, &e), -1);
	assert_non_null(strstr(e.text, "interrupted"));
	assert_false(file_exists(target));
}

static void data_sets_are_checked_against_published_sums(void **state)
{
	struct error e = {{0}};
	char *base = xformat("http://127.0.0.1:%d", port), *path = NULL;
	char *below = path_join(folder, "a/b");
	struct fetch_options options = {.base_url = base, .tries = 1};

	assert_int_equal(fetch_data("cifar10", below, &options, &path, &e), -1);
	assert_non_null(strstr(e.text, "c32a1d4ab5d03f1284b67883e8d87530"));
	assert_non_null(strstr(e.text, "/cifar-10-binary.tar.gz"));
	assert_int_equal(fetch_data("cifar100", below, &options, &path, &e), -1);
	assert_non_null(strstr(e.text, "03b5dce01913d631647c71ecec9e9cb8"));
	assert_null(path);
	assert_int_equal(rmdir(below), 0); /* nothing was left */
	assert_int_equal(fetch_data("cifra10", below, &options, &path, &e), -1);
	assert_string_equal(e.text,
	                    "no data set \"cifra10\" to fetch; known: cifar10, cifar100; did "
	                    "you mean \"cifar10\"?");
	free(below);
	free(base);
}

#define LAW(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        LAW(file_arrives_whole),
	        LAW(cut_connection_is_resumed_where_it_broke),
	        LAW(progress_does_not_use_up_the_attempts),
	        LAW(later_run_goes_on_from_the_part),
	        LAW(server_without_ranges_sends_all_again),
	        LAW(part_longer_than_the_file_is_cut_back),
	        LAW(other_range_than_asked_is_not_mixed_in),
	        LAW(always_cut_at_the_same_place_ends_with_a_line),
	        LAW(wrong_bytes_never_get_the_name),
	        LAW(part_of_another_file_is_thrown_away_once),
	        LAW(complete_part_only_needs_its_check),
	        LAW(missing_file_is_one_line_at_once),
	        LAW(busy_server_is_asked_again),
	        LAW(offline_is_one_line_at_once),
	        LAW(file_that_is_there_is_not_fetched),
	        LAW(two_fetches_of_one_file_do_not_mix),
	        LAW(unwritable_folder_is_one_line),
	        LAW(progress_is_told_and_can_end_the_transfer),
	        LAW(data_sets_are_checked_against_published_sums),
	};

	return cmocka_run_group_tests_name("fetch", tests, start_server, stop_server);
}
