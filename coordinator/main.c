/* trawl: launch sweeps, run the coordinator, ask the results.  One row of the table is one verb. */
#include "coordinator/sql.h"
#include "coordinator/verb.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "schemas/schemas.h"
#include "schemas/sweep_spec.h"
#include "schemas/trial_spec.h"
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define OPTION_LIMIT(what)                 \
	{                                  \
		"--limit", "-n", "N", what \
	}

static const struct option_row read_options[] = {OPTION_DB, OPTION_JSON, OPTION_CSV, OPTION_HELP,
                                                 OPTIONS_END};
static const struct option_row change_options[] = {OPTION_DB, OPTION_JSON, OPTION_HELP,
                                                   OPTIONS_END};
static const struct option_row run_options[] = {
        {"--workers", "-w", "N", "agents to start on this machine (default 1)"},
        {"--ranks", NULL, "N", "ranks that each agent offers (default: processors / workers)"},
        {"--data", NULL, "DIRS", "where data sets lie ($TRAWL_DATA, ../shared/data)"},
        {"--artifact-quota", NULL, "SIZE", "how much is kept of checkpoints (trawl serve --help)"},
        {"--plain", NULL, NULL, "lines instead of the live view"},
        OPTION_DB,
        OPTION_JSON,
        OPTION_HELP,
        OPTIONS_END};
static const struct option_row serve_options[] = {
        {"--listen", NULL, "ENDPOINT",
         "where agents and clients connect (default tcp://127.0.0.1:5555)"},
        {"--http", NULL, "HOST:PORT",
         "where checkpoints go over HTTP (default: where agents connect, any port)"},
        {"--http-url", NULL, "URL", "how agents reach that from where they are"},
        {"--store", NULL, "DIR", "where checkpoints are kept (default: beside the database)"},
        {"--artifact-quota", NULL, "SIZE", "how much is kept there, such as 20G (default: all)"},
        {"--data", NULL, "DIRS", "where data sets lie ($TRAWL_DATA, ../shared/data)"},
        {"--lease", NULL, "SECONDS", "a silent agent loses its trials after this (default 30)"},
        {"--notify", NULL, "URL",
         "tell this webhook when a study ends, has a new best, or many failures ($TRAWL_NOTIFY)"},
        {"--insecure", NULL, NULL,
         "ask nobody for keys, though others than this machine can connect"},
        {"--take-over", NULL, NULL,
         "go on with this database though agents know a newer copy of it (trawl backup)"},
        {"--allow-network-fs", NULL, NULL, "take a database on NFS or the like, at your risk"},
        OPTION_DB,
        OPTION_JSON,
        OPTION_HELP,
        OPTIONS_END};
static const struct option_row launch_options[] = {
        {"--dry-run", NULL, NULL, "print trials, parents, what is reused and the epochs to train"},
        {"--data", NULL, "DIRS", "where data sets lie ($TRAWL_DATA, ../shared/data)"},
        OPTION_DB,
        OPTION_JSON,
        OPTION_HELP,
        OPTIONS_END};
static const struct option_row pause_options[] = {
        {"--now", NULL, NULL, "also hand back what runs, after a checkpoint"},
        OPTION_DB,
        OPTION_JSON,
        OPTION_HELP,
        OPTIONS_END};
static const struct option_row status_options[] = {
        {"--state", NULL, "STATE", "only trials in this state"},
        {"--all", NULL, NULL, "list them also when there are more than a thousand"},
        OPTION_DB,
        OPTION_JSON,
        OPTION_CSV,
        OPTION_HELP,
        OPTIONS_END};
static const struct option_row watch_options[] = {
        {"--plain", NULL, NULL, "lines instead of the live view"},
        {"--once", NULL, NULL, "draw the view once and leave"},
        OPTION_DB,
        OPTION_JSON,
        OPTION_HELP,
        OPTIONS_END};
static const struct option_row wait_options[] = {
        {"--timeout", NULL, "SECONDS", "give up after so long (default: never)"},
        OPTION_DB,
        OPTION_JSON,
        OPTION_HELP,
        OPTIONS_END};
