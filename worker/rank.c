/* trawl-trial: one trial as an MPI program, started by an agent, or by a person by hand. */
#include "core/base/clock.h"
#include "core/base/cores.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/tensor/onednn/onednn.h"
#include "core/train/action.h"
#include "worker/parent.h"
#include "worker/signals.h"
#include "worker/trial_print.h"
#include "worker/trial_report.h"
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

struct options {
	int64_t ranks, trial, attempt;
	char *agent;
	const char *pin; /* null: "auto" */
	struct trial_files files;
	char *path; /* trial.json */
};

/* Every option: OPTION(name, argument, meaning). */
static const struct {
	const char *name, *argument, *meaning;
} option_rows[] = {
        {"ranks", "R", "fail unless MPI started R ranks"},
        {"folder", "DIR", "where results go; default: the trial's file name with .run"},
        {"resume", "FILE", "go on from this checkpoint, to the same bits as never stopped"},
        {"input", "[ROLE=]FILE", "weights to start from, in place of start_from; or of memberN"},
        {"data", "DIR[:DIR…]", "where data sets are looked for; default $TRAWL_DATA"},
        {"cache", "DIR", "decoded images; default $XDG_CACHE_HOME/trawl/data"},
        {"pin", "auto|none", "auto: each rank keeps to cores of its own, where enough are free"},
        {"stop-after", "N", "checkpoint and stop after N steps"},
        {"until-epoch", "N", "checkpoint and stop after N epochs in all"},
        {"agent", "URL", "the agent that started it, to report to"},
        {"trial", "ID", "the agent's number of the trial"},
        {"attempt", "N", "the agent's number of the attempt"},
        {"numerics", NULL, "print this machine's numerics class, and end"},
        {"help", NULL, "print this, and end"},
};
enum { OPTIONS = sizeof option_rows / sizeof *option_rows };

static void help(void)
{
	printf("Usage: trawl-trial [options] TRIAL.json\n"
	       "       mpiexec.mpich -n R trawl-trial [options] TRIAL.json\n\n"
	       "Trains and evaluates one trial (see `trawl help trial`).  Writes to its folder\n"
	       "outcome.json, weights.safetensors, quantized.safetensors and checkpoints.\n"
	       "Ends with 0 when done, or stopped with a checkpoint.\n\n");
	for (int i = 0; i < OPTIONS; i++) {
		char *left =
		        xformat("--%s%s%s", option_rows[i].name, option_rows[i].argument ? " " : "",
		                option_rows[i].argument ? option_rows[i].argument : "");
		printf("  %-22s %s\n", left, option_rows[i].meaning);
		free(left);
	}
}

static int read_number(const char *name, const char *text, int64_t *out, struct error *e)
{
	char *end;

	errno = 0;
	*out = strtoll(text, &end, 10);
	if (errno || *end || end == text || *out < 0)
		return error_set(e, "--%s %s: not a number", name, text);
	return 0;
}

/* "ROLE=FILE" or "FILE": "start_from", or "memberN" of an ensemble. */
static int read_input(const char *text, struct trial_files *f, struct error *e)
{
	size_t role = strspn(text, "abcdefghijklmnopqrstuvwxyz_0123456789");
	bool named = text[role] == '=';
	const char *path = named ? text + role + 1 : text, **out = &f->input;
	int member;

	if (named && sscanf(text, "member%d=", &member) == 1) {
		if (member < 0 || member >= MEMBERS_MAX)
			return error_set(e, "--input %s: members are 0 to %d", text,
			                 MEMBERS_MAX - 1);
		out = &f->member[member];
	}
	if (*out)
		return error_set(e, "--input %s: there is one for that already", text);
	*out = path;
	return 0;
}

