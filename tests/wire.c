/* Laws of the wire: what is sent arrives, and what is no message is answered in one line. */
#include "schemas/wire.h"
#include "core/base/json.h"
#include "core/base/random.h"
#include "core/base/text.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include <cmocka.h>

static const char *const bodies[WIRE_KINDS] = {
#define WIRE(NAME, from, body) body,
#include "schemas/wire.def"
#undef WIRE
};

static cJSON *value_of(const char *type)
{
	return strncmp(type, "int", 3) == 0    ? cJSON_CreateNumber(42)
	       : strncmp(type, "real", 4) == 0 ? cJSON_CreateNumber(0.1)
	       : strncmp(type, "bool", 4) == 0 ? cJSON_CreateTrue()
	       : strncmp(type, "list", 4) == 0 ? cJSON_CreateArray()
	       : strncmp(type, "obje", 4) == 0 ? cJSON_CreateObject()
	                                       : cJSON_CreateString("text \xe2\x82\xac");
}

/* A body with every member of the kind's list. */
static cJSON *full_body(int kind)
{
	cJSON *body = cJSON_CreateObject();
	char *list = xstrdup(bodies[kind]), *rest = list, *member = NULL;

	while ((member = strsep(&rest, " "))) {
		char *type = strchr(member, ':');
		if (!type)
			continue;
		*type++ = 0;
		cJSON_AddItemToObject(body, member, value_of(type));
	}
	free(list);
	return body;
}

struct pair {
	void *zmq, *router, *dealer;
};

static void pair_init(struct pair *p)
{
	p->zmq = zmq_ctx_new();
	p->router = zmq_socket(p->zmq, ZMQ_ROUTER);
	p->dealer = zmq_socket(p->zmq, ZMQ_DEALER);
	zmq_setsockopt(p->dealer, ZMQ_ROUTING_ID, "me", 2);
	assert_int_equal(zmq_bind(p->router, "inproc://test"), 0);
	assert_int_equal(zmq_connect(p->dealer, "inproc://test"), 0);
}

static void pair_release(struct pair *p)
{
	zmq_close(p->router);
	zmq_close(p->dealer);
	zmq_ctx_term(p->zmq);
}

static void every_kind_arrives_as_it_was_sent(void **state)
{
	struct pair p;
	struct message got;
	struct error e;

	pair_init(&p);
	for (int kind = 0; kind < WIRE_KINDS; kind++) {
		struct message m = message_make((enum wire_kind)kind, NULL, 0, full_body(kind));
		assert_int_equal(wire_send(p.dealer, &m, &e), 0);
		assert_int_equal(wire_receive(p.router, &got, &e), 1);
		assert_int_equal(got.kind, kind);
		assert_int_equal(got.route_bytes, 2);
		assert_memory_equal(got.route, "me", 2);
		assert_true(cJSON_Compare(got.body, m.body, true));
		message_release(&m);
		/* And back to where it came from. */
		assert_int_equal(wire_send(p.router, &got, &e), 0);
		message_release(&got);
		assert_int_equal(wire_receive(p.dealer, &got, &e), 1);
		assert_int_equal(got.kind, kind);
		message_release(&got);
	}
	assert_int_equal(wire_receive(p.router, &got, &e), 0);
	pair_release(&p);
}

static void expect_error(const char *version, const char *kind, const char *body, const char *words)
{
	struct wire_frame frames[] = {
	        {version, strlen(version)}, {kind, strlen(kind)}, {body, strlen(body)}};
	struct message m;
	struct error e = {{0}};

	assert_int_equal(wire_decode(frames, 3, &m, &e), -1);
	assert_null(m.body);
	if (!strstr(e.text, words))
		fail_msg("\"%s\" is not in: %s", words, e.text);
}

static void another_version_is_named_with_ours(void **state)
{
	expect_error("trawl/2", "beat", "{}", "\"trawl/2\"");
	expect_error("trawl/2", "beat", "{}", "\"trawl/1\"");
	expect_error("HTTP/1.1", "beat", "{}", "not a message of trawl");
}

static void an_unknown_kind_is_named_with_its_nearest(void **state)
{
	expect_error("trawl/1", "beet", "{}", "\"beat\"");
}

static void a_bad_member_is_named(void **state)
{
	expect_error("trawl/1", "leave", "{}", "lacks \"agent\"");
	expect_error("trawl/1", "leave", "{\"agent\":3}", "\"agent\" is not text");
	expect_error("trawl/1", "metrics_saved", "{\"trial\":1.5,\"attempt\":1,\"batch\":1}",
	             "\"trial\" is not int");
	expect_error("trawl/1", "leave", "[]", "not an object");
	expect_error("trawl/1", "leave", "{\"agent\":", "too early");
}

static void garbage_is_answered_and_never_crashes(void **state)
{
	struct random_stream random = random_stream(20261122, "wire", 0, 0);
	struct pair p;
	uint64_t at = 0;

	pair_init(&p);
	for (int i = 0; i < 3000; i++) {
		int frames = 1 + (int)random_below(&random, at++, 5);
		for (int k = 0; k < frames; k++) {
			char bytes[64];
			size_t length = random_below(&random, at++, sizeof bytes);
			for (size_t b = 0; b < length; b++)
				bytes[b] = (char)random_below(&random, at++, 256);
			/* Now and then the first frames are right. */
			const char *frame = k == 0 && i % 3   ? "trawl/1"
			                    : k == 1 && i % 2 ? "beat"
			                                      : NULL;
			zmq_send(p.dealer, frame ? frame : bytes, frame ? strlen(frame) : length,
			         k + 1 < frames ? ZMQ_SNDMORE : 0);
		}
		struct message m;
		struct error e = {{0}};
		assert_int_equal(wire_receive(p.router, &m, &e), -1);
		assert_true(e.text[0] && !strchr(e.text, '\n'));
		assert_int_equal(m.route_bytes, 2);
		struct message reply = message_error(m.route, m.route_bytes, 0, &e);
		assert_int_equal(wire_send(p.router, &reply, &e), 0);
		message_release(&reply);
		message_release(&m);
		assert_int_equal(wire_receive(p.dealer, &m, &e), 1);
		assert_int_equal(m.kind, WIRE_ERROR);
		message_release(&m);
	}
	pair_release(&p);
}

static void a_message_to_nobody_is_dropped(void **state)
{
	struct pair p;
	struct error e;
	struct message m = message_make(WIRE_AGAIN, "nobody", 6, full_body(WIRE_AGAIN));

	pair_init(&p);
	assert_true(wire_send(p.router, &m, &e) >= 0);
	message_release(&m);
	pair_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_kind_arrives_as_it_was_sent),
	        cmocka_unit_test(another_version_is_named_with_ours),
	        cmocka_unit_test(an_unknown_kind_is_named_with_its_nearest),
	        cmocka_unit_test(a_bad_member_is_named),
	        cmocka_unit_test(garbage_is_answered_and_never_crashes),
	        cmocka_unit_test(a_message_to_nobody_is_dropped),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
