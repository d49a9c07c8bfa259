/* Laws of notices: what is said, once, and sent until somebody has it. */
#include "coordinator/notice.h"
#include "coordinator/notify.h"
#include "core/base/clock.h"
#include "tests/turns.h"
#include <microhttpd.h>
#include <zmq.h>

static void start(struct turns *t, const char *bits)
{
	turns_init(t);
	t->coordinator.options.notifies = true;
	turns_launch(t, "bits", bits, false);
	turns_hello(t, "a");
	turns_store(t, turns_sha);
}

static void done(struct turns *t, double accuracy)
{
	turns_beat(t, "a", "[]");
	turns_done(t, "a", turns_int(t, "select min(id) from trial where state = 'leased'"), 1,
	           accuracy);
}

static int64_t notices(struct turns *t, const char *kind)
{
	return sql_get_int(&t->store.db, -1, "select count(*) from notice where kind = ?", kind);
}

static void assert_said(struct turns *t, const char *kind, const char *words)
{
	char *text = sql_get_text(&t->store.db,
	                          "select text from notice where kind = ? order by id desc limit 1",
	                          kind);

	assert_non_null(text);
	if (!strstr(text, words))
		fail_msg("\"%s\" does not say \"%s\"", text, words);
	free(text);
}

static void an_end_is_said_once_for_each_time(void **state)
{
	struct turns t;

	start(&t, "[2, 4]");
	done(&t, 0.5);
	assert_int_equal(notices(&t, "end"), 0);
	done(&t, 0.75);
	assert_int_equal(notices(&t, "end"), 1);
	assert_said(&t, "end",
	            "Study bits has ended after 0 s: 2 done, 0 failed, 0 stopped; best "
	            "accuracy 0.75, trial 2");
	turns_wait(&t, 5000);
	assert_int_equal(notices(&t, "end"), 1);
	turns_launch(&t, "bits", "[2, 4, 8]", false);
	done(&t, 0.6);
	assert_int_equal(notices(&t, "end"), 2);
	turns_release(&t);
}

static void a_better_one_is_said_and_a_worse_one_is_not(void **state)
{
	struct turns t;

	start(&t, "[2, 3, 4, 8]");
	done(&t, 0.5);
	assert_int_equal(notices(&t, "best"), 0); /* the first is no news */
	done(&t, 0.4);
	assert_int_equal(notices(&t, "best"), 0);
	done(&t, 0.6);
	assert_int_equal(notices(&t, "best"), 1);
	done(&t, 0.7); /* the one that waits says the newest */
	assert_int_equal(notices(&t, "best"), 1);
	assert_said(&t, "best", "trial 4 is the best so far, accuracy 0.7");
	turns_release(&t);
}

static void many_failures_are_said_once(void **state)
{
	struct turns t;

	start(&t, "[2, 3, 4, 8]");
	for (int trial = 1; trial <= 4; trial++) {
		turns_ended(&t, "a", trial, 1, "diverged");
		assert_int_equal(notices(&t, "failures"), trial >= 3);
	}
	assert_said(&t, "failures", "3 trials failed within ten minutes, the last: because");
	turns_release(&t);
}

static void where_nobody_listens_nothing_is_said(void **state)
{
	struct turns t;

	turns_one(&t);
	turns_store(&t, turns_sha);
	done(&t, 0.5);
	assert_int_equal(turns_int(&t, "select count(*) from notice"), 0);
	turns_release(&t);
}

static void what_was_not_heard_is_said_later_and_later(void **state)
{
	struct turns t;
	int64_t last = 0;

	start(&t, "[2]");
	done(&t, 0.5);
	for (int tries = 1; tries < 30; tries++) {
		turns_say(&t, "http", WIRE_NOTICED, "{\"notice\":1,\"ok\":false,\"text\":\"no\"}");
		int64_t wait = turns_int(&t, "select not_before_ms from notice") - t.now_ms;
		assert_true(wait >= last && wait <= 3600 * 1000);
		assert_true(tries > 1 || wait == 5000);
		last = wait;
	}
	turns_say(&t, "http", WIRE_NOTICED, "{\"notice\":1,\"ok\":false,\"text\":\"no\"}");
	assert_int_equal(turns_int(&t, "select not_before_ms is null from notice"), 1);
	turns_say(&t, "http", WIRE_NOTICED, "{\"notice\":1,\"ok\":true,\"text\":\"\"}");
	assert_int_equal(turns_int(&t, "select sent_ms is not null from notice"), 1);
	turns_release(&t);
}

