/* The verb run: a coordinator, agents and the live view, all on this machine, until a study ends.
 */
#include "coordinator/child.h"
#include "coordinator/sweep_file.h"
#include "coordinator/verb.h"
#include "coordinator/watch.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	WORKERS_MAX = 64,
	DATASETS_MAX = 7, /* so many fit into a command line of CHILD_WORDS */
	UP_MS = 10000,
	UP_POLL_US = 20000,
	WORKER_GRACE_MS = 60000,
	SERVE_GRACE_MS = 10000
};

struct run {
	struct child serve, worker[WORKERS_MAX];
	char worker_name[WORKERS_MAX][24];
	int workers;
	int64_t ranks;            /* offered by each agent */
	const char *path, *quota; /* quota null: none */
	char *work;               /* folder of logs and agents' work, beside the database */
	char *study;
	char *dataset[DATASETS_MAX]; /* data.path of the sweep */
	int datasets;
	int json_fd; /* stdout as it was, when --json sends what is said on the way to stderr; or -1
	              */
	struct error *error;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted++;
}

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

/* ---- the pieces ---- */

static int start_serve(struct run *r, struct error *e)
{
	struct child *p = &r->serve;
	char *self = child_beside("trawl");
	p->name = "the coordinator";
	p->log = path_join(r->work, "serve.log");
	child_word(p, "%s", self);
	child_word(p, "serve");
	child_word(p, "--db");
	child_word(p, "%s", r->path);
	if (r->quota) {
		child_word(p, "--artifact-quota");
		child_word(p, "%s", r->quota);
	}
	child_word(p, "--listen");
	child_word(p, "tcp://127.0.0.1:*");
	free(self);
	return child_start(p, e);
}

/* The endpoint that our coordinator wrote into its database.  Free with free(). */
static char *await_endpoint(struct run *r, struct error *e)
{
	int64_t deadline = clock_monotonic_ms() + UP_MS;
	char *endpoint = NULL;
	while (!endpoint && clock_monotonic_ms() < deadline) {
		if (!child_running(&r->serve)) {
			char *log = file_read(r->serve.log, NULL, NULL);
			error_set(e, "the coordinator did not start; the end of %s: %s",
			          r->serve.log,
			          log ? log + (strlen(log) > 600 ? strlen(log) - 600 : 0)
			              : "(empty)");
			free(log);
			return NULL;
		}
		endpoint = database_endpoint(r->path, r->serve.pid);
		if (!endpoint)
			usleep(UP_POLL_US);
	}
	if (!endpoint)
		error_set(e, "the coordinator did not come up within %d s; see %s", UP_MS / 1000,
		          r->serve.log);
	return endpoint;
}

/* Agents look for a coordinator that is started again where the first one was. */
static void keep_endpoint(struct child *serve, const char *endpoint)
{
	int last = 0;
	while (serve->argv[last + 1])
		last++;
	free(serve->argv[last]);
	serve->argv[last] = xstrdup(endpoint);
}

static void note_dataset(struct run *r, const cJSON *path)
{
	if (cJSON_IsString(path) && r->datasets < DATASETS_MAX)
		r->dataset[r->datasets++] = xstrdup(path->valuestring);
}

/* Data sets that the sweep names by their paths: this machine's agents have them. */
static void note_datasets(struct run *r, const cJSON *sweep)
{
	const cJSON *space = cJSON_GetObjectItemCaseSensitive(sweep, "space"), *value;
	const cJSON *axis = cJSON_GetObjectItemCaseSensitive(space, "data.path");
	note_dataset(r, json_at(sweep, "trial.data.path"));
	cJSON_ArrayForEach (value, cJSON_GetObjectItemCaseSensitive(axis, "values"))
		note_dataset(r, value);
}

static int start_worker(struct run *r, int i, const char *endpoint, struct error *e)
{
	struct child *p = &r->worker[i];
	char *program = child_beside("trawl-worker");
	snprintf(r->worker_name[i], sizeof r->worker_name[i], "local-%d", i + 1);
	p->name = r->worker_name[i];
	p->log = xformat("%s/%s.log", r->work, p->name);
	child_word(p, "%s", program);
	child_word(p, "--connect");
	child_word(p, "%s", endpoint);
	child_word(p, "--ranks");
	child_word(p, "%" PRId64, r->ranks);
	child_word(p, "--name");
	child_word(p, "%s", p->name);
	child_word(p, "--work");
	child_word(p, "%s/%s", r->work, p->name);
	char *curve = database_curve(r->path);
	child_word(p, "--key"); /* not what the environment says of other coordinators */
	child_word(p, "%s%s", curve ? r->path : "", curve ? ".owner" : "");
	child_word(p, "--server-key");
	child_word(p, "%s", curve ? curve : "");
	free(curve);
	for (int k = 0; k < r->datasets; k++) {
		child_word(p, "--dataset");
		child_word(p, "%s", r->dataset[k]);
	}
	free(program);
	return child_start(p, e);
}