static int read_option(struct options *o, const char *name, char *value, struct error *e)
{
	const struct {
		const char *name;
		const char **text;
		int64_t *number;
	} targets[] = {
	        {"ranks", NULL, &o->ranks},
	        {"trial", NULL, &o->trial},
	        {"attempt", NULL, &o->attempt},
	        {"stop-after", NULL, &o->files.stop_after},
	        {"until-epoch", NULL, &o->files.until_epoch},
	        {"agent", (const char **)&o->agent, NULL},
	        {"pin", &o->pin, NULL},
	        {"folder", &o->files.folder, NULL},
	        {"resume", &o->files.resume, NULL},
	        {"data", &o->files.data, NULL},
	        {"cache", &o->files.cache, NULL},
	};

	for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
		if (strcmp(targets[i].name, name))
			continue;
		if (targets[i].number)
			return read_number(name, value, targets[i].number, e);
		*targets[i].text = value;
		return 0;
	}
	return read_input(value, &o->files, e);
}

/* 1: said all there is to say. */
static int read_options(struct options *o, int argc, char **argv, struct error *e)
{
	struct option long_options[OPTIONS + 1] = {0};
	int at = 0, got;

	for (int i = 0; i < OPTIONS; i++)
		long_options[i] = (struct option){.name = option_rows[i].name,
		                                  .has_arg = option_rows[i].argument != NULL};
	opterr = 0;
	while ((got = getopt_long(argc, argv, "", long_options, &at)) != -1) {
		if (got)
			return error_set(e, "%s: unknown, or its argument is missing; see --help",
			                 argv[optind - 1]);
		if (!strcmp(option_rows[at].name, "help")) {
			help();
			return 1;
		}
		if (!strcmp(option_rows[at].name, "numerics")) {
			const char *class = onednn_numerics_class(0), *threads;
			threads = strstr(class, " threads-"); /* the trial's, not the machine's */
			printf("%.*s\n", (int)(threads ? threads - class : 200), class);
			return 1;
		}
		if (read_option(o, option_rows[at].name, optarg, e))
			return -1;
	}
	if (o->pin && strcmp(o->pin, "auto") && strcmp(o->pin, "none"))
		return error_set(e, "--pin %s: auto or none is expected", o->pin);
	if (optind != argc - 1)
		return error_set(e, "%s; see --help",
		                 optind < argc ? "one trial at a time" : "no trial file given");
	o->path = argv[optind];
	return 0;
}

/* --- signals -------------------------------------------------------------------------------- */

static volatile sig_atomic_t signalled;
static volatile int64_t signalled_ms;
static bool hurries[NSIG]; /* a second one does */

/* The first asks for a checkpoint; a person's second one, a second later, means it. */
static void on_signal(int number)
{
	if (signalled && hurries[number] && clock_monotonic_ms() - signalled_ms > 1000) {
		signal(number, SIG_DFL);
		raise(number);
	}
	if (!signalled)
		signalled_ms = clock_monotonic_ms();
	signalled = 1;
}

static void take_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	sigset_t leave;

	leave_signals(&leave);
	for (int number = 1; number < NSIG; number++) {
		if (sigismember(&leave, number) != 1)
			continue;
		hurries[number] = leave_signal_hurries(number);
		sigaction(number, &action, NULL);
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* write says it too */
}

/* Ranks end with what started them.  A person's shell may go: nohup is theirs to choose. */
static void die_with_parent(int argc, char **argv)
{
	bool started = getenv("PMI_RANK") || getenv("PMI_FD") || getenv("PMIX_RANK");

	for (int i = 1; i < argc; i++)
		started = started || !strncmp(argv[i], "--agent", 7);
	if (!started)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == 1 && getpid() != 1 && getenv("PMI_FD"))
		_exit(EXIT_FAILURE); /* it went before we asked */
}

/* --- one run -------------------------------------------------------------------------------- */

struct run {
	struct options options;
	struct parallel parallel;
	struct trial_report report;
	bool reporting;            /* the report is open: rank 0 only */
	bool in_parent;            /* what runs is the trial's parent */
	char *folder;              /* absolute; the options' until then */
	char *weights;             /* the parent's */
	char *member[MEMBERS_MAX]; /* an ensemble's members' */
	struct trainer trainer;
	struct trial_spec spec;
	cJSON *trial;
};
static struct run run;

