/* The tree of a split model as bands from the images to the heads. */
#include "coordinator/plot/branches.h"
#include "coordinator/plot/frame.h"
#include "coordinator/plot/glyph.h"
#include "coordinator/plot/palette.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LEFT_PX = 24,
	RIGHT_PX = 150, /* heads */
	TOP_PX = 58,
	BOTTOM_PX = 120, /* names of layers */
	LAYER_PX = 44,
	LANE_PX = 64, /* of a submodel */
	GAP_PX = 6,   /* between bands */
	SUBMODELS = 32
};
static const double FADE = 0.82;

/* Where things lie: the layers on the longest way, and the submodels from top to bottom. */
struct sheet {
	int layers;
	int lane[SUBMODELS], lanes; /* lane[submodel] */
};

/* The first number of "0,2"; and what follows its comma, or null. */
static int first_of(const char *members)
{
	int first = atoi(members);

	return first >= 0 && first < SUBMODELS ? first : 0;
}

static const char *rest_of(const char *members)
{
	const char *comma = strchr(members, ',');

	return comma ? comma + 1 : NULL;
}

static struct sheet sheet_of(const struct branches *b)
{
	struct sheet s = {0};

	for (int i = 0; i < b->count; i++) {
		const struct branch *at = &b->item[i];
		int end = at->first_layer + at->layers;
		s.layers = end > s.layers ? end : s.layers;
		if (!at->outputs)
			continue;
		for (const char *m = at->members; m; m = rest_of(m))
			if (s.lanes < SUBMODELS)
				s.lane[first_of(m)] = s.lanes++;
	}
	return s;
}

/* The lanes of a branch lie together: its heads come one after the other. */
static void span_of(const struct sheet *s, const char *members, double *top, double *bottom)
{
	int low = SUBMODELS, high = 0;

	for (const char *m = members; m; m = rest_of(m)) {
		int lane = s->lane[first_of(m)];
		low = lane < low ? lane : low;
		high = lane > high ? lane : high;
	}
	*top = TOP_PX + low * LANE_PX + GAP_PX / 2;
	*bottom = TOP_PX + (high + 1) * LANE_PX - GAP_PX / 2;
}

static void draw_node(struct figure *f, const struct sheet *s, const struct rows *r, int64_t node,
                      int layer, colour c)
{
	double top, bottom, left = LEFT_PX + layer * LAYER_PX;
	double kept = rows_real(r, node, "channels", 0) / rows_real(r, node, "width", 1);

	span_of(s, rows_text(r, node, "members"), &top, &bottom);
	double middle = (top + bottom) / 2, half = (bottom - top) / 2;
	path_box(figure_area(f, c, 0.16), left, top, left + LAYER_PX - 1, bottom);
	path_box(figure_area(f, c, FADE), left, middle - half * kept, left + LAYER_PX - 1,
	         middle + half * kept);
}

static int branch_of(const struct branches *b, const struct rows *r, int64_t node)
{
	for (int i = 0; i < b->count; i++)
		if (!strcmp(b->item[i].members, rows_text(r, node, "members")))
			return i;
	return 0;
}

static void label_branch(struct figure *f, const struct sheet *s, const struct branches *b, int i)
{
	const struct branch *at = &b->item[i];
	double top, bottom, width = at->layers * LAYER_PX - 6;
	struct font font = {.size_px = 13,
	                    .colour = 0xffffff,
	                    .halo = 0x333333,
	                    .halo_px = 2,
	                    .anchor = ANCHOR_MIDDLE,
	                    .bold = true};
	char *set = xformat("{%s}", at->members);
	char *share = xformat("%.1f %%", 100 * at->macs / b->macs);

	span_of(s, at->members, &top, &bottom);
	double x = LEFT_PX + (at->first_layer + at->layers / 2.0) * LAYER_PX;
	double y = (top + bottom) / 2;
	struct font fitting = font_fitting(font, set, width);
	figure_label(f, &fitting, x, y - 2, set);
	font.bold = false;
	font.size_px = 12;
	fitting = font_fitting(font, share, width);
	figure_label(f, &fitting, x, y + 14, share);
	free(set);
	free(share);
}

/* Each head, behind the branch that it reads. */
static void label_heads(struct figure *f, const struct sheet *s, const struct rows *r)
{
	const char *head = rows_text(r, r->count - 1, "layer");
	struct font font = frame_font;
	double top, bottom;

	for (int64_t i = r->count - 1; i >= 0 && !strcmp(rows_text(r, i, "layer"), head); i--) {
		char *text = xformat("submodel %s: %lld classes", rows_text(r, i, "members"),
		                     (long long)rows_int(r, i, "channels", 1) - 1);
		span_of(s, rows_text(r, i, "members"), &top, &bottom);
		figure_label(f, &font, LEFT_PX + s->layers * LAYER_PX + 8, (top + bottom) / 2 + 4,
		             text);
		free(text);
	}
}

static void label_layers(struct figure *f, const struct sheet *s, const struct rows *r)
{
	struct font font = {.size_px = 11, .colour = 0x333333, .anchor = ANCHOR_END, .degrees = 60};
	double y = TOP_PX + s->lanes * LANE_PX + 12;

	for (int64_t i = 0; i < s->layers && i < r->count; i++) /* the first way, all layers */
		figure_label(f, &font, LEFT_PX + ((double)i + 0.6) * LAYER_PX, y,
		             rows_text(r, i, "layer"));
}

void branches_plot(struct figure *f, const struct branches *b, const struct rows *r,
                   const char *title)
{
	struct sheet s = sheet_of(b);
	int *layer = xcalloc((size_t)r->count + 1, sizeof *layer);
	const char *head = r->count ? rows_text(r, r->count - 1, "layer") : "";
	struct font heading = {.size_px = TITLE_PX, .colour = 0x222222, .bold = true};
	char *cost =
	        xformat("%.4g million multiply-accumulates an image; shares of it, and channels "
	                "that are left",
	                b->macs / 1e6);
	double width = LEFT_PX + s.layers * LAYER_PX + RIGHT_PX;

	figure_init(f, width, TOP_PX + s.lanes * LANE_PX + BOTTOM_PX);
	struct font fitting = font_fitting(heading, title, width - 2 * LEFT_PX);
	figure_label(f, &fitting, LEFT_PX, 28, title);
	figure_label(f, &frame_font, LEFT_PX, 48, cost);
	for (int64_t i = 0; i < r->count && strcmp(rows_text(r, i, "layer"), head) != 0; i++) {
		int64_t parent = rows_int(r, i, "parent", -1);
		layer[i] = parent < 0 || parent >= i ? 0 : layer[parent] + 1;
		draw_node(f, &s, r, i, layer[i], palette_kind(branch_of(b, r, i)));
	}
	for (int i = 0; i < b->count; i++)
		label_branch(f, &s, b, i);
	label_heads(f, &s, r);
	label_layers(f, &s, r);
	free(layer);
	free(cost);
}
