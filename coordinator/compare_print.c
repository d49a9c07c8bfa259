/* A comparison as rows for programs, and as tables for people. */
#include "coordinator/compare.h"
#include "coordinator/difference.h"
#include "coordinator/screen.h"
#include "core/base/json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- for programs ---- */

enum {
	KIND,
	TRIALS,
	NAME,
	A,
	A_HALF,
	A_COUNT,
	B,
	B_HALF,
	B_COUNT,
	MORE,
	MORE_HALF,
	CLEAR,
	COLUMNS
};
static const char *const columns[COLUMNS] = {
        "kind", "trials",     "name",    "a",          "a_interval",          "a_count",
        "b",    "b_interval", "b_count", "difference", "difference_interval", "clear"};

static void set_estimate(struct cell *value, struct cell *half, struct estimate e)
{
	cell_set_real(value, e.value);
	cell_set_real(half, e.half);
}

static void add_difference(const struct comparison *c, struct rows *out)
{
	const cJSON *item;
	cJSON_ArrayForEach (item, c->specification) {
		struct cell *row = rows_add(out);
		char *a = difference_shown(cJSON_GetArrayItem(json_at(item, "values"), 0));
		char *b = difference_shown(cJSON_GetArrayItem(json_at(item, "values"), 1));
		cell_set_text(&row[KIND], "specification");
		cell_set_text(&row[NAME], json_text(item, "path", ""));
		cell_set_text(&row[A], a);
		cell_set_text(&row[B], b);
		free(a);
		free(b);
	}
}

static void add_metric(const struct comparison *c, int name, int group, struct rows *out)
{
	const struct sample *a = comparison_sample(c, &c->metric, name, group, 0), *b = a + 1;
	struct estimate more = estimate_difference(a, b);
	if (!a->count && !b->count)
		return;
	struct cell *row = rows_add(out);
	cell_set_text(&row[KIND], "metric");
	cell_set_text(&row[TRIALS], c->group[group].key);
	cell_set_text(&row[NAME], c->metric.name[name]);
	set_estimate(&row[A], &row[A_HALF], estimate_mean(a));
	set_estimate(&row[B], &row[B_HALF], estimate_mean(b));
	set_estimate(&row[MORE], &row[MORE_HALF], more);
	cell_set_integer(&row[A_COUNT], a->count);
	cell_set_integer(&row[B_COUNT], b->count);
	cell_set_integer(&row[CLEAR], estimate_clear(more));
}

static void add_categories(const struct comparison *c, const struct tally *t, const char *kind,
                           struct rows *out)
{
	for (int i = 0; i < t->names; i++) {
		struct cell *row = rows_add(out);
		struct estimate more = comparison_overall(c, t, i, SIDES);
		cell_set_text(&row[KIND], kind);
		cell_set_text(&row[NAME], t->name[i]);
		set_estimate(&row[A], &row[A_HALF], comparison_overall(c, t, i, 0));
		set_estimate(&row[B], &row[B_HALF], comparison_overall(c, t, i, 1));
		set_estimate(&row[MORE], &row[MORE_HALF], more);
		cell_set_integer(&row[CLEAR], estimate_clear(more));
	}
}

void comparison_rows(const struct comparison *c, struct rows *out)
{
	rows_init(out, COLUMNS);
	for (int i = 0; i < COLUMNS; i++)
		rows_name(out, i, columns[i]);
	add_difference(c, out);
	for (int g = 0; g < c->groups; g++)
		for (int i = 0; i < c->metric.names; i++)
			add_metric(c, i, g, out);
	add_categories(c, &c->accuracy, "category accuracy", out);
	add_categories(c, &c->train_accuracy, "category train_accuracy", out);
}

/* ---- for people ---- */

enum { NUMBER_BYTES = 64, SIGNIFICANT = 4 };

/* As many decimals as show four digits of the larger. */
static int decimals_of(double a, double b)
{
	double larger = fmax(isfinite(a) ? fabs(a) : 0, isfinite(b) ? fabs(b) : 0);
	int digits = larger > 0 ? SIGNIFICANT - (int)ceil(log10(larger)) : 0;
	bool whole = a == floor(a) && b == floor(b) && larger > 1;

	return digits < 0 || whole ? 0 : digits > 12 ? 12 : digits;
}

