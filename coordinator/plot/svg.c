/* Writes a figure as SVG. */
#include "coordinator/plot/svg.h"

static const char *const anchors[] = {"start", "middle", "end"};

static void add_escaped(struct text *out, const char *s)
{
	for (; *s; s++)
		switch (*s) {
		case '&': text_add(out, "&amp;"); break;
		case '<': text_add(out, "&lt;"); break;
		case '>': text_add(out, "&gt;"); break;
		case '"': text_add(out, "&quot;"); break;
		default:
			if ((unsigned char)*s >= ' ')
				text_add_bytes(out, s, 1);
		}
}

/* A pixel's hundredths are enough. */
static void add_points(struct text *out, const struct path *p, bool closed)
{
	for (int r = 0; r < p->runs; r++) {
		for (int i = p->start[r]; i < path_end(p, r); i++)
			text_add(out, "%s%.2f %.2f", i == p->start[r] ? "M" : " ", p->xy[2 * i],
			         p->xy[2 * i + 1]);
		text_add(out, closed ? "Z" : "");
	}
}

static void add_opacity(struct text *out, const char *what, double opacity)
{
	if (opacity < 1)
		text_add(out, " %s=\"%.3g\"", what, opacity);
}

static void add_area(struct text *out, const struct mark *m)
{
	text_add(out, "<path fill=\"#%06x\"", m->colour);
	add_opacity(out, "fill-opacity", m->opacity);
	text_add(out, " d=\"");
	add_points(out, &m->path, true);
	text_add(out, "\"/>\n");
}

static void add_line(struct text *out, const struct mark *m)
{
	text_add(out,
	         "<path fill=\"none\" stroke=\"#%06x\" stroke-width=\"%.3g\" "
	         "stroke-linecap=\"round\" stroke-linejoin=\"round\"",
	         m->colour, m->line_px);
	add_opacity(out, "stroke-opacity", m->opacity);
	if (m->dash_px > 0)
		text_add(out, " stroke-dasharray=\"%.3g %.3g\"", m->dash_px, m->dash_px);
	text_add(out, " d=\"");
	add_points(out, &m->path, false);
	text_add(out, "\"/>\n");
}

static void add_label(struct text *out, const struct mark *m)
{
	text_add(out, "<text x=\"%.2f\" y=\"%.2f\" font-size=\"%.3g\" fill=\"#%06x\"", m->x, m->y,
	         m->font.size_px, m->font.colour);
	if (m->font.anchor != ANCHOR_START)
		text_add(out, " text-anchor=\"%s\"", anchors[m->font.anchor]);
	if (m->font.bold)
		text_add(out, " font-weight=\"600\"");
	if (m->font.degrees != 0)
		text_add(out, " transform=\"rotate(%.4g %.2f %.2f)\"", -m->font.degrees, m->x,
		         m->y);
	if (m->font.halo_px > 0)
		text_add(out,
		         " stroke=\"#%06x\" stroke-width=\"%.3g\" stroke-linejoin=\"round\" "
		         "paint-order=\"stroke\"",
		         m->font.halo, 2 * m->font.halo_px);
	text_add(out, ">");
	add_escaped(out, m->text);
	text_add(out, "</text>\n");
}

void svg_write(const struct figure *f, struct text *out)
{
	static void (*const add_mark[])(struct text *, const struct mark *) = {
	        [MARK_AREA] = add_area, [MARK_LINE] = add_line, [MARK_LABEL] = add_label};

	text_add(out,
	         "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%g\" height=\"%g\" "
	         "viewBox=\"0 0 %g %g\" font-family=\"'DejaVu Sans', Verdana, Helvetica, Arial, "
	         "sans-serif\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
	         f->width, f->height, f->width, f->height);
	for (int i = 0; i < f->marks; i++)
		add_mark[f->mark[i].kind](out, &f->mark[i]);
	text_add(out, "</svg>\n");
}
