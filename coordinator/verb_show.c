/* Verbs about one trial: show, explain, logs. */
#include "coordinator/layers.h"
#include "coordinator/screen.h"
#include "coordinator/tree.h"
#include "coordinator/verb.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FOLLOW_US = 500000 };

struct part {
	const char *key, *sql, *shown; /* shown: what people see instead, or null */
	void (*print)(const struct options *o, struct rows *r); /* null: as a table */
};

static void print_layers(const struct options *o, struct rows *r)
{
	struct text out = {0};
	struct layers_look look = {.all = option_given(o, "--layers"),
	                           .unicode = layers_unicode(),
	                           .bold = isatty(STDOUT_FILENO)};
	layers_draw(r, look, &out);
	fwrite(out.data, 1, out.length, stdout);
	text_release(&out);
}

static void print_tree(const struct options *o, struct rows *r)
{
	struct text out = {0};
	struct branches b;

	branches_init(&b, r);
	branches_draw(&b, layers_unicode(), isatty(STDOUT_FILENO), &out);
	fwrite(out.data, 1, out.length, stdout);
	branches_release(&b);
	text_release(&out);
}

static void print_says(const struct options *o, struct rows *r)
{
	for (int64_t i = 0; i < r->count; i++)
		printf("%s\n", rows_text(r, i, "says"));
}

/* What became of a tree while it trained, a sentence a row. */
static const char growth_sql[] =
        "with f as (select max(iif(metric = 'splits', value, null)) splits,"
        "  max(iif(metric = 'pruned_channels', value, null)) pruned,"
        "  max(iif(metric = 'unpaid_splits', value, null)) unpaid,"
        "  max(iif(metric = 'last_look', value, null)) look,"
        "  max(iif(metric = 'least_overlap', value, null)) least,"
        "  max(iif(metric = 'relative_flops', value, null)) cost from result where trial = ?1),"
        " s as (select coalesce(spec ->> '$.split.threshold', 0.4) threshold,"
        "  coalesce(spec ->> '$.split.interval', 5) every,"
        "  coalesce(spec ->> '$.split.until', 0.5) until,"
        "  coalesce(spec ->> '$.prune.flops', 1) budget, epochs from specification"
        "  where trial = ?1)"
        " select printf('splits %d, channels pruned %d; the last look was after epoch %d',"
        "  splits, pruned, look) says from f, s where look > 0 and splits > 0"
        " union all select printf('no branch was split: the least overlap of all looks was %.3f,"
        " split.threshold is %g', least, threshold) from f, s where look > 0 and splits = 0 and"
        "  least >= threshold"
        " union all select printf('no branch was split, since none was looked at: split.interval"
        " is %d, split.until %g of %d epochs', every, until, epochs) from f, s where look = 0 and"
        "  every > 0 and epochs > 0"
        " union all select printf('cuts of the last look that prune.flops has no room for: %d',"
        "  unpaid) from f where unpaid > 0"
        " union all select printf('it costs %.3f of one network, more than prune.flops, %g', cost,"
        "  budget) from f, s where budget > 0 and cost > 1.01 * budget";

/* Categories with what the trial lost against its full-precision ancestor. */
static const char categories_sql[] =
        "with own as (select category, name, max(iif(metric = 'accuracy', value, null)) accuracy,"
        "  max(iif(metric = 'train_accuracy', value, null)) train_accuracy,"
        "  max(iif(metric = 'submodel', cast(value as integer), null)) submodel"
        "  from category_metric where trial = ?1 group by category)"
        " select own.category, own.name, own.accuracy, f.value full_precision,"
        "  f.value - own.accuracy gap, own.train_accuracy,"
        "  own.train_accuracy - own.accuracy train_gap, own.submodel from own"
        " left join full_precision_ancestor p on p.trial = cast(?1 as integer) and not exists"
        "  (select 1 from specification s where s.trial = cast(?1 as integer) and"
        "  coalesce(s.spec ->> '$.quant.weight_bits', 0) in (0, 32) and"
        "  coalesce(s.spec ->> '$.quant.bits', 'uniform') <> 'input' and"
        "  coalesce(s.spec ->> '$.quant.activation_bits', 0) in (0, 32))"
        " left join category_metric f on f.trial = p.ancestor and f.category = own.category"
        "  and f.metric = 'accuracy' order by own.category";