static const struct option_row worker_options[] = {
        {"--slurm", NULL, "N[%M]", "submit N agents, M of them at a time; each is a Slurm job"},
        {"--print", NULL, NULL, "print the batch script in place of submitting it"},
        {"--connect", NULL, "URL", "the coordinator as nodes reach it ($TRAWL_CONNECT, or --db)"},
        {"--key", NULL, "FILE", "the agents' key file ($TRAWL_KEY)"},
        {"--server-key", NULL, "KEY", "the coordinator's public key ($TRAWL_SERVER_KEY)"},
        {"--partition", NULL, "NAME", "where to run"},
        {"--account", NULL, "NAME", "who pays"},
        {"--time", NULL, "TIME", "of each agent: minutes, H:M:S or D-H:M:S"},
        {"--ranks", NULL, "N", "MPI ranks of each agent (default 1)"},
        {"--threads", NULL, "N", "threads and CPUs of each rank (default 1)"},
        {"--memory-mb", NULL, "N", "memory of each node"},
        {"--gpus", NULL, "N", "GPUs of each node"},
        {"--nodes", NULL, "N", "nodes of each agent, for trials too large for one (default 1)"},
        {"--labels", NULL, "A[,B…]", "what trials may ask for (resources.labels)"},
        {"--data", NULL, "DIRS", "where data sets lie ($TRAWL_DATA)"},
        {"--work", NULL, "DIR",
         "running trials and kept checkpoints (default: in $TMPDIR or /tmp)"},
        {"--leave", NULL, "SECONDS", "what leaving may take before the time is over (default 60)"},
        {"--idle-exit", NULL, "SECONDS", "an agent ends after so long without work (default 300)"},
        {"--job-name", NULL, "NAME", "as squeue shows it (default trawl)"},
        {"--output", NULL, "FILE", "the agents' logs (default: slurm-%A_%a.out here)"},
        {"--program", NULL, "FILE", "trawl-worker as nodes see it (default: beside trawl)"},
        OPTION_DB,
        OPTION_JSON,
        OPTION_HELP,
        OPTIONS_END};
static const struct option_row logs_options[] = {
        {"--follow", "-f", NULL, "go on as the log grows, until the trial ends"},
        {"--attempt", NULL, "N", "of this attempt (default: the last)"},
        OPTION_DB,
        OPTION_JSON,
        OPTION_HELP,
        OPTIONS_END};
static const struct option_row show_options[] = {
        {"--layers", NULL, NULL, "a line per layer even where all have the same bits"},
        OPTION_DB,
        OPTION_JSON,
        OPTION_HELP,
        OPTIONS_END};
static const struct option_row best_options[] = {OPTION_LIMIT("how many (default 5)"),
                                                 OPTION_DB,
                                                 OPTION_JSON,
                                                 OPTION_CSV,
                                                 OPTION_HELP,
                                                 OPTIONS_END};
static const struct option_row sql_options[] = {
        OPTION_LIMIT("at most N rows, 0: all (default 1000 in a table)"),
        {"--timeout", NULL, "SECONDS", "interrupt the query after (default 60, 0: never)"},
        OPTION_DB,
        OPTION_JSON,
        OPTION_CSV,
        OPTION_HELP,
        OPTIONS_END};
static const struct option_row get_options[] = {
        {"--output", "-o", "FILE", "where to (default: trial-TRIAL-NAME.safetensors here)"},
        {"--store", NULL, "DIR", "where checkpoints are kept (default: beside the database)"},
        OPTION_DB,
        OPTION_JSON,
        OPTION_HELP,
        OPTIONS_END};
static const struct option_row backup_options[] = {
        {"--store", NULL, "DIR", "where checkpoints are kept (default: beside the database)"},
        OPTION_DB,
        OPTION_JSON,
        OPTION_HELP,
        OPTIONS_END};
static const struct option_row compare_options[] = {
        {"--metric", NULL, "NAME|all", "of studies (default: what they optimise, or accuracy)"},
        OPTION_DB,
        OPTION_JSON,
        OPTION_CSV,
        OPTION_HELP,
        OPTIONS_END};
static const struct option_row plot_options[] = {
        {"--output", "-o", "FILE.svg|FILE.png",
         "one picture, there (default: every slice, as both, here)"},
        {"--slice", NULL, "NAME", "random, hessian, random_plane or hessian_plane"},
        {"--metric", NULL, "NAME", "loss or critical_loss (default: lines show both)"},
        {"--score", NULL, "NAME", "of roc and scores: max_softmax, max_logit, energy, subtask, …"},
        OPTION_DB,
        OPTION_JSON,
        OPTION_HELP,
        OPTIONS_END};
static const struct option_row data_options[] = {
        {"--to", NULL, "DIR", "folder to put it in (default: the last of $TRAWL_DATA's places)"},
        {"--from", NULL, "URL", "another mirror of the archive's folder"},
        OPTION_JSON,
        OPTION_HELP,
        OPTIONS_END};

