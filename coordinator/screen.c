/* The live view: what `watch` and `run` draw, as text made from a snapshot of the database. */
#include "coordinator/screen.h"
#include "core/base/json.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_SECONDS = 10 };

static const char study_sql[] =
        "select s.name, s.state, count(*) + s.total - s.cursor total, sum(t.state = 'done') done,"
        " sum(t.state = 'leased') running, sum(t.state in ('waiting', 'ready', 'paused'))"
        " + s.total - s.cursor waiting,"
        " sum(t.state in ('failed', 'infeasible', 'skipped', 'cancelled')) failed,"
        " sum(t.state = 'pruned') stopped,"
        " min(t.started_ms) first_ms, max(t.ended_ms) last_ms from study s"
        " join study_trial st on st.study = s.id join trial t on t.id = st.trial"
        " where (?1 = '' and s.state <> 'cancelled') or s.name = ?1 group by s.id order by s.id";

static const char trial_sql[] =
        "select t.id, t.state, st.role, st.assignment, t.attempt, a.step, a.steps,"
        " iif(t.state = 'done', a.epochs, max(a.epoch, t.reached)) epoch, a.epochs,"
        " a.images_per_second rate, a.loss, a.phase, a.from_step, a.started_ms, t.ended_ms, t.why,"
        " t.started_ms first_ms, coalesce((select value from result r where r.trial = t.id"
        "  and r.metric = 'accuracy'), a.accuracy) accuracy, w.name worker from study s"
        " join study_trial st on st.study = s.id join trial t on t.id = st.trial"
        " left join attempt a on a.trial = t.id and a.attempt = t.attempt"
        " left join worker w on w.id = t.worker and t.state = 'leased'"
        " where (?1 = '' and s.state <> 'cancelled') or s.name = ?1 group by t.id"
        " order by t.state = 'leased' desc, t.state = 'done' desc,"
        "  case t.state when 'done' then -t.ended_ms else t.id end";

static const char worker_sql[] =
        "select w.id, w.name, w.state, w.ranks, w.seen_ms,"
        " (select group_concat(t.id, ' ') from trial t where t.worker = w.id and t.state = "
        "'leased')"
        " trials from worker w where w.state not in ('left', 'lost') order by w.id";

int screen_read(struct screen *v, struct database *d, const char *study, int64_t now_ms,
                struct error *e)
{
	const char *bind[] = {study ? study : ""};
	struct query_limits limits = {.seconds = READ_SECONDS};
	*v = (struct screen){.now_ms = now_ms};
	return database_query(d, study_sql, bind, 1, limits, &v->study, e) ||
	                       database_query(d, trial_sql, bind, 1, limits, &v->trial, e) ||
	                       database_query(d, worker_sql, NULL, 0, limits, &v->worker, e)
	               ? -1
	               : 0;
}

void screen_release(struct screen *v)
{
	rows_release(&v->study);
	rows_release(&v->trial);
	rows_release(&v->worker);
}

int64_t screen_count(const struct screen *v, const char *column)
{
	int64_t sum = 0;
	for (int64_t i = 0; i < v->study.count; i++)
		sum += rows_int(&v->study, i, column, 0);
	return sum;
}

bool screen_ended(const struct screen *v)
{
	return v->study.count && !screen_count(v, "running") && !screen_count(v, "waiting");
}

int screen_verdict(const struct screen *v, const char *study, struct error *e)
{
	int64_t failed = screen_count(v, "failed");
	return failed ? error_set(e,
	                          "%" PRId64
	                          " trials of %s did not end well; see `trawl status %s`",
	                          failed, study, study)
	              : 0;
}

