/* Laws of the coordinator's door: whose name, whose message, where answers go. */
#include "coordinator/gate.h"
#include "tests/turns.h"
#include <zmq.h>

static char database[] = "/tmp/trawl-gate-XXXXXX";

struct door {
	struct turns turns;
	void *zmq;
	struct gate *gate;
};

static void key_add(struct door *d, const char *key, const char *role)
{
	sql_run(&d->turns.store.db,
	        "insert into key(public, role, name, created_ms) values(?1, ?2, ?1, 0)", key, role);
}

static void door_open(struct door *d)
{
	struct error e = {{0}};

	d->turns = (struct turns){.now_ms = 1000000};
	turns_start(&d->turns, database);
	d->zmq = zmq_ctx_new();
	d->gate = gate_open(d->zmq, &d->turns.store.db, database, 0, &e);
	if (!d->gate)
		fail_msg("%s", e.text);
}

static void door_close(struct door *d)
{
	zmq_ctx_term(d->zmq);
	gate_close(d->gate);
	turns_release(&d->turns);
}

static int remove_files(void **state)
{
	static const char *const suffix[] = {"", "-wal", "-shm", ".lock", ".curve", ".owner"};

	for (size_t i = 0; i < sizeof suffix / sizeof *suffix; i++) {
		char *path = xformat("%s%s", database, suffix[i]);
		unlink(path);
		free(path);
	}
	return 0;
}

static int name_database(void **state)
{
	close(mkstemp(database));
	return unlink(database);
}

/* Routes as ROUTER gives them: a zero, then a number. */
static struct message message_of(enum wire_kind kind, const char *agent, const char *key,
                                 char route)
{
	cJSON *body = cJSON_CreateObject();

	if (agent)
		cJSON_AddStringToObject(body, "agent", agent);
	struct message m = message_make(kind, (const char[]){0, 0, 0, 0, route}, 5, body);
	snprintf(m.key, sizeof m.key, "%s", key);
	return m;
}

static bool admitted(struct door *d, enum wire_kind kind, const char *agent, const char *key,
                     char route)
{
	struct message m = message_of(kind, agent, key, route);
	struct error e = {{0}};
	bool fine = gate_admits(d->gate, &m, &e);

	if (fine && agent) { /* the turn knows it by its name */
		assert_int_equal(m.route_bytes, strlen(agent));
		assert_memory_equal(m.route, agent, strlen(agent));
	}
	message_release(&m);
	return fine;
}

/* The last byte of where a message for that name goes; -1: nowhere. */
static int direction(struct door *d, const char *agent)
{
	struct message m = message_make(WIRE_ORDERS, agent, strlen(agent), cJSON_CreateObject());
	int to = gate_directs(d->gate, &m) ? m.route[m.route_bytes - 1] : -1;

	message_release(&m);
	return to;
}

static void roles_say_what_a_key_may_say(void **state)
{
	struct door d;

	door_open(&d);
	key_add(&d, "A", "agent");
	key_add(&d, "U", "user");
	assert_true(admitted(&d, WIRE_HELLO, "m", "A", 1));
	assert_true(admitted(&d, WIRE_REQUEST, NULL, "U", 2));
	assert_false(admitted(&d, WIRE_REQUEST, NULL, "A", 1));
	assert_false(admitted(&d, WIRE_HELLO, "n", "U", 2));
	assert_false(admitted(&d, WIRE_HELLO, "n", "X", 3));
	assert_false(admitted(&d, WIRE_HELLO, "n", "", 3));
	assert_false(admitted(&d, WIRE_STORED, NULL, "A", 1)); /* our own HTTP thread's */
	assert_false(admitted(&d, WIRE_ORDERS, NULL, "A", 1));
	door_close(&d);
	remove_files(state);
}

static void a_name_is_the_key_s_that_gave_it(void **state)
{
	struct door d;

	door_open(&d);
	key_add(&d, "A", "agent");
	key_add(&d, "B", "agent");
	assert_int_equal(direction(&d, "m"), -1);
	assert_true(admitted(&d, WIRE_HELLO, "m", "A", 1));
	assert_int_equal(direction(&d, "m"), 1);
	assert_false(admitted(&d, WIRE_BEAT, "m", "B", 2));
	assert_false(admitted(&d, WIRE_DONE, "m", "B", 2));
	assert_int_equal(direction(&d, "m"), 1); /* its orders, and their tokens, go to A */
	assert_true(admitted(&d, WIRE_BEAT, "m", "A", 3));
	assert_int_equal(direction(&d, "m"), 3); /* over a new connection */
	for (int i = 0; i < 100; i++) {
		char *name = xformat("agent-%d", i);
		assert_true(admitted(&d, WIRE_HELLO, name, "B", (char)(10 + i)));
		free(name);
	}
	assert_int_equal(direction(&d, "m"), 3);
	assert_int_equal(direction(&d, "agent-77"), 87);
	door_close(&d);
	remove_files(state);
}