/* Called between two drawings: anything of ours that died is started again. */
static bool supervise(void *context)
{
	struct run *r = context;
	if (interrupted)
		return true;
	bool failed = r->serve.argv[0] && child_keep(&r->serve, r->error);
	for (int i = 0; i < r->workers && !failed; i++)
		failed = child_keep(&r->worker[i], r->error);
	return failed;
}

static void stop_all(struct run *r)
{
	for (int i = 0; i < r->workers; i++) /* all at once, then wait for each */
		if (child_running(&r->worker[i]))
			kill(r->worker[i].pid, SIGTERM);
	for (int i = 0; i < r->workers; i++)
		child_wait(&r->worker[i], interrupted > 1 ? 0 : WORKER_GRACE_MS);
	child_stop(&r->serve, SERVE_GRACE_MS);
}

/* ---- what is said at the end ---- */

/* Final figures that a person looks at first, where the study has them. */
static const char *const figures[] = {"accuracy",    "auroc",          "loss",
                                      "model_bytes", "bit_operations", "seconds"};

static bool has_column(const struct rows *r, const char *name)
{
	for (int i = 0; i < r->columns; i++)
		if (!strcmp(r->name[i], name))
			return true;
	return false;
}

/* SQLite takes the brackets, and shells leave them alone in the quotes that people copy. */
static void add_column(struct text *sql, const char *name)
{
	bool keyword = sqlite3_keyword_check(name, (int)strlen(name)) != 0;
	text_add(sql, keyword ? ", [%s]" : ", %s", name);
}

/* The swept fields and the figures of the study's view, best first.  Free with free(). */
static char *result_sql(struct database *d, const char *study, const char *view, struct error *e)
{
	struct text sql = {0};
	struct rows columns, swept;
	char *all = xformat("select * from %s limit 0", view);
	int rc = verb_query(d, &columns, e, all, 0, NULL);
	free(all);
	if (rc)
		return NULL;
	text_add(&sql, "select trial");
	if (!verb_query(
	            d, &swept, e,
	            "select j.key from study s, json_each(s.sweep, '$.space') j where s.name = ?1",
	            1, &study)) {
		for (int64_t i = 0; i < swept.count; i++) {
			const char *path = rows_text(&swept, i, "key"), *dot = strrchr(path, '.');
			if (has_column(&columns, dot ? dot + 1 : path))
				add_column(&sql, dot ? dot + 1 : path);
		}
		rows_release(&swept);
	}
	for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
		if (has_column(&columns, figures[i]))
			text_add(&sql, ", %s", figures[i]);
	text_add(&sql, " from %s%s", view,
	         has_column(&columns, "accuracy") ? " order by accuracy desc" : "");
	rows_release(&columns);
	return text_take(&sql);
}

/* With --json, they are all that comes to where stdout was. */
static void print_rows(struct run *r, const struct rows *rows)
{
	struct text out = {0};
	bool json = r->json_fd >= 0;
	rows_format(rows, json ? ROWS_JSON : ROWS_TABLE, isatty(STDOUT_FILENO), &out);
	if (json)
		dprintf(r->json_fd, "%s", out.data);
	else
		fputs(out.data, stdout);
	text_release(&out);
}

static void print_results(struct run *r, struct database *d)
{
	struct rows rows;
	struct error e = {""};
	const char *me = program_invocation_name; /* as it was typed, so that it can be again */
	char *view = verb_study_view(d, r->study, &e);
	char *sql = view ? result_sql(d, r->study, view, &e) : NULL;
	printf("\n");
	if (sql && !verb_query(d, &rows, &e, sql, 0, NULL)) {
		print_rows(r, &rows);
		rows_release(&rows);
		printf("\nThe SQL that made this table:\n  %s sql --db %s \"%s\"\n", me, r->path,
		       sql);
	}
	if (*e.text)
		printf("(no table: %s)\n", e.text);
	printf("The database: %s   checkpoints and logs: %s\n", r->path, r->work);
	printf("Try next:\n  %s best --db %s %s\n  %s show --db %s %s/0\n"
	       "  %s export --csv --db %s %s\n",
	       me, r->path, r->study, me, r->path, r->study, me, r->path, r->study);
	free(sql);
	free(view);
}

