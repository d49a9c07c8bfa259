/* Writes a figure as PNG. */
#include "coordinator/plot/png.h"
#include "coordinator/plot/glyph.h"
#include "coordinator/plot/raster.h"
#include <png.h>
#include <setjmp.h>

static void draw_label(struct raster *r, const struct mark *m)
{
	struct path strokes = {0};
	double line_px = glyph_strokes(&m->font, m->x, m->y, m->text, &strokes);

	if (m->font.halo_px > 0)
		raster_line(r, &strokes, m->font.halo, 1, line_px + 2 * m->font.halo_px, 0);
	raster_line(r, &strokes, m->font.colour, 1, line_px, 0);
	path_release(&strokes);
}

static void draw_area(struct raster *r, const struct mark *m)
{
	raster_area(r, &m->path, m->colour, m->opacity);
}

static void draw_line(struct raster *r, const struct mark *m)
{
	raster_line(r, &m->path, m->colour, m->opacity, m->line_px, m->dash_px);
}

static void append(png_structp png, png_bytep bytes, size_t length)
{
	text_add_bytes(png_get_io_ptr(png), bytes, length);
}

static void flush(png_structp png)
{
}

static int encode(const struct raster *r, struct text *out, struct error *e)
{
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop info = png ? png_create_info_struct(png) : NULL;

	if (!info || setjmp(png_jmpbuf(png))) {
		png_destroy_write_struct(&png, &info);
		return error_set(e, "libpng cannot write the picture");
	}
	png_set_write_fn(png, out, append, flush);
	png_set_IHDR(png, info, (png_uint_32)r->width, (png_uint_32)r->height, 8,
	             PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
	             PNG_FILTER_TYPE_DEFAULT);
	png_write_info(png, info);
	for (int y = 0; y < r->height; y++)
		png_write_row(png, r->rgb + 3 * (size_t)y * (size_t)r->width);
	png_write_end(png, info);
	png_destroy_write_struct(&png, &info);
	return 0;
}

int png_write_figure(const struct figure *f, double scale, struct text *out, struct error *e)
{
	static void (*const draw[])(struct raster *, const struct mark *) = {
	        [MARK_AREA] = draw_area, [MARK_LINE] = draw_line, [MARK_LABEL] = draw_label};
	struct raster r;

	raster_init(&r, f->width, f->height, scale);
	for (int i = 0; i < f->marks; i++)
		draw[f->mark[i].kind](&r, &f->mark[i]);
	int status = encode(&r, out, e);
	raster_release(&r);
	return status;
}
