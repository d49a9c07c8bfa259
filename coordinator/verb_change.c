/* Verbs that change something: launch, add, pause, resume, cancel, retry, worker. */
#include "coordinator/sweep_file.h"
#include "coordinator/verb.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Asks, prints the answer (as JSON, or as `say` puts it), and ends the verb. */
static int change(const struct options *o, bool create, const char *verb, cJSON *args,
                  void (*say)(const cJSON *result), struct error *e)
{
	struct database *d = database_open(option_text(o, "--db", NULL), create, e);
	if (!d) {
		cJSON_Delete(args);
		return -1;
	}
	cJSON *result = database_change(d, verb, args, e);
	database_close(d);
	if (!result)
		return -1;
	if (option_given(o, "--json"))
		return verb_print_json(result);
	if (say)
		say(result);
	cJSON_Delete(result);
	return 0;
}

static cJSON *args_text(const char *key, const char *value)
{
	cJSON *args = cJSON_CreateObject();
	cJSON_AddStringToObject(args, key, value);
	return args;
}

void verb_say_launched(const cJSON *r)
{
	bool dry = json_bool(r, "dry_run", false);
	int64_t trials = json_int(r, "trials", 0), looked = json_int(r, "looked", trials);
	const char *will = dry ? "would" : "will";

	if (looked < trials) {
		printf("study %s%s: %lld trials\nof the %lld looked at, %lld are done already, "
		       "%lld "
		       "%s run, %lld of them parents, %lld epochs in all\n",
		       json_text(r, "study", ""),
		       json_bool(r, "extended", false) ? " (there already)" : "", (long long)trials,
		       (long long)looked, (long long)json_int(r, "reused", 0),
		       (long long)json_int(r, "to_train", 0), will,
		       (long long)json_int(r, "parents", 0), (long long)json_int(r, "epochs", 0));
		return;
	}
	printf("study %s%s: %lld trials, %lld parents%s\n", json_text(r, "study", ""),
	       json_bool(r, "extended", false) ? " (there already)" : "",
	       (long long)json_int(r, "trials", 0), (long long)json_int(r, "parents", 0),
	       dry ? " would be made" : "");
	printf("%lld are done already, %lld %s run, %lld epochs in all\n",
	       (long long)json_int(r, "reused", 0), (long long)json_int(r, "to_train", 0), will,
	       (long long)json_int(r, "epochs", 0));
}

int verb_launch(const struct options *o, struct error *e)
{
	bool dry = option_given(o, "--dry-run");
	cJSON *args = cJSON_CreateObject(), *sweep = sweep_file_read(o->word[0], e);
	verb_data_roots(o);
	if (!sweep) {
		cJSON_Delete(args);
		return -1;
	}
	cJSON_AddItemToObject(args, "sweep", sweep);
	cJSON_AddBoolToObject(args, "dry_run", dry);
	if (change(o, true, "launch", args, verb_say_launched, e))
		return error_prefix(e, "%s", o->word[0]);
	return 0;
}

static void say_added(const cJSON *r)
{
	printf("trial %lld, number %lld of its study\n", (long long)json_int(r, "trial", 0),
	       (long long)json_int(r, "number", 0));
}

/* FIELD=VALUE; a value that is no JSON is text. */
static int add_assignment(cJSON *assignment, const char *word, struct error *e)
{
	const char *equals = strchr(word, '=');
	if (!equals || equals == word)
		return error_set(e, "%s: wants FIELD=VALUE, as in quant.weight_bits=5", word);
	char *path = xformat("%.*s", (int)(equals - word), word);
	cJSON *value = json_parse(equals + 1, strlen(equals + 1), path, NULL);
	cJSON_AddItemToObject(assignment, path, value ? value : cJSON_CreateString(equals + 1));
	free(path);
	return 0;
}

int verb_add(const struct options *o, struct error *e)
{
	cJSON *args = args_text("study", o->word[0]);
	cJSON *assignment = cJSON_AddObjectToObject(args, "assignment");
	for (int i = 1; i < o->words; i++) {
		if (add_assignment(assignment, o->word[i], e)) {
			cJSON_Delete(args);
			return -1;
		}
	}
	return change(o, false, "add", args, say_added, e);
}

static void say_paused(const cJSON *r)
{
	printf("%s is paused: `trawl resume %s` goes on\n", json_text(r, "study", ""),
	       json_text(r, "study", ""));
}

static void say_resumed(const cJSON *r)
{
	printf("%s goes on\n", json_text(r, "study", ""));
}

static void say_cancelled(const cJSON *r)
{
	printf("%lld trials cancelled\n", (long long)json_int(r, "cancelled", 0));
}

static void say_retried(const cJSON *r)
{
	printf("%lld trials are tried again\n", (long long)json_int(r, "retried", 0));
}

int verb_pause(const struct options *o, struct error *e)
{
	cJSON *args = args_text("study", o->word[0]);
	cJSON_AddBoolToObject(args, "now", option_given(o, "--now"));
	return change(o, false, "pause", args, say_paused, e);
}

int verb_resume(const struct options *o, struct error *e)
{
	return change(o, false, "resume", args_text("study", o->word[0]), say_resumed, e);
}

/* A study by its name, or else one trial. */
static int change_target(const struct options *o, const char *verb,
                         void (*say)(const cJSON *result), struct error *e)
{
	struct database *d = verb_database(o, e);
	struct rows r;
	int64_t trial = 0;
	if (!d)
		return -1;
	int rc = verb_query(d, &r, e, "select 1 from study where name = ?1", 1, &o->word[0]);
	bool study = !rc && r.count;
	if (!rc)
		rows_release(&r);
	if (!rc && !study && verb_find_trial(d, o->word[0], &trial, e))
		rc = error_set(e, "%s is neither a study nor a trial of %s", o->word[0],
		               database_name(d));
	database_close(d);
	if (rc)
		return -1;
	cJSON *args = study ? args_text("study", o->word[0]) : cJSON_CreateObject();
	if (!study)
		cJSON_AddNumberToObject(args, "trial", (double)trial);
	return change(o, false, verb, args, say, e);
}

int verb_cancel(const struct options *o, struct error *e)
{
	return change_target(o, "cancel", say_cancelled, e);
}

int verb_retry(const struct options *o, struct error *e)
{
	return change_target(o, "retry", say_retried, e);
}

int verb_worker(const struct options *o, struct error *e)
{
	if (strcmp(o->word[0], "submit") == 0)
		return verb_submit(o, e);
	if ((strcmp(o->word[0], "drain") && strcmp(o->word[0], "undrain")) || o->words != 2)
		return error_set(e,
		                 "wants: trawl worker drain | undrain WORKER, or submit --slurm N");
	return change(o, false, o->word[0], args_text("worker", o->word[1]), NULL, e);
}
