/* The verbs of trawl: what a row of the table in main.c holds, and what verbs share. */
#ifndef COORDINATOR_VERB_H
#define COORDINATOR_VERB_H
#include "coordinator/database.h"
#include "coordinator/options.h"

/* Options of every verb that reads the database. */
#define OPTION_DB                                                                  \
	{                                                                          \
		"--db", NULL, "FILE|tcp://…",                                      \
		        "the database, or its coordinator ($TRAWL_DB, ./trawl.db)" \
	}
#define OPTION_JSON                                                      \
	{                                                                \
		"--json", NULL, NULL, "machine-readable: JSON on stdout" \
	}
#define OPTION_HELP                               \
	{                                         \
		"--help", "-h", NULL, "this text" \
	}
#define OPTION_CSV                                                      \
	{                                                               \
		"--csv", NULL, NULL, "comma-separated values on stdout" \
	}
#define OPTIONS_END                    \
	{                              \
		NULL, NULL, NULL, NULL \
	}

struct verb {
	const char *name, *arguments, *summary;
	const struct option_row *options;
	int words_least, words_most; /* how many words it takes besides options */
	int (*run)(const struct options *o, struct error *e); /* 0, or -1 with a message */
	const char *detail;                                   /* further help, may be null */
};

/* One per row: 0, or -1 with a message. */
int verb_run(const struct options *o, struct error *e);
int verb_serve(const struct options *o, struct error *e);
int verb_launch(const struct options *o, struct error *e);
int verb_add(const struct options *o, struct error *e);
int verb_pause(const struct options *o, struct error *e);
int verb_resume(const struct options *o, struct error *e);
int verb_cancel(const struct options *o, struct error *e);
int verb_retry(const struct options *o, struct error *e);
int verb_worker(const struct options *o, struct error *e);
int verb_submit(const struct options *o, struct error *e);
int verb_keys(const struct options *o, struct error *e);
int verb_studies(const struct options *o, struct error *e);
int verb_workers(const struct options *o, struct error *e);
int verb_status(const struct options *o, struct error *e);
int verb_watch(const struct options *o, struct error *e);
int verb_wait(const struct options *o, struct error *e);
int verb_show(const struct options *o, struct error *e);
int verb_explain(const struct options *o, struct error *e);
int verb_logs(const struct options *o, struct error *e);
int verb_best(const struct options *o, struct error *e);
int verb_sql(const struct options *o, struct error *e);
int verb_export(const struct options *o, struct error *e);
int verb_compare(const struct options *o, struct error *e);
int verb_plot(const struct options *o, struct error *e);
int verb_get(const struct options *o, struct error *e);
int verb_backup(const struct options *o, struct error *e);
int verb_data(const struct options *o, struct error *e);

/* Prints rows as --json, --csv or a table asks; says `nothing` when there are none in a table. */
void verb_print(const struct options *o, const struct rows *r, const char *nothing);

/* Prints and deletes a value: what a verb answers with --json.  0. */
int verb_print_json(cJSON *json);

/* --data, where it is given, is where data sets are looked for from here on. */
void verb_data_roots(const struct options *o);

/* Says what a launch did: its result, in two lines. */
void verb_say_launched(const cJSON *result);

/* database_open with --db. */
struct database *verb_database(const struct options *o, struct error *e);

/* One query with the usual limits. */
int verb_query(struct database *d, struct rows *out, struct error *e, const char *sql, int count,
               const char *const bind[]);

/* The trial that a person means by "17", "bits/3" (study and number) or the start of an identity.
 */
int verb_find_trial(struct database *d, const char *word, int64_t *trial, struct error *e);

/* The study named by the first word, or the only one there is.  Free with free(). */
char *verb_find_study(struct database *d, const struct options *o, struct error *e);

/* The view that the study has: study_<name>.  Free with free(); null on failure. */
char *verb_study_view(struct database *d, const char *study, struct error *e);
#endif
