/* Agents as jobs of Slurm: the batch script that starts them. */
#include "coordinator/submit.h"
#include "core/base/text.h"
#include "schemas/endpoints.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { EARLY_S = 60 }; /* Slurm may send a --signal so much earlier than asked */

int64_t submit_seconds(const char *time)
{
	static const int64_t units[] = {3600, 60, 1};
	const char *dash = strchr(time, '-');
	int64_t part[3], days = 0, seconds = 0;
	int parts = 0;

	for (const char *at = time;; at++) {
		char *end;
		if (!isdigit((unsigned char)*at) || parts == 3)
			return -1;
		int64_t number = strtoll(at, &end, 10);
		if (end - at > 9)
			return -1;
		at = end;
		if (dash && at == dash)
			days = number, dash = NULL;
		else if (*at && *at != ':')
			return -1;
		else
			part[parts++] = number;
		if (!*at)
			break;
	}
	/* without days, one or two numbers begin with minutes */
	int first = strchr(time, '-') || parts == 3 ? 0 : 1;
	for (int i = 0; i < parts; i++)
		seconds += part[i] * units[first + i];
	return days * 86400 + seconds;
}

/* --- words ----------------------------------------------------------------------------------- */

/* As one word of the shell, whatever is in it. */
static void shell_word(struct text *t, const char *word)
{
	text_add(t, "'");
	for (; *word; word++)
		text_add(t, *word == '\'' ? "'\\''" : "%c", *word);
	text_add(t, "'");
}

/* An option of the agent, in the script's array of its words. */
static void agent_option(struct text *t, const char *name, const char *value)
{
	if (!value)
		return;
	text_add(t, " --%s ", name);
	shell_word(t, value);
}

static void agent_number(struct text *t, const char *name, int64_t value)
{
	if (value)
		text_add(t, " --%s %" PRId64, name, value);
}

/* One option on a line of its own; sbatch reads quotes and backslashes there. */
static void batch_option(struct text *t, const char *option, const char *value)
{
	if (!value)
		return;
	text_add(t, "#SBATCH \"%s", option);
	for (; *value; value++)
		text_add(t, strchr("\"\\", *value) ? "\\%c" : "%c", *value);
	text_add(t, "\"\n");
}

static void batch_number(struct text *t, const char *option, int64_t value, const char *unit)
{
	if (value)
		text_add(t, "#SBATCH %s%" PRId64 "%s\n", option, value, unit);
}

static int is_one_line(const char *name, const char *value, struct error *e)
{
	for (const char *at = value; at && *at; at++)
		if (iscntrl((unsigned char)*at))
			return error_set(e, "%s has a line break or another control character",
			                 name);
	return 0;
}

/* --- what is wrong --------------------------------------------------------------------------- */

static int check_texts(const struct submit *s, struct error *e)
{
	const struct {
		const char *name, *value;
	} texts[] = {{"--program", s->worker},
	             {"--connect", s->connect},
	             {"--key", s->key},
	             {"--server-key", s->server_key},
	             {"--partition", s->partition},
	             {"--account", s->account},
	             {"--time", s->time},
	             {"--job-name", s->name},
	             {"--output", s->output},
	             {"--labels", s->labels},
	             {"--work", s->work},
	             {"--data", s->data}};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (is_one_line(texts[i].name, texts[i].value, e))
			return -1;
	for (int i = 0; i < s->more_count; i++) {
		if (s->more[i][0] != '-')
			return error_set(e,
			                 "%s: behind -- stand options of sbatch, each as "
			                 "--name=value",
			                 s->more[i]);
		if (is_one_line("an option of sbatch", s->more[i], e))
			return -1;
	}
	return 0;
}

static int check_connect(const struct submit *s, struct error *e)
{
	char *endpoint[ENDPOINTS_MAX];
	int count = endpoints_split(s->connect, endpoint, e);

	for (int i = 0; i < count; i++)
		free(endpoint[i]);
	return count < 0 ? -1 : 0;
}

static int check(const struct submit *s, struct error *e)
{
	if (check_texts(s, e) || check_connect(s, e))
		return -1;
	if (!s->key != !s->server_key)
		return error_set(e, "%s is missing: a key and the server's key go together",
		                 s->key ? "--server-key ($TRAWL_SERVER_KEY)"
		                        : "--key ($TRAWL_KEY)");
	if (s->nodes > 1 && !s->work)
		return error_set(e,
		                 "--nodes %" PRId64 ": --work has to name a folder that all nodes "
		                 "share, for ranks read their trial there",
		                 s->nodes);
	if (s->nodes > s->ranks)
		return error_set(e, "--nodes %" PRId64 ": more than --ranks %" PRId64, s->nodes,
		                 s->ranks);
	int64_t seconds = s->time ? submit_seconds(s->time) : -1;
	if (s->time && seconds < 0)
		return error_set(e, "--time %s: minutes, H:M:S or D-H:M:S is expected", s->time);
	if (s->time && seconds <= s->leave_s)
		return error_set(e,
		                 "--time %s: agents would leave at once, for leaving may take "
		                 "%" PRId64 " seconds (--leave)",
		                 s->time, s->leave_s);
	return 0;
}

/* --- the script ------------------------------------------------------------------------------ */