/* What `show` says about a trial, in order; ?1 is its id. */
static const struct part parts[] = {
        {.key = "studies",
         .sql = "select s.name study, st.number, st.role, st.assignment swept from study_trial st"
                " join study s on s.id = st.study where st.trial = ?1 order by s.id, st.number"},
        {.key = "inputs",
         .sql = "select i.role, i.input trial, t.state from trial_input i join trial t on"
                " t.id = i.input where i.trial = ?1"},
        {.key = "result",
         .sql = "select metric, value from result where trial = ?1 order by metric"},
        {.key = "thinned metrics",
         .sql = "select name metric, rows, first \"from step\", stride \"every\" from series where"
                " trial = ?1 and stride > 1 order by name"},
        {.key = "categories",
         .sql = "select category, name, metric, value from category_metric where trial = ?1"
                " order by metric, category",
         .shown = categories_sql},
        {.key = "ood",
         .sql = "select ood_set, score, metric, value from ood_metric where trial = ?1"
                " order by ood_set, score, metric",
         .shown = "select ood_set \"set\", score, max(iif(metric = 'auroc', value, null)) auroc,"
                  " max(iif(metric = 'aupr_in', value, null)) aupr_in,"
                  " max(iif(metric = 'aupr_out', value, null)) aupr_out,"
                  " max(iif(metric = 'fpr_at_95_tpr', value, null)) fpr_at_95_tpr from ood_metric"
                  " where trial = ?1 group by ood_set, score order by ood_set, score"},
        {.key = "growth", .sql = growth_sql, .print = print_says},
        {.key = "tree",
         .sql = "select node, parent, layer, members, channels, width, macs from split_node"
                " where trial = ?1 order by node",
         .print = print_tree},
        {.key = "layers",
         .sql = "select layer, metric, value from layer_metric where trial = ?1"
                " order by layer, metric",
         .print = print_layers},
        {.key = "attempts",
         .sql = "select a.attempt, w.name worker, a.outcome, a.text, a.from_step, a.step, a.steps,"
                " a.numerics, round((coalesce(a.ended_ms, ?2) - a.started_ms) / 1000.0, 1) seconds"
                " from attempt a left join worker w on w.id = a.worker where a.trial = ?1"
                " order by a.attempt"},
        {.key = "artifacts",
         .sql = "select name, step, bytes, state, sha256 from artifact where trial = ?1"
                " and state <> 'collected' order by name, step"},
        {.key = "events",
         .sql = "select datetime(at_ms / 1000, 'unixepoch') utc, kind, text from event"
                " where trial = ?1 order by seq"},
};
enum { PARTS = sizeof parts / sizeof *parts };

static void print_spec(const char *spec)
{
	cJSON *json = cJSON_Parse(spec);
	char *s = json_print(json, true);
	printf("specification\n%s\n", s ? s : spec);
	free(s);
	cJSON_Delete(json);
}

static int show_head(const struct options *o, struct database *d, const char *id, cJSON *json,
                     struct error *e)
{
	struct rows r;
	if (verb_query(d, &r, e,
	               "select id, identity, state, attempt, why, spec from trial join "
	               "specification on trial = id where id = ?1",
	               1, &id))
		return -1;
	if (json) {
		cJSON_AddNumberToObject(json, "trial", (double)rows_int(&r, 0, "id", 0));
		cJSON_AddStringToObject(json, "identity", rows_text(&r, 0, "identity"));
		cJSON_AddStringToObject(json, "state", rows_text(&r, 0, "state"));
		cJSON_AddStringToObject(json, "why", rows_text(&r, 0, "why"));
		cJSON_AddItemToObject(json, "spec", cJSON_Parse(rows_text(&r, 0, "spec")));
	} else {
		printf("trial %s  %s  attempt %s\nidentity %s\n", id, rows_text(&r, 0, "state"),
		       rows_text(&r, 0, "attempt"), rows_text(&r, 0, "identity"));
		if (*rows_text(&r, 0, "why"))
			printf("why: %s\n", rows_text(&r, 0, "why"));
		printf("\n");
		print_spec(rows_text(&r, 0, "spec"));
	}
	rows_release(&r);
	return 0;
}

static void print_part(const struct options *o, const struct part *part, struct rows *r)
{
	if (!r->count)
		return;
	printf("\n%s\n", part->key);
	if (part->print) {
		part->print(o, r);
	} else {
		rows_drop_empty(r);
		verb_print(o, r, NULL);
	}
}

static int show_part(const struct options *o, struct database *d, const struct part *part,
                     const char *id, cJSON *json, struct error *e)
{
	const char *sql = part->shown && !json ? part->shown : part->sql;
	char now[32];
	struct rows r;
	snprintf(now, sizeof now, "%" PRId64, clock_wall_ms());
	if (verb_query(d, &r, e, sql, strstr(sql, "?2") ? 2 : 1, (const char *[]){id, now})) {
		if (sql == part->sql || !strstr(e->text, "no such table"))
			return -1;
		struct part plain = {part->key, part->sql, NULL,
		                     part->print}; /* an older trawl's database */
		return show_part(o, d, &plain, id, json, e);
	}
	if (json) {
		struct text t = {0};
		rows_format(&r, ROWS_JSON, false, &t);
		cJSON_AddItemToObject(json, part->key, cJSON_Parse(t.data));
		text_release(&t);
	} else {
		print_part(o, part, &r);
	}
	rows_release(&r);
	return 0;
}