/* ---- over HTTP ---- */

struct hook {
	int asked, fails;
	char body[256];
};

struct upload {
	char text[256];
	size_t length;
	bool begun;
};

static enum MHD_Result answer(void *self, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *bytes, void **context)
{
	struct hook *hook = self;
	struct upload *u = *context ? *context : (*context = xcalloc(1, sizeof *u));

	if (!u->begun) {
		u->begun = true;
		return MHD_YES;
	}
	if (*bytes) {
		assert_true(u->length + *bytes < sizeof u->text);
		memcpy(u->text + u->length, data, *bytes);
		u->length += *bytes;
		*bytes = 0;
		return MHD_YES;
	}
	bool fails = hook->asked++ < hook->fails;
	if (!fails)
		snprintf(hook->body, sizeof hook->body, "%s", u->text);
	free(u);
	struct MHD_Response *r = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
	enum MHD_Result queued = MHD_queue_response(c, fails ? 503 : 200, r);
	MHD_destroy_response(r);
	return queued;
}

/* The turn hears how it went; what failed is sent again when the turn has taken that down. */
static void a_webhook_is_told_until_it_answers(void **state)
{
	struct hook hook = {.fails = 1};
	struct turns t = {.now_ms = clock_wall_ms() - 60000};
	struct error e = {{0}};
	char path[] = "/tmp/trawl-notice-XXXXXX";
	void *zmq = zmq_ctx_new(), *turn = zmq_socket(zmq, ZMQ_ROUTER);
	struct MHD_Daemon *web = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL,
	                                          answer, &hook, MHD_OPTION_END);

	close(mkstemp(path));
	unlink(path);
	turns_start(&t, path);
	zmq_bind(turn, "inproc://turn");
	char *url = xformat("http://127.0.0.1:%d/hook",
	                    MHD_get_daemon_info(web, MHD_DAEMON_INFO_BIND_PORT)->port);
	sql_run(&t.store.db,
	        "insert into notice(at_ms, kind, text, not_before_ms) values(1, 'end', "
	        "'it has \"ended\"', 1)");
	struct notify *n = notify_start(zmq, "inproc://turn", path, url, &e);
	assert_non_null(n);
	for (int heard = 0; heard < 2; heard++) {
		struct message m;
		zmq_pollitem_t item = {turn, 0, ZMQ_POLLIN, 0};
		assert_int_equal(zmq_poll(&item, 1, 20000), 1);
		assert_int_equal(wire_receive(turn, &m, &e), 1);
		char *body = json_print(m.body, false);
		turns_say(&t, "http", WIRE_NOTICED, "%s", body);
		sql_run(&t.store.db, "update notice set not_before_ms = 1");
		free(body);
		message_release(&m);
	}
	assert_int_equal(hook.asked, 2);
	assert_string_equal(hook.body, "{\"text\":\"it has \\\"ended\\\"\"}");
	assert_int_equal(turns_int(&t, "select tries from notice where sent_ms is not null"), 2);
	notify_stop(n);
	assert_null(notify_start(zmq, "inproc://turn", path, "file:///etc/passwd", &e));
	MHD_stop_daemon(web);
	zmq_close(turn);
	zmq_ctx_term(zmq);
	turns_release(&t);
	unlink(path);
	free(url);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_end_is_said_once_for_each_time),
	        cmocka_unit_test(a_better_one_is_said_and_a_worse_one_is_not),
	        cmocka_unit_test(many_failures_are_said_once),
	        cmocka_unit_test(where_nobody_listens_nothing_is_said),
	        cmocka_unit_test(what_was_not_heard_is_said_later_and_later),
	        cmocka_unit_test(a_webhook_is_told_until_it_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
