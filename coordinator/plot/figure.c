/* A drawing as a list of marks, in pixels from the upper left: what svg.c and png.c both write. */
#include "coordinator/plot/figure.h"
#include "core/base/text.h"
#include <assert.h>
#include <stdlib.h>

void figure_init(struct figure *f, double width, double height)
{
	*f = (struct figure){.width = width, .height = height};
}

void figure_release(struct figure *f)
{
	for (int i = 0; i < f->marks; i++) {
		path_release(&f->mark[i].path);
		free(f->mark[i].text);
	}
	free(f->mark);
	*f = (struct figure){0};
}

static struct mark *add(struct figure *f, enum mark_kind kind, colour c)
{
	if (f->marks == f->capacity) {
		f->capacity = f->capacity ? 2 * f->capacity : 64;
		f->mark = xrealloc(f->mark, (size_t)f->capacity * sizeof *f->mark);
	}
	struct mark *m = &f->mark[f->marks++];
	*m = (struct mark){.kind = kind, .colour = c, .opacity = 1};
	return m;
}

struct path *figure_area(struct figure *f, colour c, double opacity)
{
	struct mark *m = add(f, MARK_AREA, c);

	m->opacity = opacity;
	return &m->path;
}

struct path *figure_line(struct figure *f, colour c, double opacity, double line_px, double dash_px)
{
	struct mark *m = add(f, MARK_LINE, c);

	m->opacity = opacity;
	m->line_px = line_px;
	m->dash_px = dash_px;
	return &m->path;
}

void figure_label(struct figure *f, const struct font *font, double x, double y, const char *text)
{
	struct mark *m = add(f, MARK_LABEL, font->colour);

	m->font = *font;
	m->x = x;
	m->y = y;
	m->text = xstrdup(text);
}

void path_move(struct path *p, double x, double y)
{
	if (p->runs == p->runs_capacity) {
		p->runs_capacity = p->runs_capacity ? 2 * p->runs_capacity : 4;
		p->start = xrealloc(p->start, (size_t)p->runs_capacity * sizeof *p->start);
	}
	p->start[p->runs++] = p->points;
	path_line(p, x, y);
}

void path_line(struct path *p, double x, double y)
{
	assert(p->runs);
	if (p->points == p->points_capacity) {
		p->points_capacity = p->points_capacity ? 2 * p->points_capacity : 16;
		p->xy = xrealloc(p->xy, (size_t)p->points_capacity * 2 * sizeof *p->xy);
	}
	p->xy[2 * p->points] = x;
	p->xy[2 * p->points + 1] = y;
	p->points++;
}

int path_end(const struct path *p, int run)
{
	return run + 1 < p->runs ? p->start[run + 1] : p->points;
}

void path_box(struct path *p, double left, double top, double right, double bottom)
{
	path_move(p, left, top);
	path_line(p, right, top);
	path_line(p, right, bottom);
	path_line(p, left, bottom);
	path_line(p, left, top);
}

struct path path_copy(const struct path *p)
{
	struct path copy = {0};

	for (int run = 0; run < p->runs; run++)
		for (int i = p->start[run]; i < path_end(p, run); i++)
			(i == p->start[run] ? path_move : path_line)(&copy, p->xy[2 * i],
			                                             p->xy[2 * i + 1]);
	return copy;
}

void path_release(struct path *p)
{
	free(p->xy);
	free(p->start);
	*p = (struct path){0};
}