/* "0.9012 ± 0.0034"; sign: "+0.0120 ± 0.0050 *", the star where zero is excluded. */
static void set_number(struct cell *c, struct estimate e, int decimals, bool sign)
{
	char shown[NUMBER_BYTES] = "–", half[NUMBER_BYTES] = "";

	if (isfinite(e.value)) {
		snprintf(shown, sizeof shown, sign && e.value != 0 ? "%+.*f" : "%.*f", decimals,
		         e.value);
		if (isfinite(e.half))
			snprintf(half, sizeof half, " ± %.*f%s", decimals, e.half,
			         sign && estimate_clear(e) ? " *" : "");
	}
	char *both = xformat("%s%s", shown, half);
	cell_set_text(c, both);
	free(both);
}

static void set_numbers(struct cell row[3], struct estimate a, struct estimate b,
                        struct estimate more)
{
	int decimals = decimals_of(a.value, b.value);
	set_number(&row[0], a, decimals, false);
	set_number(&row[1], b, decimals, false);
	set_number(&row[2], more, decimals, true);
}

/* A table whose columns are the name's, the two sides and, where there are more, others. */
static void table_init(struct rows *r, const struct comparison *c, const char *first,
                       const char *const others[], int count)
{
	rows_init(r, 3 + count);
	rows_name(r, 0, first);
	rows_name(r, 1, c->title[0]);
	rows_name(r, 2, c->title[1]);
	for (int i = 0; i < count; i++)
		rows_name(r, 3 + i, others[i]);
}

static void table_end(struct rows *r, const char *heading, bool bold, struct text *out)
{
	if (r->count) {
		text_add(out, "\n%s\n", heading);
		rows_format(r, ROWS_TABLE, bold, out);
	}
	rows_release(r);
}

static void print_specification(const struct comparison *c, bool bold, struct text *out)
{
	const cJSON *item;
	struct rows r;
	table_init(&r, c, "field", NULL, 0);
	cJSON_ArrayForEach (item, c->specification) {
		struct cell *row = rows_add(&r);
		cell_set_text(&row[0], json_text(item, "path", ""));
		for (int side = 0; side < SIDES; side++) {
			char *shown =
			        difference_shown(cJSON_GetArrayItem(json_at(item, "values"), side));
			cell_set_text(&row[1 + side], shown);
			free(shown);
		}
	}
	if (!r.count)
		text_add(out, "\nthe specifications are the same\n");
	table_end(&r, "specification", bold, out);
}

static void set_key(struct cell *c, const char *key)
{
	struct text label = {0};
	screen_assignment(key, &label);
	cell_set_text(c, label.length ? label.data : "all");
	text_release(&label);
}

static const char *const with_counts[] = {"difference", "trials"};

static void set_counts(struct cell *c, const struct group *g)
{
	char *counts = xformat("%lld/%lld", (long long)g->trials[0], (long long)g->trials[1]);
	cell_set_text(c, counts);
	free(counts);
}

/* One table per metric, a row per group on both sides. */
static void print_metric(const struct comparison *c, int name, bool bold, struct text *out)
{
	struct rows r;
	table_init(&r, c, "trials with", with_counts, 2);
	for (int g = 0; g < c->groups; g++) {
		const struct sample *a = comparison_sample(c, &c->metric, name, g, 0), *b = a + 1;
		if (!a->count || !b->count)
			continue;
		struct cell *row = rows_add(&r);
		set_key(&row[0], c->group[g].key);
		set_numbers(&row[1], estimate_mean(a), estimate_mean(b), estimate_difference(a, b));
		set_counts(&row[4], &c->group[g]);
	}
	table_end(&r, c->metric.name[name], bold, out);
}