static int open_trial(const struct options *o, struct database **d, char id[24], struct error *e)
{
	int64_t trial = 0;
	*d = verb_database(o, e);
	if (!*d || verb_find_trial(*d, o->word[0], &trial, e))
		return -1;
	snprintf(id, 24, "%" PRId64, trial);
	return 0;
}

int verb_show(const struct options *o, struct error *e)
{
	struct database *d;
	cJSON *json = option_given(o, "--json") ? cJSON_CreateObject() : NULL;
	char id[24];
	int rc = open_trial(o, &d, id, e);
	rc = rc ? rc : show_head(o, d, id, json, e);
	for (int i = 0; i < PARTS && !rc; i++)
		rc = show_part(o, d, &parts[i], id, json, e);
	database_close(d);
	if (json && !rc)
		return verb_print_json(json);
	cJSON_Delete(json);
	return rc;
}

/* ---- logs ---- */

static int log_read(struct database *d, const char *id, const char *attempt, struct rows *r,
                    struct error *e)
{
	return verb_query(
	        d, r, e,
	        "select a.attempt, a.log, t.state from trial t left join attempt a on"
	        " a.trial = t.id and"
	        " a.attempt = case when ?2 = '' then t.attempt else cast(?2 as integer) end"
	        " where t.id = ?1",
	        2, (const char *[]){id, attempt});
}

enum { ANCHOR_BYTES = 400 };

/* What comes behind what was printed: the database keeps the last of a log, so the end of that is
 * looked for.  All of it when there is no trace of that: another attempt's. */
static const char *log_behind(const char *log, const char *printed)
{
	size_t length = strlen(printed), anchor = length < ANCHOR_BYTES ? length : ANCHOR_BYTES;
	const char *end = printed + length - anchor;
	const char *found =
	        strncmp(log, printed, length) ? strstr(log, end) : log + length - anchor;
	return found ? found + anchor : log;
}

static void log_print(const struct rows *r, char **printed)
{
	const char *log = rows_text(r, 0, "log");
	fputs(*printed ? log_behind(log, *printed) : log, stdout);
	fflush(stdout);
	free(*printed);
	*printed = xstrdup(log);
}

static bool log_grows(const struct rows *r)
{
	static const char *const growing[] = {"waiting", "ready", "leased", "paused"};
	for (size_t i = 0; i < sizeof growing / sizeof *growing; i++)
		if (!strcmp(rows_text(r, 0, "state"), growing[i]))
			return true;
	return false;
}

static int log_json(const struct rows *r, const char *id)
{
	cJSON *json = cJSON_CreateObject();
	cJSON_AddNumberToObject(json, "trial", strtod(id, NULL));
	cJSON_AddNumberToObject(json, "attempt", (double)rows_int(r, 0, "attempt", 0));
	cJSON_AddStringToObject(json, "state", rows_text(r, 0, "state"));
	cJSON_AddStringToObject(json, "log", rows_text(r, 0, "log"));
	return verb_print_json(json);
}

int verb_logs(const struct options *o, struct error *e)
{
	struct database *d;
	char id[24];
	char *printed = NULL;
	bool go_on = true, json = option_given(o, "--json");
	int rc = open_trial(o, &d, id, e);
	while (!rc && go_on) {
		struct rows r;
		rc = log_read(d, id, option_text(o, "--attempt", ""), &r, e);
		if (rc)
			break;
		go_on = option_given(o, "--follow") && log_grows(&r);
		if (!json)
			log_print(&r, &printed);
		else if (!go_on)
			log_json(&r, id);
		rows_release(&r);
		if (go_on)
			usleep(FOLLOW_US);
	}
	if (!rc && !json && !(printed && *printed))
		fprintf(stderr, "trial %s has printed nothing yet\n", id);
	free(printed);
	database_close(d);
	return rc;
}

/* ---- explain ---- */

int verb_explain(const struct options *o, struct error *e)
{
	struct database *d = verb_database(o, e);
	cJSON *json = NULL;
	int64_t trial;
	if (d && !verb_find_trial(d, o->word[0], &trial, e))
		json = database_explain(d, trial, e);
	database_close(d);
	if (!json)
		return -1;
	if (option_given(o, "--json"))
		return verb_print_json(json);
	printf("%s\n\nmoves\n%s", json_text(json, "reason", ""), json_text(json, "moves", ""));
	cJSON_Delete(json);
	return 0;
}
