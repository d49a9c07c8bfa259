/* Artifacts: which bytes belong to which trial, what may be collected, what others begin from.
 *
 * A row of `upload` says that bytes lie in the store, a row of `artifact` what they are.  Bytes are
 * deleted by whoever runs the turn, after the commit that wrote them into `doomed`. */
#ifndef COORDINATOR_ARTIFACT_H
#define COORDINATOR_ARTIFACT_H
#include "coordinator/sql.h"
#include "core/base/hash.h"

struct artifact {
	int64_t id, bytes, step;
	char sha256[SHA256_HEX];
};

/* Whether the text is 64 lower-case hex digits. */
bool sha256_valid(const char *text);

/* Whether bytes of that name lie in the store. */
bool artifact_stored(struct sql *db, const char *sha256);

/* The bytes are on disk: a row of `upload`. */
void artifact_store(struct sql *db, int64_t now_ms, const char *sha256, int64_t bytes);

/* What the trial goes on from: its newest checkpoint whose bytes are there. */
bool artifact_resume(struct sql *db, int64_t trial, struct artifact *a);

/* What trials that start from this one are given: its final weights, else its final checkpoint;
 * false when the bytes are gone. */
bool artifact_of_input(struct sql *db, int64_t trial, struct artifact *a);

/* Whether a done trial has left such bytes at all, there or gone: else it would leave none when
 * made again. */
bool artifact_was_left(struct sql *db, int64_t trial);

/* Before a trial is done again: of what it left, those bytes that are gone count no more, unless it
 * leaves them anew. */
void artifact_forget_gone(struct sql *db, int64_t trial);

/* The file that the trial starts from; false when its bytes are gone. */
bool artifact_of_source(struct sql *db, int64_t trial, struct artifact *a);

/* The one of that id; false when there is none. */
bool artifact_load(struct sql *db, int64_t id, struct artifact *a);

struct artifact_new {
	int64_t trial, attempt, step, bytes;
	const char *sha256, *name, *numerics;
	bool final; /* named by DONE: kept for good */
};
void artifact_add(struct sql *db, int64_t now_ms, const struct artifact_new *a);

/* The bytes proved to be wrong: they are nobody's any more, and every trial that needs them is
 * settled anew. */
void artifact_condemn(struct sql *db, const char *sha256);

/* Frees the trial's checkpoints beyond the newest `keep` and the best (by the objective of a study
 * that wants it); final ones stay. */
void artifact_collect(struct sql *db, int64_t trial, int64_t keep);

/* SQL: the trials t, from their checkpoints a that are not final; these are few among many trials.
 */
#define ARTIFACT_SPARE                                                                          \
	"from artifact a indexed by artifact_spare cross join trial t on t.id = a.trial where " \
	"a.name = 'checkpoint' and a.state = 'present' and not a.final"

/* The same without sparing the best. */
void artifact_squeeze(struct sql *db, int64_t trial, int64_t keep);

/* Frees bytes that nobody named for a day. */
void artifact_sweep(struct sql *db, int64_t now_ms);
#endif
