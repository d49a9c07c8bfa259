/* Settling: every trial whose inputs changed goes where they say. */
#include "coordinator/artifact.h"
#include "coordinator/trial.h"
#include <stdio.h>

struct inputs {
	int64_t unfinished, ended, gone; /* not done yet; ended otherwise; done, but bytes gone */
	int64_t bare; /* done, but it left nothing to start from, as it would again: one of them */
};

/* A done input whose bytes are gone is made again, because this trial needs it. */
static void look(struct sql *db, int64_t now_ms, int64_t input, struct inputs *found)
{
	struct artifact a;
	struct trial t;

	if (!trial_load(db, input, &t))
		return;
	if (t.state != TRIAL_DONE) {
		found->ended += trial_state_final(t.state);
		found->unfinished += !trial_state_final(t.state);
	} else if (artifact_of_input(db, input, &a)) {
		return;
	} else if (!artifact_was_left(db, input)) {
		found->ended++;
		found->bare = input;
	} else {
		found->gone++;
		trial_move(db, now_ms, input, t.attempt, ON_REMAKE,
		           &(struct trial_change){.why = "its bytes are gone, and needed"});
	}
}

static struct inputs look_at_inputs(struct sql *db, int64_t now_ms, int64_t trial)
{
	struct inputs found = {0};
	int64_t input = 0;

	while ((input = sql_get_int(
	                db, 0, "select min(input) from trial_input where trial = ? and input > ?",
	                trial, input)))
		look(db, now_ms, input, &found);
	/* The file that it starts from has no trial that could make it again. */
	found.unfinished +=
	        sql_get_int(db, 0,
	                    "select 1 from trial where id = ? and source is not null and "
	                    "source not in (select sha256 from upload)",
	                    trial);
	return found;
}

/* Where its inputs say that the trial goes; TRIAL_EVENTS: it stays. */
static enum trial_event verdict(enum trial_state state, const struct inputs *found)
{
	bool fine = !found->unfinished && !found->ended && !found->gone;

	switch ((int)state) {
	case TRIAL_WAITING:
		return found->ended ? ON_INPUT_ENDED : fine ? ON_INPUTS_READY : TRIAL_EVENTS;
	case TRIAL_READY: return fine ? TRIAL_EVENTS : ON_INPUT_LOST;
	case TRIAL_SKIPPED: return found->ended ? TRIAL_EVENTS : ON_INPUT_REVIVED;
	default: return TRIAL_EVENTS;
	}
}

/* One step of one trial; whether it became ready.  A move says itself whether it is to be settled
 * again. */
static bool settle(struct sql *db, int64_t now_ms, int64_t id)
{
	char why[96] = "a trial that it starts from did not finish";
	struct trial_change ended = {.why = why};
	struct inputs found = {0};
	struct trial t;

	trial_load(db, id, &t);
	if (t.state == TRIAL_WAITING || t.state == TRIAL_READY || t.state == TRIAL_SKIPPED)
		found = look_at_inputs(db, now_ms, id);
	if (found.bare)
		snprintf(why, sizeof why, "trial %ld, which it starts from, left no weights",
		         (long)found.bare);
	enum trial_event event = verdict(t.state, &found);
	if (event != TRIAL_EVENTS &&
	    trial_move_loaded(db, now_ms, &t, event, event == ON_INPUT_ENDED ? &ended : NULL))
		return event == ON_INPUTS_READY;
	sql_run(db, "update trial set unsettled = 0 where id = ?", id);
	return false;
}

int trial_settle(struct sql *db, int64_t now_ms)
{
	int64_t id = 0;
	int ready = 0;

	while ((id = sql_get_int(db, 0, "select min(id) from trial where unsettled = 1")))
		ready += settle(db, now_ms, id);
	return ready;
}
