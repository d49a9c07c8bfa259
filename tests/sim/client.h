/* The person at the terminal: launches, extends, pauses, cancels, retries; says all until answered.
 */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H
#include "tests/sim/world.h"

#define BITS                                                                                 \
	"\"trial\":{\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\"},"       \
	"\"checkpoint\":{\"keep\":1},\"start_from\":{\"change\":{\"quant\":null,\"train\":{" \
	"\"epochs\":5}}},\"train\":{\"epochs\":6}}"

static const char bits[] = BITS;
static const char roomy[] = BITS ",\"resources\":{\"memory_mb\":3000}";
static const char seeds[] =
        "\"trial\":{\"data\":{\"name\":\"cifar10\"},\"model\":{\"name\":\"resnet20\"},"
        "\"priority\":1,\"train\":{\"epochs\":5,\"shards\":2}},\"resources\":{\"ranks\":2},"
        "\"retry\":{"
        "\"limit\":1}";

static const char longer[] =
        "\"trial\":{\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\"},"
        "\"train\":{\"epochs\":16}}";

/* Who wants all of a trial that others stop, and soon. */
static const char whole[] =
        "\"trial\":{\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\",\"width\":4},"
        "\"priority\":3,\"train\":{\"epochs\":7}}";

/* What only an agent with a minute left may have, and the same trials with more memory. */
static const char minute[] =
        "\"trial\":{\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\",\"width\":8},"
        "\"priority\":-1,\"train\":{\"epochs\":3}},\"resources\":{\"minutes\":1}";
static const char larger[] =
        "\"trial\":{\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\",\"width\":8},"
        "\"train\":{\"epochs\":3}},\"resources\":{\"memory_mb\":3000}";

/* Compared after 1 and 3 steps of 7; drawn one after the other, in brackets. */
static const char halved[] =
        "\"trial\":{\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\",\"width\":4},"
        "\"priority\":1,\"train\":{\"epochs\":7}},\"prune\":{\"kind\":\"asha\",\"metric\":\"loss\","
        "\"goal\":"
        "\"min\"}";
static const char learned[] =
        "{\"sweep\":{\"name\":\"%s\",\"trial\":{\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":"
        "\"resnet20\"},\"train\":{\"epochs\":5}},\"space\":{\"train.lr\":{\"min\":0.01,\"max\":1},"
        "\"priority\":{\"min\":0,\"max\":3,\"step\":1}},"
        "\"search\":{\"kind\":\"%s\",\"trials\":5,\"startup\":2,\"population\":2,\"parallel\":2},"
        "\"prune\":{\"kind\":\"hyperband\",\"reduction\":2,\"mode\":\"%s\",\"metric\":\"loss\","
        "\"goal\":"
        "\"min\"}}}";

/* Cancelled while it waits for what it starts from. */
static const char late[] =
        "\"trial\":{\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\"},"
        "\"start_from\":{\"change\":{\"train\":{\"epochs\":8}}},\"train\":{\"epochs\":9}}";

static void ask(struct sim *s, int64_t at, const char *verb, char *args)
{
	s->requests[s->request_count++] = (struct request){.at = at, .verb = verb, .args = args};
}

static char *sweep(const char *name, const char *trial, const char *field, const char *values)
{
	return xformat("{\"sweep\":{\"name\":\"%s\",%s,\"space\":{\"%s\":{\"values\":%s}}}}", name,
	               trial, field, values);
}

static char *halved_of(const struct sim *s, const char *name)
{
	return sweep(name, halved, "train.seed", s->seed % 2 ? "[1,2,3,4,5]" : "[1,2,3]");
}