static void print_interrupted(const struct run *r, const char *sweep, struct database *d)
{
	struct screen v;
	if (!screen_read(&v, d, r->study, clock_wall_ms(), NULL))
		printf("\nStopped: %" PRId64 " of %" PRId64
		       " trials are done, what ran is checkpointed.\n"
		       "To go on: %s run %s --db %s --workers %d\n",
		       screen_count(&v, "done"), screen_count(&v, "total"), program_invocation_name,
		       sweep, r->path, r->workers);
	screen_release(&v);
}

static int verdict(const struct run *r, struct database *d, struct error *e)
{
	struct screen v;
	int rc = screen_read(&v, d, r->study, clock_wall_ms(), e);
	rc = rc ? rc : screen_verdict(&v, r->study, e);
	screen_release(&v);
	return rc;
}

/* ---- the whole ---- */

static int launch(struct run *r, struct database *d, const char *path, struct error *e)
{
	cJSON *args = cJSON_CreateObject(), *sweep = sweep_file_read(path, e);
	if (!sweep) {
		cJSON_Delete(args);
		return -1;
	}
	r->study = xstrdup(json_text(sweep, "name", ""));
	note_datasets(r, sweep);
	cJSON_AddItemToObject(args, "sweep", sweep);
	cJSON *result = database_change(d, "launch", args, e);
	if (!result)
		return error_prefix(e, "%s", path);
	verb_say_launched(result);
	cJSON_Delete(result);
	return 0;
}

static int start(struct run *r, struct error *e)
{
	char *endpoint = database_endpoint(r->path, 0); /* somebody's that runs already? */
	if (!endpoint && start_serve(r, e))
		return -1;
	if (!endpoint && !(endpoint = await_endpoint(r, e)))
		return -1;
	int rc = 0;
	if (r->serve.argv[0])
		keep_endpoint(&r->serve, endpoint);
	for (int i = 0; i < r->workers && !rc; i++)
		rc = start_worker(r, i, endpoint, e);
	free(endpoint);
	return rc;
}

static int prepare(struct run *r, const struct options *o, struct error *e)
{
	int64_t workers, quota;
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	if (option_int(o, "--workers", 0, WORKERS_MAX, 1, &workers, e))
		return -1;
	int64_t share = workers && processors / workers > 0 ? processors / workers : 1;
	if (option_int(o, "--ranks", 1, 1024, share, &r->ranks, e))
		return -1;
	if (option_bytes(o, "--artifact-quota", 0, &quota, e))
		return -1;
	r->quota = option_text(o, "--artifact-quota", NULL);
	r->workers = (int)workers;
	r->path = database_path(option_text(o, "--db", NULL));
	verb_data_roots(o);
	if (database_check_file(r->path, "run", e))
		return -1;
	r->work = database_beside(r->path, "work");
	return folder_make(r->work, e);
}

int verb_run(const struct options *o, struct error *e)
{
	struct run r = {.error = e, .json_fd = -1};
	struct database *d = NULL;
	bool json = option_given(o, "--json");
	bool plain = json || option_given(o, "--plain") || !isatty(STDOUT_FILENO);
	int rc = -1;
	if (json) {
		r.json_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		dup2(STDERR_FILENO, STDOUT_FILENO);
	}
	if (prepare(&r, o, e))
		goto out;
	d = database_open(r.path, true, e);
	catch_signals();
	if (!d || launch(&r, d, o->word[0], e) || start(&r, e))
		goto out;
	rc = watch_until(d, r.study, plain, supervise, &r, e);
	if (*e->text)
		rc = -1;
	stop_all(&r);
	if (rc == 0) {
		print_results(&r, d);
		rc = verdict(&r, d, e);
	} else if (rc > 0) {
		print_interrupted(&r, o->word[0], d);
		rc = -1;
	}
out:
	stop_all(&r);
	for (int i = 0; i < r.workers; i++)
		child_release(&r.worker[i]);
	child_release(&r.serve);
	if (r.json_fd >= 0)
		close(r.json_fd);
	database_close(d);
	while (r.datasets)
		free(r.dataset[--r.datasets]);
	free(r.study);
	free(r.work);
	return rc;
}