void screen_duration(double seconds, char out[24])
{
	int64_t s = seconds > 0 && seconds < 1e9 ? (int64_t)llround(seconds) : 0;
	if (s < 60)
		snprintf(out, 24, "%" PRId64 " s", s);
	else if (s < 3600)
		snprintf(out, 24, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
	else
		snprintf(out, 24, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
}

void screen_bytes(int64_t bytes, char out[24])
{
	static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	double size = (double)bytes;
	int u = 0;
	for (; size >= 1024 && u < 4; u++)
		size /= 1024;
	snprintf(out, 24, "%.*f %s", u && size < 100 ? 1 : 0, size, unit[u]);
}

void screen_assignment(const char *json, struct text *out)
{
	cJSON *swept = cJSON_Parse(json);
	const cJSON *item;
	cJSON_ArrayForEach (item, swept) {
		const char *dot = strrchr(item->string, '.');
		char *value = cJSON_IsString(item) ? xstrdup(item->valuestring)
		                                   : cJSON_PrintUnformatted(item);
		text_add(out, "%s%s=%s", item == swept->child ? "" : " ",
		         dot ? dot + 1 : item->string, value);
		free(value);
	}
	cJSON_Delete(swept);
}

/* ---- parts of a line ---- */

struct style {
	const char *state, *sign, *colour;
};
static const struct style style[] = {
        {"leased", "▶", "36"},     {"done", "✔", "32"},    {"ready", "·", "2"},
        {"waiting", "·", "2"},     {"paused", "‖", "33"},  {"failed", "✘", "31"},
        {"infeasible", "✘", "31"}, {"skipped", "✘", "31"}, {"cancelled", "–", "2"},
        {"pruned", "–", "2"},
};

static const struct style *style_of(const char *state)
{
	for (size_t i = 0; i < sizeof style / sizeof *style; i++)
		if (!strcmp(style[i].state, state))
			return &style[i];
	return &style[2];
}

static void paint(struct text *out, bool colour, const char *code)
{
	if (colour)
		text_add(out, "\033[%sm", code);
}

/* A bar of `width` characters in eighths. */
static void bar(struct text *out, double part, int width, bool colour, const char *code)
{
	static const char *const eighth[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
	part = part < 0 || !isfinite(part) ? 0 : part > 1 ? 1 : part;
	int all = (int)(part * width * 8 + 0.5), full = all / 8, rest = all % 8;
	paint(out, colour, code);
	for (int i = 0; i < full; i++)
		text_add(out, "█");
	text_add(out, "%s", eighth[rest]);
	paint(out, colour, "0;2");
	for (int i = full + (rest > 0); i < width; i++)
		text_add(out, "░");
	paint(out, colour, "0");
}

static double trial_part(const struct screen *v, int64_t i)
{
	const char *state = rows_text(&v->trial, i, "state");
	double steps = rows_real(&v->trial, i, "steps", 0);
	if (!strcmp(state, "done"))
		return 1;
	return steps > 0 ? rows_real(&v->trial, i, "step", 0) / steps : 0;
}

/* Seconds that the running attempt still needs at its speed so far; negative when unknown. */
static double trial_left(const struct screen *v, int64_t i)
{
	double step = rows_real(&v->trial, i, "step", 0),
	       from = rows_real(&v->trial, i, "from_step", 0);
	double spent = 1e-3 * (double)(v->now_ms - rows_int(&v->trial, i, "started_ms", v->now_ms));
	if (step <= from || spent <= 0)
		return -1;
	return spent * (rows_real(&v->trial, i, "steps", 0) - step) / (step - from);
}

static void number(struct text *out, const struct screen *v, int64_t i, const char *column,
                   const char *format, int width)
{
	char s[32] = "";
	if (*rows_text(&v->trial, i, column))
		snprintf(s, sizeof s, format, rows_real(&v->trial, i, column, 0));
	text_add(out, "%*s", width, s);
}

static void trial_times(struct text *out, const struct screen *v, int64_t i)
{
	char s[24] = "";
	int64_t first = rows_int(&v->trial, i, "first_ms", 0),
	        end = rows_int(&v->trial, i, "ended_ms", 0);
	bool running = !strcmp(rows_text(&v->trial, i, "state"), "leased");
	if (running && trial_left(v, i) >= 0)
		screen_duration(trial_left(v, i), s);
	else if (end && first)
		screen_duration(1e-3 * (double)(end - first), s);
	text_add(out, running && *s ? " %8s left" : " %8s", s);
}

/* Cuts a UTF-8 string to `width` characters and pads it. */
static void fit(struct text *out, const char *s, int width)
{
	int n = 0;
	for (; *s && n < width; n++) {
		size_t bytes = 1;
		while ((s[bytes] & 0xC0) == 0x80)
			bytes++;
		text_add_bytes(out, s, bytes);
		s += bytes;
	}
	text_add(out, "%*s", width - n, "");
}

static void trial_name(const struct screen *v, int64_t i, struct text *out)
{
	if (!strcmp(rows_text(&v->trial, i, "role"), "parent"))
		text_add(out, "parent");
	else
		screen_assignment(rows_text(&v->trial, i, "assignment"), out);
}

enum { BAR = 20, NUMBERS = 58 }; /* what a trial's line needs beside its name */

static void draw_trial(struct text *out, const struct screen *v, int64_t i, int width, bool colour)
{
	const struct style *s = style_of(rows_text(&v->trial, i, "state"));
	struct text name = {0};
	char epoch[32] = "";
	int room = width - NUMBERS - BAR < 12 ? 12 : width - NUMBERS - BAR;
	trial_name(v, i, &name);
	if (*rows_text(&v->trial, i, "epochs"))
		snprintf(epoch, sizeof epoch, "%s/%s", rows_text(&v->trial, i, "epoch"),
		         rows_text(&v->trial, i, "epochs"));
	paint(out, colour, s->colour);
	text_add(out, " %s %5s ", s->sign, rows_text(&v->trial, i, "id"));
	paint(out, colour, "0");
	fit(out, name.length ? name.data : "", room);
	text_add(out, " ");
	if (!strcmp(s->state, "failed") || !strcmp(s->state, "infeasible")) {
		paint(out, colour, s->colour);
		fit(out, rows_text(&v->trial, i, "why"), width - room - 11);
		paint(out, colour, "0");
	} else {
		bar(out, trial_part(v, i), BAR, colour, s->colour);
		text_add(out, " %7s", epoch);
		number(out, v, i, "rate", "%.0f", 7);
		number(out, v, i, "loss", "%.4f", 9);
		number(out, v, i, "accuracy", "%.4f", 8);
		trial_times(out, v, i);
	}
	text_add(out, "\n");
	text_release(&name);
}

static void draw_study(struct text *out, const struct screen *v, int64_t i, bool colour)
{
	paint(out, colour, "1");
	text_add(out, " %s", rows_text(&v->study, i, "name"));
	paint(out, colour, "0");
	text_add(out, "  %" PRId64 " trials", rows_int(&v->study, i, "total", 0));
	static const char *const column[] = {"done", "running", "waiting", "stopped", "failed"};
	static const char *const code[] = {"32", "36", "2", "2", "31"};
	for (int k = 0; k < 5; k++) {
		if (!rows_int(&v->study, i, column[k], 0))
			continue;
		text_add(out, " · ");
		paint(out, colour, code[k]);
		text_add(out, "%s %s", rows_text(&v->study, i, column[k]), column[k]);
		paint(out, colour, "0");
	}
	if (strcmp(rows_text(&v->study, i, "state"), "active"))
		text_add(out, " (%s)", rows_text(&v->study, i, "state"));
	text_add(out, "\n");
}

static void draw_total(struct text *out, const struct screen *v, int width, bool colour)
{
	double part = 0, spent = 0;
	int64_t first = INT64_MAX, last = 0;
	char spent_text[24], left[24] = "";
	for (int64_t i = 0; i < v->trial.count; i++) {
		int64_t at = rows_int(&v->trial, i, "first_ms", INT64_MAX);
		first = at < first ? at : first;
		at = rows_int(&v->trial, i, "ended_ms", 0);
		part += (at ? 1 : trial_part(v, i)) / (double)screen_count(v, "total");
		last = at > last ? at : last;
	}
	int64_t until = screen_ended(v) ? last : v->now_ms;
	if (first < until)
		spent = 1e-3 * (double)(until - first);
	screen_duration(spent, spent_text);
	if (part > 0.02 && part < 1 && screen_count(v, "running"))
		screen_duration(spent * (1 - part) / part, left);
	text_add(out, " ");
	bar(out, part, width > 110 ? 60 : width - 50 < 20 ? 20 : width - 50, colour, "1;32");
	text_add(out, " %3.0f %%  %s", 100 * part, spent_text);
	if (*left)
		text_add(out, ", about %s left", left);
	text_add(out, "\n\n");
}

static void draw_workers(struct text *out, const struct screen *v, bool colour)
{
	for (int64_t i = 0; i < v->worker.count; i++) {
		double quiet = 1e-3 * (double)(v->now_ms - rows_int(&v->worker, i, "seen_ms", 0));
		const char *trials = rows_text(&v->worker, i, "trials");
		paint(out, colour, "2");
		text_add(out, " worker %s %s", rows_text(&v->worker, i, "id"),
		         rows_text(&v->worker, i, "name"));
		paint(out, colour, "0");
		text_add(out, "  %s ranks  %s%s", rows_text(&v->worker, i, "ranks"),
		         *trials ? "runs " : "idle", trials);
		if (strcmp(rows_text(&v->worker, i, "state"), "up"))
			text_add(out, "  %s", rows_text(&v->worker, i, "state"));
		if (quiet > 10)
			text_add(out, "  silent for %.0f s", quiet);
		text_add(out, "\n");
	}
	if (!v->worker.count)
		text_add(out, " no worker is connected\n");
}

void screen_draw(const struct screen *v, int width, int height, bool colour, struct text *out)
{
	int64_t room = height - 6 - v->study.count - (v->worker.count ? v->worker.count : 1), shown;
	for (int64_t i = 0; i < v->study.count; i++)
		draw_study(out, v, i, colour);
	draw_total(out, v, width, colour);
	int name = width - NUMBERS - BAR < 12 ? 12 : width - NUMBERS - BAR;
	paint(out, colour, "2");
	text_add(out, "   trial %*s %*s %7s%7s%9s%8s %8s\n", name, "", BAR, "", "epoch", "img/s",
	         "loss", "acc", "time");
	paint(out, colour, "0");
	for (shown = 0; shown < v->trial.count && (shown < room || shown < 1); shown++)
		draw_trial(out, v, shown, width, colour);
	if (shown < v->trial.count)
		text_add(out, "         … and %" PRId64 " more\n", v->trial.count - shown);
	text_add(out, "\n");
	draw_workers(out, v, colour);
}

/* ---- plain lines ---- */

static int64_t find_trial(const struct screen *v, const char *id)
{
	for (int64_t i = 0; i < v->trial.count; i++)
		if (!strcmp(rows_text(&v->trial, i, "id"), id))
			return i;
	return -1;
}

void screen_changes(const struct screen *v, const struct screen *before, struct text *out)
{
	static const char *const watched[] = {"state", "epoch", "worker", "attempt"};
	for (int64_t i = 0; i < v->trial.count; i++) {
		int64_t old = find_trial(before, rows_text(&v->trial, i, "id"));
		bool changed = old < 0 && strcmp(rows_text(&v->trial, i, "state"), "waiting");
		for (int k = 0; k < 4 && old >= 0; k++)
			changed |= strcmp(rows_text(&v->trial, i, watched[k]),
			                  rows_text(&before->trial, old, watched[k])) != 0;
		if (!changed)
			continue;
		text_add(out, "trial %s (", rows_text(&v->trial, i, "id"));
		trial_name(v, i, out);
		text_add(out, ") %s", rows_text(&v->trial, i, "state"));
		if (*rows_text(&v->trial, i, "epochs"))
			text_add(out, " epoch %s/%s", rows_text(&v->trial, i, "epoch"),
			         rows_text(&v->trial, i, "epochs"));
		if (*rows_text(&v->trial, i, "loss"))
			text_add(out, " loss %.4f", rows_real(&v->trial, i, "loss", 0));
		if (*rows_text(&v->trial, i, "accuracy"))
			text_add(out, " accuracy %.4f", rows_real(&v->trial, i, "accuracy", 0));
		if (*rows_text(&v->trial, i, "rate"))
			text_add(out, " %.0f images/s", rows_real(&v->trial, i, "rate", 0));
		if (*rows_text(&v->trial, i, "worker"))
			text_add(out, " on %s", rows_text(&v->trial, i, "worker"));
		if (*rows_text(&v->trial, i, "why"))
			text_add(out, ": %s", rows_text(&v->trial, i, "why"));
		text_add(out, "\n");
	}
}
