/* Studies: a sweep becomes trials; they are paused, resumed, cancelled, retried. */
#ifndef COORDINATOR_STUDY_H
#define COORDINATOR_STUDY_H
#include "core/base/error.h"
#include "core/base/hash.h"
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

struct turn;
struct sql;
struct proposals;

/* How a launch reads what lies outside of the database.  Either may be null: then sweeps must bring
 * the digests along. */
struct study_files {
	/* What the bytes of a data set are; path may be null. */
	int (*data)(void *context, const char *name, const char *path, char digest[SHA256_HEX],
	            struct error *e);
	/* What the bytes of a file are; copies them into the artifact store when import is set. */
	int (*file)(void *context, const char *path, bool import, char digest[SHA256_HEX],
	            int64_t *bytes, struct error *e);
	void *context;
};

/* args {sweep, dry_run?, digests?}.  Stores the study (its trials follow, a chunk in each turn), or
 * extends the one of that name; with dry_run, only counts.  The result is {study, trials, looked,
 * distinct, parents, reused, to_train, epochs, extended, dry_run}: `reused` are done already,
 * `epochs` what is left to train, of the `looked` trials that were looked at (all, with dry_run).
 * Every problem of the sweep, and every difference to a study of the same name, is a line of e. */
int study_launch(struct turn *t, const cJSON *args, cJSON **result, struct error *e);

/* args {study, assignment: {path: value, …}}: one more trial.  The result is {trial, number}. */
int study_add(struct turn *t, const cJSON *args, cJSON **result, struct error *e);

/* args {study, now?}: no more leases; with now, what runs is handed back. */
int study_pause(struct turn *t, const cJSON *args, cJSON **result, struct error *e);
int study_resume(struct turn *t, const cJSON *args, cJSON **result, struct error *e);

/* args {study}: its trials are cancelled but for those that another study wants; or {trial}: no
 * study wants it any more.  The result is {cancelled}, how many. */
int study_cancel(struct turn *t, const cJSON *args, cJSON **result, struct error *e);

/* args {study} (its failed trials) or {trial} (failed, infeasible, cancelled): once more, with
 * counters at zero. */
int study_retry(struct turn *t, const cJSON *args, cJSON **result, struct error *e);

/* Makes the next chunk of trials of every study whose trials hang on their numbers alone, and those
 * that were proposed for the others; whether any study is due. */
bool study_advance(struct turn *t, const struct proposals *proposals);

/* Digests of what a trial reads, filled in from `digests` ({"data NAME PATH": digest, "file PATH":
 * digest}), which learns what files tells. */
struct study_digests {
	cJSON *known;
	const struct study_files *files;
	struct turn *importing; /* copy start_from files into the store; null: only look */
};

/* The one who wants: a study that is given trials. */
struct study_target {
	int64_t id;
	struct study_digests digests;
};

/* Fills in data.digest and start_from.digest. */
int trial_resolve(cJSON *trial, struct study_digests *digests, struct error *e);

/* The id of the trial that start_from.trial names, 0 where it names none.  Fails when there is no
 * such trial, or it leaves no weights. */
int trial_find_start(struct sql *db, const cJSON *trial, int64_t *id, struct error *e);

/* Makes the trial, and those that it starts from, unless they are there; revives those that ended
 * without a result; links them to the study.  Resolves the trial first.  Its id, or 0 with a
 * message. */
int64_t trial_want(struct turn *t, struct study_target *study, cJSON *trial, int64_t number,
                   const char *assignment, struct error *e);

/* Sets `held` and `study` of a study's trials, or of one, after who wants them has changed. */
void study_hold(struct sql *db, int64_t study);
void trial_hold(struct sql *db, int64_t trial);
#endif
