/* Studies that stop trials early, trained by hand: an agent, curves that cross, the whole study. */
#ifndef TESTS_PRUNING_H
#define TESTS_PRUNING_H
#include "coordinator/prune.h"
#include "tests/turns.h"

static const char asha[] = "\"kind\":\"asha\"";

/* So many seeds of nine epochs each. */
static inline void launch(struct turns *t, const char *name, int trials, const char *prune)
{
	turns_say(t, "client", WIRE_REQUEST,
	          "{\"id\":7,\"verb\":\"launch\",\"args\":{\"sweep\":{\"name\":\"%s\",\"trial\":{"
	          "\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\"},"
	          "\"train\":{\"epochs\":9}},\"space\":{\"train.seed\":{\"min\":1,\"max\":%d,"
	          "\"step\":1}},\"prune\":{%s}}}}",
	          name, trials, prune);
	if (*turns_refusal(t))
		fail_msg("%s", turns_refusal(t));
	turns_say(t, "", WIRE_ERROR, NULL);
}

/* What a trial has after so many epochs: the curves cross. */
static inline double accuracy(int64_t trial, int64_t epoch)
{
	return 0.01 * (double)(trial * 37 % 23) + 0.002 * (double)(epoch * (trial * 11 % 7));
}

static inline void report(struct turns *t, int64_t trial, int64_t attempt, int64_t epoch)
{
	turns_say(t, "a", WIRE_METRICS,
	          "{\"agent\":\"a\",\"trial\":%ld,\"attempt\":%ld,\"batch\":%ld,\"rows\":["
	          "{\"name\":\"loss\",\"step\":%ld,\"epoch\":%ld,\"value\":1},"
	          "{\"name\":\"accuracy\",\"step\":%ld,\"epoch\":%ld,\"value\":%.6f}]}",
	          (long)trial, (long)attempt, (long)epoch, (long)(10 * epoch), (long)epoch,
	          (long)(10 * epoch), (long)epoch, accuracy(trial, epoch));
}

static inline int64_t one_int(struct turns *t, const char *sql, int64_t argument)
{
	return sql_get_int(&t->store.db, -1, sql, argument);
}

static inline bool is_leased(struct turns *t, int64_t trial)
{
	return one_int(t, "select state = 'leased' from trial where id = ?", trial) == 1;
}

/* One epoch of a leased trial; at its rung or end, that too. */
static inline void train(struct turns *t, int64_t trial)
{
	int64_t attempt = one_int(t, "select attempt from trial where id = ?", trial);
	int64_t epoch = one_int(t,
	                        "select coalesce(max(epoch), 0) + 1 from metric where trial = ? "
	                        "and name = 'loss'",
	                        trial);
	int64_t until = prune_until(&t->store.db, trial);

	if (until && epoch > until) { /* let go on by none: it ends at once */
		turns_ended(t, "a", trial, attempt, "rung");
		return;
	}
	report(t, trial, attempt, epoch);
	if (!is_leased(t, trial))
		return;
	if (epoch == 9) {
		turns_store(t, turns_sha);
		turns_done(t, "a", trial, attempt, accuracy(trial, 9));
	} else if (epoch == until) {
		turns_ended(t, "a", trial, attempt, "rung");
	}
}

static inline int64_t count(struct turns *t, const char *state)
{
	char *sql = xformat("select count(*) from trial where state = '%s'", state);
	int64_t found = turns_int(t, sql);

	free(sql);
	return found;
}

/* The agent trains what it holds, an epoch each in turn, until nothing is left; the coordinator may
 * be another process before every message. */
static inline void train_all(struct turns *t, const char *restarted)
{
	int64_t trial = 0;

	turns_hello(t, "a");
	for (int steps = 0; steps < 2000; steps++) {
		if (restarted) {
			store_close(&t->store);
			turns_start(t, restarted);
		}
		do
			turns_say(t, "", WIRE_ERROR, NULL);
		while (t->out.more);
		turns_beat(t, "a", "[]");
		trial = one_int(t,
		                "select coalesce(min(iif(id > ?1, id, null)), min(id)) from trial "
		                "where state = 'leased'",
		                trial);
		if (trial <= 0)
			break;
		train(t, trial);
	}
	assert_int_equal(count(t, "leased") + count(t, "ready") + count(t, "paused"), 0);
}
#endif
