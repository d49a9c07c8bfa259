/* The live view: what `watch` and `run` draw, as text made from a snapshot of the database. */
#ifndef COORDINATOR_SCREEN_H
#define COORDINATOR_SCREEN_H
#include "coordinator/database.h"

/* What is drawn; taken in one go, so that drawing is pure. */
struct screen {
	struct rows
	        study; /* name, state, total, done, running, waiting, stopped, failed, first_ms */
	struct rows
	        trial; /* id, state, role, assignment, step, steps, epoch, epochs, rate, loss, … */
	struct rows worker; /* id, name, state, ranks, seen_ms, trials */
	int64_t now_ms;
};

/* Reads the state of one study (null: of all).  Release in any case. */
int screen_read(struct screen *v, struct database *d, const char *study, int64_t now_ms,
                struct error *e);
void screen_release(struct screen *v);

/* Nothing is left that could run. */
bool screen_ended(const struct screen *v);
int64_t screen_count(const struct screen *v, const char *column); /* summed over the studies */

/* Lines of at most `width` characters, at most `height` of them; colour as terminals know it. */
void screen_draw(const struct screen *v, int width, int height, bool colour, struct text *out);

/* For output that is no terminal: a line for each trial whose state, epoch or worker changed since
 * `before` (which may be empty). */
void screen_changes(const struct screen *v, const struct screen *before, struct text *out);

/* "weight_bits=4 seed=1" of the JSON {"quant.weight_bits": 4, "train.seed": 1}. */
void screen_assignment(const char *json, struct text *out);

/* "47 s", "3m20s", "2h05m". */
void screen_duration(double seconds, char out[24]);

/* "812 KiB", "3.4 GiB". */
void screen_bytes(int64_t bytes, char out[24]);

/* Whether all that was wanted is done: 0, or -1 and what is to be looked at. */
int screen_verdict(const struct screen *v, const char *study, struct error *e);
#endif