static enum order on_order(void *self)
{
	enum order order = run.parallel.rank ? ORDER_GO : trial_report_order(&run.report);

	return signalled && order < ORDER_YIELD ? ORDER_YIELD : order;
}

static void on_progress(void *self, const struct progress *p)
{
	trial_print_progress(p);
	trial_report_progress(&run.report, p);
}

static void on_metrics(void *self, const struct result *r, int first)
{
	trial_print_epoch(r, first);
	trial_report_metrics(&run.report, r, first);
}

static void on_checkpoint(void *self, const struct written *file, const struct position *p,
                          const struct result *r)
{
	trial_report_checkpoint(&run.report, file, p, r);
}

static const struct observer observer = {NULL, on_order, on_progress, on_metrics, on_checkpoint};

/* Any rank whose memory is gone ends the whole job.  Only small pieces are asked for from here on.
 */
static void on_memory_exhausted(size_t bytes)
{
	struct error e = {0};
	char *text = xformat("out of memory: %zu bytes more could not be had", bytes);

	fprintf(stderr, "trawl-trial: rank %d: %s\n", run.parallel.rank, text);
	if (!run.reporting && run.options.files.folder)
		run.report = (struct trial_report){.trial = run.options.trial,
		                                   .attempt = run.options.attempt,
		                                   .folder = run.options.files.folder};
	if (run.report.folder)
		trial_report_end(&run.report, OUTCOME_OUT_OF_MEMORY, text, NULL, &e);
	trial_report_release(&run.report);
	parallel_abort(EXIT_FAILURE);
}

/* The folder that the user did not name: trial.json -> trial.run */
static char *default_folder(const char *path)
{
	size_t length = strlen(path);

	if (length > 5 && !strcmp(path + length - 5, ".json"))
		length -= 5;
	return xformat("%.*s.run", (int)length, path);
}

/* The folder, absolute, so that the paths in messages are. */
static int make_folder(struct options *o, struct error *e)
{
	char *folder = o->files.folder ? xstrdup(o->files.folder) : default_folder(o->path);
	char real[PATH_MAX];
	int status = folder_make(folder, e);

	if (!status && !realpath(folder, real))
		status = error_errno(e, "%s", folder);
	free(folder);
	o->files.folder = run.folder = status ? NULL : xstrdup(real);
	return status;
}

static int read_trial(struct error *e)
{
	run.trial = json_read(run.options.path, e);
	if (!run.trial)
		return -1;
	if (trial_spec_parse(run.trial, &run.spec, e)) {
		char *list = xstrdup(e->text);
		error_set(e, "%s:\n%s", run.options.path, list);
		free(list);
		return -1;
	}
	trial_fill(run.trial);
	return 0;
}

/* Folder, trial, agent; what is wrong with the trial is for the agent to hear too. */
static int prepare(struct error *e)
{
	struct options *o = &run.options;
	struct error unheard = {0};

	if (make_folder(o, e))
		return -1;
	int status = read_trial(e);
	if (run.parallel.rank == 0) {
		char *old = path_join(o->files.folder, "outcome.json");
		unlink(old); /* of an earlier attempt: not to be taken for ours */
		free(old);
		int threads = (int)run.spec.train_threads;
		run.reporting = !trial_report_open(
		        &run.report, o->agent, o->trial, o->attempt, run.parallel.ranks,
		        onednn_numerics_class(threads), o->files.folder, status ? &unheard : e);
	}
	return run.parallel.rank || run.reporting ? status : -1;
}

/* All ranks of this node, or none; before they have memory, which then lies near their cores. */
static void pin(void)
{
	const char *place = getenv("MPI_LOCALRANKID"), *ranks = getenv("MPI_LOCALNRANKS");
	const struct parallel *p = &run.parallel;

	if (run.options.pin && !strcmp(run.options.pin, "none"))
		return;
	int status = cores_take(place ? atoi(place) : p->rank, ranks ? atoi(ranks) : p->ranks,
	                        (int)run.spec.train_threads);
	if (parallel_agree(p, status ? 1 : 0))
		cores_leave();
	else
		cores_bind();
}