static void batch_options(struct text *t, const struct submit *s)
{
	int64_t before_s = s->leave_s + EARLY_S;

	batch_option(t, "--job-name=", s->name);
	text_add(t, "#SBATCH --array=1-%" PRId64, s->agents);
	if (s->at_a_time)
		text_add(t, "%%%" PRId64, s->at_a_time);
	text_add(t, "\n");
	batch_number(t, "--nodes=", s->nodes, "");
	batch_number(t, "--ntasks=", s->ranks, "");
	batch_number(t, "--cpus-per-task=", s->threads, "");
	batch_number(t, "--mem=", s->memory_mb, "M");
	batch_number(t, "--gpus-per-node=", s->gpus, "");
	batch_option(t, "--partition=", s->partition);
	batch_option(t, "--account=", s->account);
	batch_option(t, "--time=", s->time);
	batch_option(t, "--output=", s->output);
	text_add(t, "#SBATCH --requeue\n#SBATCH --open-mode=append\n");
	/* where it cannot come too early: the agents know when their time is over anyway */
	if (!s->time || submit_seconds(s->time) > 2 * before_s)
		batch_number(t, "--signal=B:USR1@", before_s, "");
	for (int i = 0; i < s->more_count; i++)
		batch_option(t, "", s->more[i]);
}

static void agent_words(struct text *t, const struct submit *s)
{
	text_add(t, "agent=(");
	shell_word(t, s->worker);
	agent_option(t, "connect", s->connect);
	agent_option(t, "key", s->key);
	agent_option(t, "server-key", s->server_key);
	agent_number(t, "ranks", s->ranks);
	agent_number(t, "threads", s->threads);
	agent_number(t, "gpus", s->gpus);
	agent_number(t, "leave", s->leave_s);
	agent_number(t, "idle-exit", s->idle_s);
	char *labels = xstrdup(s->labels ? s->labels : ""), *rest = labels, *label;
	while ((label = strsep(&rest, ",")))
		agent_option(t, "label", *label ? label : NULL);
	free(labels);
	agent_option(t, "data", s->data);
	text_add(t, ")\nwork=");
	shell_word(t, s->work ? s->work : "");
	text_add(t, "\n");
}

/* What only the node knows.  srun that is told to end kills the agent, so it is never sent that: it
 * passes SIGUSR1 on, which asks the agent to leave. */
static const char on_the_node[] =
        "\n"
        "began=$(date +%s)\n"
        "node=${SLURMD_NODENAME:-$(hostname -s)}\n"
        "agent+=(--name \"$node.$SLURM_JOB_ID\")\n"
        "if [ -z \"$work\" ]; then\n"
        "\twork=${TMPDIR:-/tmp}/trawl-$(id -u)\n"
        "\tmkdir -m 700 \"$work\" 2>/dev/null\n"
        "\t[ -O \"$work\" ] || { echo \"$work is somebody else's; use --work\" >&2; exit 1; }\n"
        "fi\n"
        "agent+=(--work \"$work/$node\")\n"
        "memory=${SLURM_MEM_PER_NODE:-$((${SLURM_MEM_PER_CPU:-0} * ${SLURM_CPUS_ON_NODE:-0}))}\n"
        "[ \"$memory\" -gt 0 ] && agent+=(--memory-mb $((memory * 9 / 10)))\n"
        "\n"
        "# It takes no trial that cannot end before the job does, and leaves in time.\n"
        "end=${SLURM_JOB_END_TIME:-$(date +%s 2>/dev/null -d \\\n"
        "\t\"$(SLURM_TIME_FORMAT=standard squeue -h -j \"$SLURM_JOB_ID\" -o %e)\")}\n"
        "if [ -n \"$end\" ]; then\n"
        "\tleft=$((end - $(date +%s)))\n"
        "\t[ \"$left\" -gt 1 ] || left=1\n"
        "\tagent+=(--time-limit \"$(printf '%d.%02d' $((left / 60)) $((left % 60 * 100 / 60)))\")\n"
        "fi\n"
        "\n"
        "step= told=\n"
        "trap 'told=1; [ -z \"$step\" ] || kill -USR1 \"$step\" 2>/dev/null' USR1 TERM\n"
        "srun --overlap --mpi=none --export=ALL --nodes=1 --ntasks=1 --relative=0 \\\n"
        "\t--cpus-per-task=\"${SLURM_CPUS_ON_NODE:-1}\" \"${agent[@]}\" &\n"
        "step=$!\n"
        "[ -z \"$told\" ] || kill -USR1 \"$step\"\n"
        "wait \"$step\"\n"
        "status=$?\n"
        "while kill -0 \"$step\" 2>/dev/null; do\n"
        "\twait \"$step\"\n"
        "\tstatus=$?\n"
        "done\n"
        "step=\n"
        "\n"
        "# An agent that made room for others, within a grace time, is to come again.\n"
        "preempted=$(scontrol show job \"$SLURM_JOB_ID\" | sed -n "
        "'s/.*PreemptTime=\\([0-9][^ ]*\\).*/\\1/p')\n"
        "if [ -n \"$preempted\" ] && [ \"$(date -d \"$preempted\" +%s)\" -ge \"$began\" ]; then\n"
        "\tscontrol requeue \"$SLURM_JOB_ID\"\n"
        "fi\n"
        "exit \"$status\"\n";

char *submit_script(const struct submit *s, struct error *e)
{
	struct text t = {0};

	if (check(s, e))
		return NULL;
	text_add(&t, "#!/bin/bash\n# Agents of trawl, each a job of this array: `trawl worker "
	             "submit`.\n");
	batch_options(&t, s);
	text_add(&t, "set -u\n");
	agent_words(&t, s);
	text_add(&t, "%s", on_the_node);
	return text_take(&t);
}
