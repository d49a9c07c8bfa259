/* The layers of a trial as a person sees them: a line each, with a bar as long as its bits. */
#include "coordinator/layers.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BAR_WIDTH = 16, FULL_PRECISION = 32, NAME_BYTES = 48 };

/* Columns; from SENSITIVITY on such as are measured. */
enum {
	LAYER,
	BITS,
	BAR,
	ELEMENTS,
	SHARE,
	SENSITIVITY,
	FISHER_ALL,
	FISHER_CRITICAL,
	FISHER_CROSS,
	HESSIAN,
	COLUMNS
};
static const char *const heading[COLUMNS] = {
        "layer",        "bits",         "",           "elements",
        "% bytes",      "sensitivity",  "fisher_all", "fisher_critical",
        "fisher_cross", "hessian_trace"};

struct layer {
	const char *name;
	double bits, elements, column[COLUMNS]; /* no number: not measured */
};

struct layers {
	struct layer *item;
	int count;
	double bytes;
	double least_bits, most_bits; /* of those below full precision; most 0: there are none */
	int full;                     /* how many have full precision */
	bool measured;                /* some column beyond bits and elements */
};

bool layers_unicode(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const char *value = getenv(names[i]);
		if (value && *value)
			return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
	}
	return false;
}

static double value_of(const struct rows *r, const char *layer, const char *metric)
{
	for (int64_t i = 0; i < r->count; i++)
		if (!strcmp(rows_text(r, i, "layer"), layer) &&
		    !strcmp(rows_text(r, i, "metric"), metric))
			return rows_real(r, i, "value", NAN);
	return NAN;
}

static void read_layer(struct layers *all, const struct rows *r, const char *name)
{
	char sensitivity[NAME_BYTES];
	struct layer *l = &all->item[all->count++];
	*l = (struct layer){.name = name,
	                    .bits = value_of(r, name, "bits"),
	                    .elements = value_of(r, name, "elements")};
	snprintf(sensitivity, sizeof sensitivity, "sensitivity_%.0f", l->bits);
	l->column[SENSITIVITY] = value_of(r, name, sensitivity);
	for (int k = SENSITIVITY + 1; k < COLUMNS; k++)
		l->column[k] = value_of(r, name, heading[k]);
	for (int k = SENSITIVITY; k < COLUMNS; k++)
		all->measured = all->measured || isfinite(l->column[k]);
	if (isfinite(l->bits * l->elements))
		all->bytes += l->bits * l->elements / 8;
	all->full += l->bits >= FULL_PRECISION;
	if (l->bits < FULL_PRECISION) {
		all->least_bits = all->most_bits > 0 ? fmin(all->least_bits, l->bits) : l->bits;
		all->most_bits = fmax(all->most_bits, l->bits);
	}
}

static bool bits_differ(const struct layers *all)
{
	return all->most_bits > all->least_bits;
}

static struct layers read_layers(const struct rows *r)
{
	struct layers all = {.item = xcalloc((size_t)r->count + 1, sizeof *all.item)};
	for (int64_t i = 0; i < r->count; i++) {
		const char *name = rows_text(r, i, "layer");
		if (!i || strcmp(name, rows_text(r, i - 1, "layer")) != 0)
			read_layer(&all, r, name);
	}
	return all;
}

static void set_bar(struct cell *c, double part, bool unicode)
{
	struct text bar = {0};
	for (int i = 0; i < (int)lround(fmin(part, 1) * BAR_WIDTH); i++)
		text_add(&bar, unicode ? "█" : "#");
	cell_set_text(c, bar.length ? bar.data : "");
	text_release(&bar);
}

static void add_layer(const struct layers *all, const struct layer *l, struct layers_look look,
                      struct rows *table)
{
	struct cell *row = rows_add(table);
	cell_set_text(&row[LAYER], l->name);
	if (isfinite(l->bits))
		cell_set_integer(&row[BITS], (int64_t)l->bits);
	bool bar = look.all || bits_differ(all) || isfinite(l->column[SENSITIVITY]);
	if (bar && isfinite(l->bits))
		set_bar(&row[BAR], all->most_bits > 0 ? l->bits / all->most_bits : 1, look.unicode);
	if (isfinite(l->elements))
		cell_set_integer(&row[ELEMENTS], (int64_t)l->elements);
	if (all->bytes > 0)
		cell_set_real(&row[SHARE],
		              round(l->bits * l->elements / 8 / all->bytes * 1e4) / 100);
	for (int k = SENSITIVITY; k < COLUMNS; k++)
		cell_set_real(&row[k], l->column[k]);
}

/* "20 layers: 18 at 4 bits, 2 in full precision". */
static void say_uniform(const struct layers *all, struct text *out)
{
	text_add(out, "%d layers: ", all->count);
	if (all->most_bits > 0)
		text_add(out, "%d at %.0f bits", all->count - all->full, all->most_bits);
	if (all->full)
		text_add(out, "%s%d in full precision", all->most_bits > 0 ? ", " : "", all->full);
	text_add(out, "; --layers lists them\n");
}

void layers_draw(const struct rows *measured, struct layers_look look, struct text *out)
{
	struct layers all = read_layers(measured);
	struct rows table;
	rows_init(&table, COLUMNS);
	for (int k = 0; k < COLUMNS; k++)
		rows_name(&table, k, heading[k]);
	if (look.all || bits_differ(&all) || all.measured) {
		for (int i = 0; i < all.count; i++)
			add_layer(&all, &all.item[i], look, &table);
		rows_drop_empty(&table);
		rows_format(&table, ROWS_TABLE, look.bold, out);
	} else if (all.count) {
		say_uniform(&all, out);
	}
	rows_release(&table);
	free(all.item);
}