/* One table for all metrics of the only group. */
static void print_metrics(const struct comparison *c, int group, bool bold, struct text *out)
{
	struct rows r;
	table_init(&r, c, "metric", with_counts, 1);
	for (int i = 0; i < c->metric.names; i++) {
		const struct sample *a = comparison_sample(c, &c->metric, i, group, 0), *b = a + 1;
		if (!a->count && !b->count)
			continue;
		struct cell *row = rows_add(&r);
		cell_set_text(&row[0], c->metric.name[i]);
		set_numbers(&row[1], estimate_mean(a), estimate_mean(b), estimate_difference(a, b));
	}
	table_end(&r, "metrics", bold, out);
}

static bool is_shown(const struct comparison *c, const char *metric)
{
	char *name = xformat(",%s,", metric);
	bool shown = !c->shown || strstr(c->shown, name);
	free(name);
	return shown;
}

static void print_unmatched(const struct comparison *c, struct text *out)
{
	bool any = false;
	for (int side = 0; side < SIDES; side++)
		for (int g = 0; g < c->groups; g++) {
			if (c->group[g].trials[!side])
				continue;
			text_add(out, "%s  %s: ", any ? "" : "\non one side only\n",
			         c->title[side]);
			screen_assignment(c->group[g].key, out);
			text_add(out, " (%lld trials)\n", (long long)c->group[g].trials[side]);
			any = true;
		}
}

/* ---- categories ---- */

struct change {
	int name;
	double size; /* of the difference; −1: unknown */
};

static int by_size(const void *a, const void *b)
{
	const struct change *x = a, *y = b;
	return x->size != y->size ? (x->size < y->size) - (x->size > y->size) : x->name - y->name;
}

/* What a side is better at on images that it trained on. */
static double train_gap(const struct comparison *c, const char *category, int side, int name)
{
	for (int i = 0; i < c->train_accuracy.names; i++)
		if (!strcmp(c->train_accuracy.name[i], category))
			return comparison_overall(c, &c->train_accuracy, i, side).value -
			       comparison_overall(c, &c->accuracy, name, side).value;
	return NAN;
}

static void print_categories(const struct comparison *c, bool bold, struct text *out)
{
	char *gap[SIDES] = {xformat("train gap %s", c->title[0]),
	                    xformat("train gap %s", c->title[1])};
	const char *const others[] = {"difference", gap[0], gap[1]};
	const struct tally *t = &c->accuracy;
	struct change *order = xcalloc((size_t)t->names + 1, sizeof *order);
	struct rows r;
	table_init(&r, c, "category", others, c->train_accuracy.names ? 3 : 1);
	for (int i = 0; i < t->names; i++) {
		double more = comparison_overall(c, t, i, SIDES).value;
		order[i] = (struct change){i, isfinite(more) ? fabs(more) : -1};
	}
	qsort(order, (size_t)t->names, sizeof *order, by_size);
	for (int k = 0; k < t->names; k++) {
		int i = order[k].name;
		struct cell *row = rows_add(&r);
		cell_set_text(&row[0], t->name[i]);
		set_numbers(&row[1], comparison_overall(c, t, i, 0), comparison_overall(c, t, i, 1),
		            comparison_overall(c, t, i, SIDES));
		for (int side = 0; side < SIDES && r.columns > 4; side++)
			set_number(&row[4 + side],
			           (struct estimate){train_gap(c, t->name[i], side, i), NAN},
			           SIGNIFICANT, true);
	}
	table_end(&r, "accuracy per category, largest difference first", bold, out);
	free(order);
	free(gap[0]);
	free(gap[1]);
}

void comparison_text(const struct comparison *c, bool bold, struct text *out)
{
	text_add(out, "%s and %s\n", c->title[0], c->title[1]);
	print_specification(c, bold, out);
	if (c->groups == 1)
		print_metrics(c, 0, bold, out);
	for (int i = 0; i < c->metric.names && c->groups > 1; i++)
		if (is_shown(c, c->metric.name[i]))
			print_metric(c, i, bold, out);
	print_unmatched(c, out);
	print_categories(c, bold, out);
	if (strstr(out->data, " ± "))
		text_add(out, "\n± 95 %% confidence over seeds; * the difference's interval "
		              "excludes zero\n");
}