static const struct verb verbs[] = {
        {"run", "SWEEP.json", "run a sweep here: server, agents and live view in one", run_options,
         1, 1, verb_run,
         "A study that exists goes on where it was; what is done stays done.  Ctrl-C checkpoints "
         "what\n"
         "runs, hands it back and says how to go on."},
        {"serve", "", "run the coordinator of a database", serve_options, 0, 0, verb_serve,
         "Where others than this machine can connect, everybody shows a key (trawl keys), and\n"
         "checkpoints travel over TLS, with a key of the store's own that agents are told: what "
         "lies\n"
         "between them and --http-url https://... passes TLS on.\n"
         "Beyond --artifact-quota, checkpoints that nothing needs are deleted first, then those "
         "of\n"
         "paused trials, the worst at their rungs first (let go on nevertheless, they begin "
         "anew).\n"
         "What runs, final results and files to start from stay: while those pass it, only trials\n"
         "with a checkpoint are leased."},
        {"launch", "SWEEP.json", "add a sweep to the database (a study)", launch_options, 1, 1,
         verb_launch, "Launching again with more values or more trials extends the study."},
        {"add", "STUDY FIELD=VALUE …", "add one trial by hand to a study", change_options, 2,
         WORDS_MAX, verb_add, "As in: trawl add bits-cifar10 quant.weight_bits=5 train.seed=7"},
        {"pause", "STUDY", "lease no more trials of a study", pause_options, 1, 1, verb_pause,
         NULL},
        {"resume", "STUDY", "take a paused study up again", change_options, 1, 1, verb_resume,
         NULL},
        {"cancel", "STUDY | TRIAL", "give up a study, or one trial", change_options, 1, 1,
         verb_cancel, NULL},
        {"retry", "STUDY | TRIAL", "try failed trials again", change_options, 1, 1, verb_retry,
         "Of a study, its failed trials; one trial by itself may be infeasible or cancelled too."},
        {"worker", "drain | undrain WORKER | submit --slurm N [-- OPTION …]",
         "let an agent finish and leave; take it back; or have Slurm start agents", worker_options,
         1, WORDS_MAX, verb_worker,
         "submit writes a batch script and gives it to sbatch: an array of N jobs, an agent in "
         "each "
         "that\nleaves with a checkpoint before its time is over, and when it is preempted or "
         "requeued.  Options\nof sbatch may follow, as in: trawl worker submit --slurm 4 --time "
         "240 -- --constraint=avx512"},
        {"keys", "new FILE | show [FILE] | authorize agent|user KEY [NAME] | revoke KEY",
         "keys of agents and people, where a coordinator listens beyond its machine",
         change_options, 1, 4, verb_keys,
         "new makes a key file; a KEY is its public text, or a file that holds it.  On other "
         "machines\nprograms find theirs by $TRAWL_KEY, and the coordinator's by "
         "$TRAWL_SERVER_KEY."},
        {"studies", "", "list the studies", read_options, 0, 0, verb_studies, NULL},
        {"workers", "", "list the agents", read_options, 0, 0, verb_workers, NULL},
        {"status", "[STUDY]", "list trials and their states", status_options, 0, 1, verb_status,
         NULL},
        {"watch", "[STUDY]", "live view of trials and agents", watch_options, 0, 1, verb_watch,
         NULL},
        {"wait", "[STUDY]", "return when nothing is left to do", wait_options, 0, 1, verb_wait,
         "Exit status 0 when every trial is done or stopped early (prune), 1 when some ended "
         "otherwise."},
        {"show", "TRIAL", "all about one trial", show_options, 1, 1, verb_show,
         "Where bits differ from layer to layer, each has a bar; categories are shown beside the "
         "trial's\n"
         "ancestor in full precision."},
        {"explain", "TRIAL", "why a trial is not running or why it failed; all its moves",
         change_options, 1, 1, verb_explain, NULL},
        {"logs", "TRIAL", "what a trial printed", logs_options, 1, 1, verb_logs, NULL},
        {"best", "[STUDY]", "the best trials by the study's first objective", best_options, 0, 1,
         verb_best, NULL},
        {"compare", "TRIAL TRIAL | STUDY STUDY", "two trials or studies side by side",
         compare_options, 2, 2, verb_compare,
         "Trials of a study that differ in seeds only are taken together: mean and 95 % interval, "
         "and\n"
         "of the difference too (Welch).  What is swept in either study must be equal to be "
         "compared."},
        {"plot", "landscape|roc TRIAL [TRIAL …] | scores|tree TRIAL",
         "draw what trials measured as SVG and PNG", plot_options, 2, 9, verb_plot,
         "landscape: the loss around the weights (action landscape maps it); lines share a "
         "frame, planes\n"
         "lie side by side.  roc, scores: test images against the sets of ood.sets, a chart for "
         "each.\n"
         "tree: how submodels share layers (split.submodels).  Labels say what differs between "
         "trials."},
        {"get", "TRIAL [NAME]", "copy an artifact out: weights, quantized, checkpoint", get_options,
         1, 2, verb_get, NULL},
        {"sql", "QUERY", "ask the database, read-only", sql_options, 1, 1, verb_sql,
         "Views: study_<name> (a row per trial), trial_result, best, pareto, "
         "hypervolume, progress, category_gap,\n"
         "most_impacted, train_gap, layer_bits, layer_sensitivity, fisher_convergence, timeline."},
        {"export", "[STUDY]", "the view of a study, whole", read_options, 0, 1, verb_export, NULL},
        {"backup", "FILE", "copy the database and its checkpoints, to keep or to serve elsewhere",
         backup_options, 1, 1, verb_backup,
         "Also while a coordinator runs.  The copy is a generation newer: once it is served, "
         "agents "
         "that\nknow both addresses (trawl-worker --connect A,B) obey it, and no older copy.  Told "
         "again, it\nreplaces its own last copy and copies new checkpoints only."},
        {"data", "fetch cifar10 | cifar100", "download a data set", data_options, 2, 2, verb_data,
         NULL},
};
enum { VERBS = sizeof verbs / sizeof *verbs };

