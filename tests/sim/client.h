/* The person at the terminal: launches, extends, pauses, cancels, retries; says all until answered.
 */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H
#include "tests/sim/world.h"

static const char bits[] =
        "\"trial\":{\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\"},"
        "\"checkpoint\":{\"keep\":1},\"start_from\":{\"change\":{\"quant\":null,\"train\":{"
        "\"epochs\":5}}},\"train\":{\"epochs\":6}}";
static const char seeds[] =
        "\"trial\":{\"data\":{\"name\":\"cifar10\"},\"model\":{\"name\":\"resnet20\"},"
        "\"train\":{\"epochs\":5,\"shards\":2}},\"resources\":{\"ranks\":2}";

static const char longer[] =
        "\"trial\":{\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\"},"
        "\"train\":{\"epochs\":16}}";

static const char whole[] =
        "\"trial\":{\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\",\"width\":4},"
        "\"train\":{\"epochs\":7}}";

/* Compared after 1 and 3 steps of 7; drawn one after the other, in brackets. */
static const char halved[] =
        "\"trial\":{\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\",\"width\":4},"
        "\"train\":{\"epochs\":7}},\"prune\":{\"kind\":\"asha\",\"metric\":\"loss\",\"goal\":"
        "\"min\"}";
static const char learned[] =
        "{\"sweep\":{\"name\":\"%s\",\"trial\":{\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":"
        "\"resnet20\"},\"train\":{\"epochs\":5}},\"space\":{\"train.lr\":{\"min\":0.01,\"max\":1}},"
        "\"search\":{\"kind\":\"%s\",\"trials\":5,\"startup\":2,\"population\":2,\"parallel\":2},"
        "\"prune\":{\"kind\":\"hyperband\",\"reduction\":2,\"mode\":\"%s\",\"metric\":\"loss\","
        "\"goal\":"
        "\"min\"}}}";

static void ask(struct sim *s, int64_t at, const char *verb, char *args)
{
	s->requests[s->request_count++] = (struct request){.at = at, .verb = verb, .args = args};
}

static char *sweep(const char *name, const char *trial, const char *field, const char *values)
{
	return xformat("{\"sweep\":{\"name\":\"%s\",%s,\"space\":{\"%s\":{\"values\":%s}}}}", name,
	               trial, field, values);
}

static void client_plan(struct sim *s)
{
	int64_t at = 0;

	ask(s, 10, "launch", sweep("a", bits, "quant.weight_bits", "[2,4,8]"));
	ask(s, 100 + chance_of(s, 2500), "launch", sweep("c", seeds, "train.seed", "[1,2]"));
	ask(s, 150 + chance_of(s, 2500), "launch",
	    sweep("e", halved, "train.seed", s->seed % 2 ? "[1,2,3,4,5]" : "[1,2,3]"));
	ask(s, 200 + chance_of(s, 4000), "launch",
	    xformat(learned, "f", s->seed % 3 ? "tpe" : "nsga2",
	            s->seed % 4 < 2 ? "promote" : "stop"));
	ask(s, 1500 + chance_of(s, 4000), "launch", sweep("b", bits, "quant.weight_bits", "[4,3]"));
	at = 3000 + chance_of(s, 4000);
	ask(s, at, "pause",
	    xformat("{\"study\":\"a\",\"now\":%s}", s->seed % 2 ? "true" : "false"));
	ask(s, at + 1000 + chance_of(s, 3000), "resume", xstrdup("{\"study\":\"a\"}"));
	ask(s, 7000 + chance_of(s, 5000), "cancel", xstrdup("{\"study\":\"c\"}"));
	if (s->seed % 5 == 0) /* who wants all of one that others stop */
		ask(s, 8000 + chance_of(s, 3000), "launch", sweep("g", whole, "train.seed", "[2]"));
	ask(s, 9500 + chance_of(s, 5000), "launch",
	    sweep("a", bits, "quant.weight_bits", "[2,4,8,5,6]"));
	if (s->seed % 3)
		ask(s, 15000 + chance_of(s, 3000), "launch",
		    sweep("c", seeds, "train.seed", "[1,2]"));
	ask(s, FAULTS_END + 100, "resume", xstrdup("{\"study\":\"a\"}"));
	ask(s, FAULTS_END + 200, "retry", xstrdup("{\"study\":\"a\"}"));
	ask(s, FAULTS_END + 300, "retry", xstrdup("{\"study\":\"b\"}"));
	ask(s, FAULTS_END + 400, "retry", xstrdup("{\"study\":\"c\"}"));
	ask(s, FAULTS_END + 430, "retry", xstrdup("{\"study\":\"e\"}"));
	ask(s, FAULTS_END + 460, "retry", xstrdup("{\"study\":\"f\"}"));
	ask(s, QUIET + 500, "launch", sweep("d", longer, "train.seed", "[1]"));
	ask(s, QUIET + 2500, "cancel", xstrdup("{\"study\":\"d\"}"));
}

/* In order: each request waits for the answer to the one before. */
static void client_wake(struct sim *s)
{
	int i = 0;

	while (i < s->request_count && s->requests[i].answered)
		i++;
	bool due = i < s->request_count && s->requests[i].at <= s->now;
	post(s, (struct event){.kind = CLIENT, .at = s->now + (due ? 1200 : 200)});
	if (!due)
		return;
	cJSON *body = cJSON_CreateObject();
	cJSON_AddNumberToObject(body, "id", i + 1);
	cJSON_AddStringToObject(body, "verb", s->requests[i].verb);
	cJSON_AddItemToObject(body, "args", cJSON_Parse(s->requests[i].args));
	network(s, (struct event){.kind = TO_COORDINATOR,
	                          .message = message_make(WIRE_REQUEST, "client", 6, body)});
}

static void client_receive(struct sim *s, const struct message *m)
{
	int64_t id = json_int(m->body, "id", 0);

	note(s, "client: %s %s", m->kind == WIRE_REPLY ? "reply" : "error",
	     json_text(m->body, "text", "ok"));
	if (m->kind == WIRE_ERROR)
		broken(s, "the coordinator refuses no message of the simulation");
	if (id < 1 || id > s->request_count)
		return;
	/* A study that never was, because its launch is still on its way, is not there to be
	 * paused. */
	s->requests[id - 1].answered = true;
}
#endif