/* Launched and cancelled, or stopped for a while, and wanted again, at some seeds. */
static void plan_changes(struct sim *s)
{
	int64_t at = 3000 + chance_of(s, 4000), trial = 2 + chance_of(s, 8);

	s->revoking = (int)chance_of(s, AGENTS);
	if (s->guarded)
		ask(s, 2500 + chance_of(s, 6000), "revoke",
		    xformat("{\"key\":\"k%d\"}", s->revoking));
	ask(s, at, "pause",
	    xformat("{\"study\":\"a\",\"now\":%s}", s->seed % 2 ? "true" : "false"));
	ask(s, at + 1000 + chance_of(s, 3000), "resume", xstrdup("{\"study\":\"a\"}"));
	if (s->seed % 3 == 0) {
		ask(s, 3000 + chance_of(s, 3000), "launch",
		    sweep("h", minute, "train.seed", "[1,2]"));
		ask(s, 7500, "launch", sweep("i", larger, "train.seed", "[1,2]"));
	}
	if (s->seed % 3 == 1) {
		ask(s, 3000 + chance_of(s, 3000), "launch", sweep("k", late, "train.seed", "[1]"));
		ask(s, 4000 + chance_of(s, 3000), "cancel", xstrdup("{\"study\":\"k\"}"));
	}
	if (s->seed % 3 == 2) {
		ask(s, 4000 + chance_of(s, 6000), "cancel", xstrdup("{\"study\":\"e\"}"));
		ask(s, 9000 + chance_of(s, 2000), "launch", halved_of(s, "e"));
	}
	ask(s, 7000 + chance_of(s, 5000), "cancel", xstrdup("{\"study\":\"c\"}"));
	if (s->seed % 4 == 3) /* what one has pruned, another judges by what was measured then */
		ask(s, 8000 + chance_of(s, 3000), "launch", halved_of(s, "j"));
	ask(s, 5000 + chance_of(s, 5000), "cancel", xformat("{\"trial\":%" PRId64 "}", trial));
	if (s->seed % 5 == 0)
		ask(s, 8000 + chance_of(s, 3000), "launch", sweep("g", whole, "train.seed", "[2]"));
	ask(s, 9500 + chance_of(s, 5000), "launch",
	    sweep("a", bits, "quant.weight_bits", "[2,4,8,5,6]"));
	if (s->seed % 5 == 0 && s->seed % 2)
		ask(s, 9600, "cancel", xstrdup("{\"study\":\"g\"}"));
	if (s->seed % 3)
		ask(s, 15000 + chance_of(s, 3000), "launch",
		    sweep("c", seeds, "train.seed", "[1,2]"));
	ask(s, FAULTS_END + 50, "retry", xformat("{\"trial\":%" PRId64 "}", trial));
}

/* Once nothing fails, all that failed is tried again. */
static void plan_end(struct sim *s)
{
	ask(s, FAULTS_END + 100, "resume", xstrdup("{\"study\":\"a\"}"));
	for (const char *study = "abcefhij"; *study; study++)
		ask(s, FAULTS_END + 200, "retry", xformat("{\"study\":\"%c\"}", *study));
	ask(s, QUIET + 500, "launch", sweep("d", longer, "train.seed", "[1]"));
	ask(s, QUIET + 2500, "cancel", xstrdup("{\"study\":\"d\"}"));
}

static void client_plan(struct sim *s)
{
	ask(s, 10, "launch", sweep("a", bits, "quant.weight_bits", "[2,4,8]"));
	ask(s, 100 + chance_of(s, 2500), "launch", sweep("c", seeds, "train.seed", "[1,2]"));
	ask(s, 150 + chance_of(s, 2500), "launch", halved_of(s, "e"));
	ask(s, 200 + chance_of(s, 4000), "launch",
	    xformat(learned, "f", s->seed % 3 ? "tpe" : "nsga2",
	            s->seed % 4 < 2 ? "promote" : "stop"));
	ask(s, 1500 + chance_of(s, 4000), "launch",
	    sweep("b", roomy, "quant.weight_bits", "[4,3]"));
	plan_changes(s);
	plan_end(s);
}

/* Once all is said: what failed is tried again, a trial at a time. */
static void retry_failed(struct sim *s)
{
	int64_t id =
	        s->request_count < REQUESTS
	                ? sql_get_int(
	                          s->db, 0,
	                          "select min(t.id) from trial t join study_trial st on "
	                          "st.trial = t.id join study s on s.id = st.study where "
	                          "t.state in ('failed', 'infeasible') and s.state = 'active' and "
	                          "st.verdict is null")
	                : 0;

	if (id)
		ask(s, s->now, "retry", xformat("{\"trial\":%" PRId64 "}", id));
}

/* In order: each request waits for the answer to the one before. */
static void client_wake(struct sim *s)
{
	int i = 0;

	while (i < s->request_count && s->requests[i].answered)
		i++;
	if (i == s->request_count && !faults(s))
		retry_failed(s);
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
	if (strcmp(s->requests[id - 1].verb, "revoke") == 0)
		s->revoked[s->revoking] = true;
	s->requests[id - 1].answered = true;
}
#endif