static void a_restart_does_not_free_a_name(void **state)
{
	struct door d;

	door_open(&d);
	key_add(&d, "A", "agent");
	key_add(&d, "B", "agent");
	struct message m = message_of(WIRE_HELLO, "m", "A", 1);
	message_release(&m);
	turns_hello(&d.turns, "m");
	sql_run(&d.turns.store.db, "update worker set key = 'A' where agent = 'm'");
	door_close(&d);
	door_open(&d);
	assert_false(admitted(&d, WIRE_HELLO, "m", "B", 2));
	assert_true(admitted(&d, WIRE_BEAT, "m", "A", 1));
	door_close(&d);
	remove_files(state);
}

static void a_revoked_key_is_nobody_at_its_next_message(void **state)
{
	struct door d;

	door_open(&d);
	key_add(&d, "A", "agent");
	turns_launch(&d.turns, "one", "[4]", false);
	turns_hello(&d.turns, "a");
	sql_run(&d.turns.store.db, "update worker set key = 'A'");
	turns_state(&d.turns, 1, "leased");
	assert_true(admitted(&d, WIRE_BEAT, "a", "A", 1));
	turns_request(&d.turns, "revoke", "{\"key\":\"A\"}");
	assert_string_equal(turns_refusal(&d.turns), "");
	assert_false(admitted(&d, WIRE_BEAT, "a", "A", 1));
	turns_state(&d.turns, 1, "ready"); /* in the same turn, and given to nobody */
	assert_int_equal(turns_int(&d.turns, "select losses from trial"), 0);
	turns_request(&d.turns, "revoke", "{\"key\":\"owner\"}");
	assert_non_null(strstr(turns_refusal(&d.turns), "no authorized key"));
	door_close(&d);
	remove_files(state);
}

static void clients_are_answered_where_they_asked(void **state)
{
	struct door d;
	struct message m = message_of(WIRE_REPLY, NULL, "", 7);

	door_open(&d);
	assert_true(gate_directs(d.gate, &m));
	assert_int_equal(m.route_bytes, 5);
	assert_int_equal(m.route[4], 7);
	message_release(&m);
	door_close(&d);
	remove_files(state);
}

static void bad_requests_about_keys_are_one_line(void **state)
{
	struct turns t;
	static const char key[] = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6";

	turns_init(&t);
	turns_request(&t, "authorize", "{\"role\":\"king\",\"key\":\"x\"}");
	assert_non_null(strstr(turns_refusal(&t), "agent or user is expected"));
	turns_request(&t, "authorize", "{\"role\":\"agent\",\"key\":\"short\"}");
	assert_non_null(strstr(turns_refusal(&t), "is no public key"));
	char *args = xformat("{\"role\":\"agent\",\"key\":\"%s\",\"name\":\"m\"}", key);
	turns_request(&t, "authorize", args);
	assert_string_equal(turns_refusal(&t), "");
	turns_request(&t, "authorize", args); /* again: the same */
	assert_string_equal(turns_refusal(&t), "");
	free(args);
	args = xformat("{\"role\":\"user\",\"key\":\"%.39s7\",\"name\":\"m\"}", key);
	turns_request(&t, "authorize", args);
	assert_non_null(strstr(turns_refusal(&t), "another key of the name"));
	free(args);
	turns_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(roles_say_what_a_key_may_say),
	        cmocka_unit_test(a_name_is_the_key_s_that_gave_it),
	        cmocka_unit_test(a_restart_does_not_free_a_name),
	        cmocka_unit_test(a_revoked_key_is_nobody_at_its_next_message),
	        cmocka_unit_test(clients_are_answered_where_they_asked),
	        cmocka_unit_test(bad_requests_about_keys_are_one_line),
	};

	return cmocka_run_group_tests(tests, name_database, remove_files);
}
