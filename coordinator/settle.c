/* Settling: every trial whose inputs changed goes where they say. */
#include "coordinator/artifact.h"
#include "coordinator/trial.h"

struct inputs {
	int64_t unfinished, ended, gone; /* not done yet; ended otherwise; done, but bytes gone */
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
	} else if (!artifact_of_input(db, input, &a)) {
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

/* One step of one trial; whether it became ready. */
static bool settle(struct sql *db, int64_t now_ms, int64_t id)
{
	struct trial t;

	sql_run(db, "update trial set unsettled = 0 where id = ?", id);
	if (!trial_load(db, id, &t) ||
	    (t.state != TRIAL_WAITING && t.state != TRIAL_READY && t.state != TRIAL_SKIPPED))
		return false;
	struct inputs found = look_at_inputs(db, now_ms, id);
	bool fine = !found.unfinished && !found.ended && !found.gone;
	if (t.state == TRIAL_WAITING && found.ended)
		trial_move(db, now_ms, id, t.attempt, ON_INPUT_ENDED,
		           &(struct trial_change){
		                   .why = "a trial that it starts from did not finish"});
	else if (t.state == TRIAL_WAITING && fine)
		return trial_move(db, now_ms, id, t.attempt, ON_INPUTS_READY, NULL);
	else if (t.state == TRIAL_SKIPPED && !found.ended)
		trial_move(db, now_ms, id, t.attempt, ON_INPUT_REVIVED, NULL);
	else if (t.state == TRIAL_READY && !fine)
		trial_move(db, now_ms, id, t.attempt, ON_INPUT_LOST, NULL);
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
