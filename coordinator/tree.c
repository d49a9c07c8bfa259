/* The tree of a split model as a person sees it: a line per branch, from the trunk to the heads. */
#include "coordinator/tree.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BAR_WIDTH = 16 };

/* Whether a node goes on with the branch of its parent: nothing else reads that, and the submodels
 * are the same. */
static bool goes_on(const struct rows *r, int64_t node, int64_t parent)
{
	return parent >= 0 &&
	       !strcmp(rows_text(r, node, "members"), rows_text(r, parent, "members"));
}

/* Heads come last: nodes whose layer is called as that of the last row. */
static int64_t heads_from(const struct rows *r)
{
	int64_t i = r->count;

	while (i > 0 && !strcmp(rows_text(r, i - 1, "layer"), rows_text(r, r->count - 1, "layer")))
		i--;
	return i;
}

static void extend(struct branch *b, const struct rows *r, int64_t node)
{
	int channels = (int)rows_int(r, node, "channels", 0);

	b->last = rows_text(r, node, "layer");
	b->narrowest = b->layers && b->narrowest < channels ? b->narrowest : channels;
	b->widest = b->widest > channels ? b->widest : channels;
	b->layers++;
	b->channels += rows_real(r, node, "channels", 0);
	b->width += rows_real(r, node, "width", 0);
	b->macs += rows_real(r, node, "macs", 0);
}

static int begin(struct branches *b, const struct rows *r, int64_t node, int parent)
{
	struct branch *at = &b->item[b->count];
	const struct branch *before = parent < 0 ? NULL : &b->item[parent];

	*at = (struct branch){.members = rows_text(r, node, "members"),
	                      .first = rows_text(r, node, "layer"),
	                      .parent = parent,
	                      .depth = before ? before->depth + 1 : 0,
	                      .first_layer = before ? before->first_layer + before->layers : 0,
	                      .is_last = true};
	for (int i = 0; i < b->count; i++)
		if (b->item[i].parent == parent)
			b->item[i].is_last = false;
	return b->count++;
}

void branches_init(struct branches *b, const struct rows *r)
{
	int64_t first_head = heads_from(r);
	int *of = xcalloc((size_t)r->count + 1, sizeof *of); /* the branch of a node */

	*b = (struct branches){.item = xcalloc((size_t)r->count + 1, sizeof *b->item)};
	for (int64_t i = 0; i < r->count; i++) {
		int64_t parent = rows_int(r, i, "parent", -1);
		b->macs += rows_real(r, i, "macs", 0);
		if (parent >= i)
			continue; /* no tree of ours */
		if (i >= first_head) {
			if (parent >= 0)
				b->item[of[parent]].outputs += (int)rows_int(r, i, "channels", 0);
			continue;
		}
		of[i] = goes_on(r, i, parent) ? of[parent]
		                              : begin(b, r, i, parent < 0 ? -1 : of[parent]);
		extend(&b->item[of[i]], r, i);
	}
	free(of);
}

void branches_release(struct branches *b)
{
	free(b->item);
	*b = (struct branches){0};
}

/* "│  ├─ {1,2}": the lines of the branches that are still open, then its own. */
static char *label_of(const struct branches *b, int i, bool unicode)
{
	struct text label = {0};
	const struct branch *at = &b->item[i];
	int way[64], depth = 0;

	for (int k = i; k >= 0 && depth < 64; k = b->item[k].parent)
		way[depth++] = k;
	for (int d = depth - 2; d >= 1; d--)
		text_add(&label, "%s", b->item[way[d]].is_last ? "   " : unicode ? "│  " : "|  ");
	if (at->parent >= 0)
		text_add(&label, "%s",
		         at->is_last ? (unicode ? "└─ " : "`- ") : (unicode ? "├─ " : "|- "));
	text_add(&label, "{%s}", at->members);
	return text_take(&label);
}

static char *bar_of(double part, bool unicode)
{
	struct text bar = {0};

	for (int i = 0; i < (int)lround(fmin(part, 1) * BAR_WIDTH); i++)
		text_add(&bar, unicode ? "█" : "#");
	return text_take(&bar);
}

void branches_draw(const struct branches *b, bool unicode, bool bold, struct text *out)
{
	static const char *const heading[] = {"submodels",  "from",  "to",     "layers", "widths",
	                                      "% channels", "MMACs", "% MACs", "",       "outputs"};
	enum { COLUMNS = sizeof heading / sizeof *heading };
	struct rows table;

	rows_init(&table, COLUMNS);
	for (int k = 0; k < COLUMNS; k++)
		rows_name(&table, k, heading[k]);
	for (int i = 0; i < b->count; i++) {
		const struct branch *at = &b->item[i];
		struct cell *row = rows_add(&table);
		char *label = label_of(b, i, unicode), *bar = bar_of(at->macs / b->macs, unicode);
		char *widths = at->narrowest == at->widest
		                       ? xformat("%d", at->widest)
		                       : xformat("%d to %d", at->narrowest, at->widest);
		cell_set_text(&row[0], label);
		cell_set_text(&row[1], at->first);
		cell_set_text(&row[2], at->last);
		cell_set_integer(&row[3], at->layers);
		cell_set_text(&row[4], widths);
		cell_set_real(&row[5], round(1000 * at->channels / at->width) / 10);
		cell_set_real(&row[6], round(at->macs / 1e4) / 100);
		cell_set_real(&row[7], round(1000 * at->macs / b->macs) / 10);
		cell_set_text(&row[8], bar);
		if (at->outputs)
			cell_set_integer(&row[9], at->outputs);
		free(widths);
		free(label);
		free(bar);
	}
	rows_drop_empty(&table);
	rows_format(&table, ROWS_TABLE, bold, out);
	text_add(out, "%.4g million multiply-accumulates an image\n", b->macs / 1e6);
	rows_release(&table);
}