static enum outcome run_trial(struct error *e)
{
	struct options *o = &run.options;

	pin();
	if (run.parallel.rank == 0)
		printf("%s on %s, %lld epochs, %d ranks of %lld threads; results in %s\n",
		       run.spec.model_name, run.spec.data_name, (long long)run.spec.train_epochs,
		       run.parallel.ranks, (long long)run.spec.train_threads, o->files.folder);
	o->files.keep_all = o->agent != NULL;
	if (run.spec.start_from_change && !o->agent && !o->files.input && !o->files.resume) {
		run.in_parent = true;
		enum outcome outcome = parent_train(run.trial, &o->files, &observer, &run.parallel,
		                                    &run.weights, e);
		if (outcome != OUTCOME_DONE)
			return outcome;
		run.in_parent = false;
		o->files.input = run.weights;
	}
	if (trial_members(run.trial) && !o->agent && !o->files.member[0]) {
		run.in_parent = true;
		enum outcome outcome = members_train(run.trial, &o->files, &observer, &run.parallel,
		                                     run.member, e);
		if (outcome != OUTCOME_DONE)
			return outcome;
		run.in_parent = false;
		for (int i = 0; i < MEMBERS_MAX; i++)
			o->files.member[i] = run.member[i];
	}
	return action_run(&run.trainer, run.trial, &run.spec, &o->files, &observer, &run.parallel,
	                  e);
}

/* Rank 0 says how it ended: on disk, to the agent, to the person. */
static void say_end(enum outcome outcome, const struct error *e)
{
	struct error failed = {0};

	if (run.parallel.rank)
		return;
	if (run.reporting && trial_report_end(&run.report, outcome, e->text, &run.trainer, &failed))
		fprintf(stderr, "trawl-trial: outcome.json: %s\n", failed.text);
	if (outcome == OUTCOME_DONE)
		trial_print_final(&run.trainer);
	else
		fprintf(outcome_status[outcome] ? stderr : stdout, "trawl-trial: %s: %s\n",
		        outcome_name[outcome], e->text);
	if (run.in_parent && outcome == OUTCOME_YIELD)
		printf("go on with the same command\n");
	else if ((outcome == OUTCOME_YIELD || outcome == OUTCOME_RUNG) && !run.options.agent)
		printf("go on with --resume %s/checkpoint-%08lld.safetensors\n",
		       run.options.files.folder, (long long)run.trainer.position.step);
}

int main(int argc, char **argv)
{
	struct error e = {0};
	enum outcome outcome = OUTCOME_ERROR;

	die_with_parent(argc, argv);
	log_open("trawl-trial");
	setvbuf(stdout, NULL, _IOLBF, 0);
	int status = read_options(&run.options, argc, argv, &e);
	if (status) {
		if (status < 0)
			fprintf(stderr, "trawl-trial: %s\n", e.text);
		return status < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	take_signals();
	memory_exhausted_call(on_memory_exhausted);
	if (parallel_begin(&run.parallel, (int)run.options.ranks, &e) == 0) {
		if (parallel_outcome(&run.parallel, prepare(&e), &e) == 0)
			outcome = run_trial(&e);
	} else if (run.parallel.rank == 0) {
		struct error ignored = {0};
		prepare(&ignored);
	}
	say_end(outcome, &e);
	if (run.reporting)
		trial_report_release(&run.report);
	trainer_release(&run.trainer);
	trial_spec_release(&run.spec);
	cJSON_Delete(run.trial);
	free(run.folder);
	free(run.weights);
	for (int i = 0; i < MEMBERS_MAX; i++)
		free(run.member[i]);
	parallel_end();
	return outcome_status[outcome];
}