static void help_all(void)
{
	printf("trawl sweeps bit-widths, Fisher regularizers and split configurations of neural "
	       "networks\n"
	       "over many machines and lets you ask the results in SQL.\n\n");
	for (int i = 0; i < VERBS; i++) {
		int space = 26 - text_columns(verbs[i].arguments);
		printf("  %-8s %s%s%*s %s\n", verbs[i].name, verbs[i].arguments,
		       space < 0 ? "\n" : "", space < 0 ? 37 : space, "", verbs[i].summary);
	}
	printf("\n`trawl VERB --help` says more; `trawl help trial` and `trawl help sweep` list "
	       "what a\n"
	       "trial and a sweep can say.  First try: trawl run sweeps/quickstart.json --db "
	       "try.db\n");
}

static void help_verb(const struct verb *v)
{
	printf("trawl %s %s\n%s\n\n", v->name, v->arguments, v->summary);
	options_print(v->options);
	if (v->detail)
		printf("\n%s\n", v->detail);
}

static const struct verb *find_verb(const char *name, struct error *e)
{
	const char *known[VERBS];
	for (int i = 0; i < VERBS; i++) {
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
		known[i] = verbs[i].name;
	}
	const char *near = nearest_name(name, known, VERBS);
	error_set(e, "no verb %s%s%s; `trawl help` lists them", name, near ? "; did you mean " : "",
	          near ? near : "");
	return NULL;
}

static int help_fields(const struct field_table *table)
{
	struct text out = {0};
	fields_help(table, &out);
	fputs(out.data, stdout);
	text_release(&out);
	return 0;
}

static int help(int argc, char **argv, struct error *e)
{
	if (argc < 1) {
		help_all();
		return 0;
	}
	if (!strcmp(argv[0], "trial"))
		return help_fields(&trial_fields);
	if (!strcmp(argv[0], "sweep"))
		return help_fields(&sweep_fields);
	if (!strcmp(argv[0], "--write-schemas"))
		return schemas_write(argc > 1 ? argv[1] : "schemas", e);
	const struct verb *v = find_verb(argv[0], e);
	if (!v)
		return -1;
	help_verb(v);
	return 0;
}

static int run(const struct verb *v, int argc, char **argv, struct error *e)
{
	struct options o;
	if (options_parse(&o, v->options, argc, argv, e))
		return -1;
	if (option_given(&o, "--help")) {
		help_verb(v);
		return 0;
	}
	if (o.words < v->words_least || o.words > v->words_most)
		return error_set(e, "wants: trawl %s %s", v->name, v->arguments);
	return v->run(&o, e);
}

/* 0: well; 1: the verb says no (a message was printed); 2: the command line is not understood. */
int main(int argc, char **argv)
{
	struct error e = {""};
	setlocale(LC_CTYPE, "C.UTF-8");
	signal(SIGPIPE, SIG_IGN);
	sql_configure();
	if (argc < 2 || !strcmp(argv[1], "help") || !strcmp(argv[1], "--help") ||
	    !strcmp(argv[1], "-h")) {
		if (!help(argc - 2, argv + 2, &e))
			return 0;
		fprintf(stderr, "trawl help: %s\n", e.text);
		return 2;
	}
	const struct verb *v = find_verb(argv[1], &e);
	if (!v) {
		fprintf(stderr, "trawl: %s\n", e.text);
		return 2;
	}
	if (!run(v, argc - 2, argv + 2, &e))
		return 0;
	if (*e.text)
		fprintf(stderr, "trawl %s: %s\n", v->name, e.text);
	return 1;
}
