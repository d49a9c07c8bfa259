/* What rank 0 tells its agent over ipc, and the file outcome.json, which says it when messages
 * fail. */
#ifndef WORKER_TRIAL_REPORT_H
#define WORKER_TRIAL_REPORT_H
#include "core/train/trainer.h"

struct trial_report {
	void *context, *socket; /* ZeroMQ; null without an agent */
	int64_t trial, attempt;
	int64_t batch;      /* number of the next batch of metrics */
	const char *folder; /* of outcome.json */
	char *numerics;
};

/* Connects to the agent and says hello; url null: there is none, all that follows only writes
 * outcome.json.  folder is borrowed, made if absent. */
int trial_report_open(struct trial_report *r, const char *url, int64_t trial, int64_t attempt,
                      int ranks, const char *numerics, const char *folder, struct error *e);

/* Waits a few seconds at most for what is still to be sent. */
void trial_report_release(struct trial_report *r);

enum order trial_report_order(struct trial_report *r); /* the strongest that has arrived */
void trial_report_progress(struct trial_report *r, const struct progress *p);
void trial_report_metrics(struct trial_report *r, const struct result *result, int first);
void trial_report_checkpoint(struct trial_report *r, const struct written *file,
                             const struct position *p, const struct result *result);

/* The end: outcome.json on disk first, then the message.  DONE takes result and artifacts from t;
 * every other outcome says `text`, and t may be null. */
int trial_report_end(struct trial_report *r, enum outcome outcome, const char *text,
                     const struct trainer *t, struct error *e);
#endif
