/* Laws of pictures: areas and lines are where the values say, pixels are covered by their share. */
#include "coordinator/difference.h"
#include "coordinator/plot/axis.h"
#include "coordinator/plot/glyph.h"
#include "coordinator/plot/landscape.h"
#include "coordinator/plot/png.h"
#include "coordinator/plot/raster.h"
#include "coordinator/plot/svg.h"
#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 81 };
typedef double function(double x, double y);

static double slope(double x, double y)
{
	return x;
}

static double bowl(double x, double y)
{
	return x * x + y * y;
}

static double saddles(double x, double y)
{
	return sin(7 * x) * sin(7 * y) + 0.01 * x;
}

/* The function over [-1, 1] x [-1, 1], columns x rows points. */
static struct grid grid_of(function *f, int columns, int rows)
{
	size_t all = (size_t)columns * (size_t)rows * sizeof(double);
	double *x = xmalloc(all), *y = xmalloc(all), *v = xmalloc(all);
	int n = 0;

	for (int i = columns - 1; i >= 0; i--) /* any order will do */
		for (int j = 0; j < rows; j++, n++) {
			x[n] = -1 + 2.0 * i / (columns - 1);
			y[n] = rows > 1 ? -1 + 2.0 * j / (rows - 1) : 0;
			v[n] = f(x[n], y[n]);
		}
	struct grid g = landscape_grid(x, y, v, n);
	free(x);
	free(y);
	free(v);
	return g;
}

/* Signed: positive where the area lies to the left. */
static double area_of(const struct path *p)
{
	double sum = 0;

	for (int r = 0; r < p->runs; r++)
		for (int i = p->start[r]; i + 1 < path_end(p, r); i++)
			sum += p->xy[2 * i] * p->xy[2 * i + 3] -
			       p->xy[2 * i + 2] * p->xy[2 * i + 1];
	return sum / 2;
}

static double area_at(const struct grid *g, double level)
{
	struct path p = {0};

	contour_area(g, level, &p);
	for (int r = 0; r < p.runs; r++)
		assert_memory_equal(&p.xy[2 * p.start[r]], &p.xy[2 * (path_end(&p, r) - 1)],
		                    2 * sizeof(double));
	double area = area_of(&p);
	path_release(&p);
	return area;
}

static void points_in_any_order_make_the_grid(void **state)
{
	double x[] = {1, 0, 0}, y[] = {5, 5, 7}, v[] = {10, 20, 30};
	struct grid g = landscape_grid(x, y, v, 3);

	assert_int_equal(g.columns * 10 + g.rows, 22);
	assert_true(g.value[0] == 20 && g.value[1] == 10 && g.value[2] == 30);
	assert_true(isnan(g.value[3]));
	grid_release(&g);
}

static void areas_are_as_large_as_they_are(void **state)
{
	struct grid g = grid_of(slope, SIDE, SIDE);

	assert_float_equal(area_at(&g, 0.33), 2 * (1 - 0.33), 1e-12);
	assert_float_equal(area_at(&g, -2), 4, 1e-12);
	assert_float_equal(area_at(&g, 2), 0, 0);
	grid_release(&g);
	g = grid_of(bowl, SIDE, SIDE);
	assert_float_equal(area_at(&g, 0.5), 4 - M_PI / 2, 2e-3);
	grid_release(&g);
}

static void above_and_below_share_the_square(void **state)
{
	struct grid g = grid_of(saddles, 12, 9); /* coarse: full of saddles */
	double above = area_at(&g, 0.05);

	for (int i = 0; i < g.columns * g.rows; i++)
		g.value[i] = -g.value[i];
	assert_true(above > 0.5 && above < 3.5);
	assert_float_equal(above + area_at(&g, -0.05), 4, 1e-12);
	grid_release(&g);
}

static void isolines_lie_on_the_level_and_not_on_the_border(void **state)
{
	struct grid g = grid_of(slope, SIDE, 5);
	struct path area = {0}, lines = {0};

	contour_area(&g, 0.33, &area);
	contour_lines(&g, &area, &lines);
	assert_int_equal(lines.runs, 1);
	assert_int_equal(lines.points, 5);
	for (int i = 0; i < lines.points; i++)
		assert_float_equal(lines.xy[2 * i], 0.33, 1e-12);
	path_release(&area);
	path_release(&lines);
	grid_release(&g);
}

static void a_finer_grid_goes_through_the_points(void **state)
{
	struct grid g = grid_of(bowl, 9, 5), fine = grid_refine(&g, 4);

	assert_int_equal(fine.columns * 100 + fine.rows, 3317);
	for (int j = 0; j < g.rows; j++)
		for (int i = 0; i < g.columns; i++)
			assert_float_equal(fine.value[4 * j * fine.columns + 4 * i],
			                   g.value[j * g.columns + i], 1e-12);
	/* Inside, a parabola is met exactly. */
	assert_float_equal(fine.value[8 * fine.columns + 14], bowl(fine.x[14], 0), 1e-12);
	grid_release(&g);
	grid_release(&fine);
}

/* ---- pixels ---- */

static double darkness(const struct raster *r)
{
	double sum = 0;

	for (int i = 0; i < r->width * r->height; i++)
		sum += (255 - r->rgb[3 * i]) / 255.0;
	return sum;
}

static void pixels_are_covered_by_their_share(void **state)
{
	struct raster r;
	struct path p = {0};

	raster_init(&r, 40, 30, 1);
	path_move(&p, 3.3, 4.1);
	path_line(&p, 31.7, 9.8);
	path_line(&p, 12.2, 26.4);
	raster_area(&r, &p, 0x000000, 1);
	assert_float_equal(darkness(&r),
	                   fabs(0.5 * ((31.7 - 3.3) * (26.4 - 4.1) - (12.2 - 3.3) * (9.8 - 4.1))),
	                   0.3);
	for (int i = 0; i < r.height * (r.width + 1); i++)
		assert_true(r.cover[i] == 0);
	path_release(&p);
	raster_release(&r);
}

static void neighbours_leave_no_seam_and_holes_stay_open(void **state)
{
	struct raster r;
	struct path p = {0};

	raster_init(&r, 20, 20, 1);
	path_box(&p, 2, 2, 9.37, 18);
	path_box(&p, 9.37, 2, 18, 18);
	path_move(&p, 5, 5); /* the other way round */
	path_line(&p, 5, 8);
	path_line(&p, 8, 8);
	path_line(&p, 8, 5);
	raster_area(&r, &p, 0x000000, 1);
	assert_int_equal(r.rgb[3 * (10 * 20 + 9)], 0);
	assert_int_equal(r.rgb[3 * (6 * 20 + 6)], 255);
	assert_float_equal(darkness(&r), 16 * 16 - 9, 0.01);
	path_release(&p);
	raster_release(&r);
}

static void lines_are_as_wide_as_asked(void **state)
{
	struct raster r;
	struct path p = {0};

	raster_init(&r, 100, 60, 1);
	path_move(&p, 10.2, 10.7);
	path_line(&p, 50, 30);
	path_line(&p, 90.1, 50.3);
	raster_line(&r, &p, 0x000000, 1, 3, 0);
	double length = hypot(39.8, 19.3) + hypot(40.1, 20.3);
	assert_float_equal(darkness(&r), 3 * length + M_PI * 1.5 * 1.5, 3);
	path_release(&p);
	raster_release(&r);
}

/* ---- axes, letters ---- */

static void ticks_are_round_and_within(void **state)
{
	double tick[AXIS_TICKS];
	struct axis a = axis_over(-0.98, 1.02, 30);

	assert_int_equal(axis_ticks(&a, 9, tick), 10);
	for (int i = 0; i < 10; i++)
		assert_float_equal(1 + tick[i], 0.2 + 0.2 * i, 1e-6);
	a = axis_over(0.004, 30, 30);
	assert_true(a.log);
	assert_int_equal(axis_ticks(&a, 4, tick), 4);
	assert_float_equal(tick[0], 0.01, 1e-15);
	assert_float_equal(tick[3], 10, 1e-12);
	assert_float_equal(axis_part(&a, sqrt(0.004 * 30)), 0.5, 1e-12);
	a = axis_over(3, 3, 30);
	assert_true(a.low < 3 && a.high > 3);
	a = axis_over(1e-9, 1e9, 30);
	assert_true(axis_ticks(&a, 12, tick) <= AXIS_TICKS);
}

static void every_character_has_its_glyph(void **state)
{
	struct font font = {.size_px = 10};
	struct path unknown = {0}, p = {0};
	char text[2] = "";

	glyph_strokes(&font, 0, 0, "\x01", &unknown);
	for (text[0] = '!'; text[0] <= '~'; text[0]++) {
		glyph_strokes(&font, 0, 0, text, &p);
		if (!p.points || (p.points == unknown.points &&
		                  !memcmp(p.xy, unknown.xy, (size_t)p.points * 2 * sizeof *p.xy)))
			fail_msg("%s has no glyph", text);
		path_release(&p);
	}
	assert_true(glyph_width(&font, "−±λ") < glyph_width(&font, "\xff\xff\xff\xff\xff\xff"));
	path_release(&unknown);
}

/* ---- whole pictures ---- */

static void draw(struct figure *f, function *of, int rows, double hole)
{
	struct landscape l[] = {{"a <&> \"b\"", "loss", 0, grid_of(of, 11, rows)},
	                        {"c", "loss", 1, grid_of(of, 11, rows)}};

	l[1].grid.value[3] = hole;
	landscape_draw(f, l, 2, rows > 1 ? "random_plane" : "random", "title");
	grid_release(&l[0].grid);
	grid_release(&l[1].grid);
}

static void svg_is_well_formed(void **state)
{
	struct figure f;
	struct text svg = {0};
	int open = 0;

	draw(&f, bowl, 11, NAN);
	svg_write(&f, &svg);
	figure_release(&f);
	assert_non_null(strstr(svg.data, ">a &lt;&amp;&gt; &quot;b&quot;</text>"));
	assert_null(strstr(svg.data, "nan"));
	assert_null(strstr(svg.data, "inf"));
	for (const char *tag = strchr(svg.data, '<'); tag; tag = strchr(tag + 1, '<')) {
		const char *end = strchr(tag, '>');
		open += tag[1] == '/' ? -1 : end[-1] == '/' ? 0 : 1;
	}
	assert_int_equal(open, 0);
	text_release(&svg);
}

static void png_is_read_by_libpng(void **state)
{
	struct figure f;
	struct text bytes = {0};
	struct error e;
	png_image image = {.version = PNG_IMAGE_VERSION};

	draw(&f, bowl, 11, 1e30);
	assert_int_equal(png_write_figure(&f, 2, &bytes, &e), 0);
	assert_true(png_image_begin_read_from_memory(&image, bytes.data, bytes.length));
	assert_int_equal(image.width, (int)ceil(2 * f.width));
	assert_int_equal(image.height, (int)ceil(2 * f.height));
	png_image_free(&image);
	figure_release(&f);
	text_release(&bytes);
}

static void lines_break_where_nothing_was_measured(void **state)
{
	struct figure whole, broken;

	draw(&whole, slope, 1, 0.5);
	draw(&broken, slope, 1, NAN);
	assert_int_equal(whole.marks, broken.marks);
	assert_int_equal(whole.mark[whole.marks - 1].path.runs, 1);
	assert_int_equal(broken.mark[broken.marks - 1].path.runs, 2);
	figure_release(&whole);
	figure_release(&broken);
}

/* Areas that cover anything. */
static int areas_of(const struct figure *f)
{
	int count = 0;

	for (int i = 0; i < f->marks; i++)
		count += f->mark[i].kind == MARK_AREA && f->mark[i].path.points;
	return count;
}

static void a_steep_corner_takes_no_colours_from_the_valley(void **state)
{
	struct figure flat, steep;

	draw(&flat, bowl, 11, 2);
	draw(&steep, bowl, 11, 1e30);
	assert_true(areas_of(&steep) >= areas_of(&flat)); /* as many levels, or more */
	figure_release(&flat);
	figure_release(&steep);
}

static void a_lone_trial_is_not_named_in_the_legend(void **state)
{
	struct figure f;
	struct landscape l[] = {{"", "loss", 0, grid_of(slope, 11, 1)},
	                        {"", "critical_loss", 0, grid_of(slope, 11, 1)}};
	bool named = false;

	landscape_draw(&f, l, 2, "random", "title");
	for (int i = 0; i < f.marks; i++) {
		const char *text = f.mark[i].text ? f.mark[i].text : "";
		assert_true(*text != ',');
		named = named || !strcmp(text, "critical loss");
	}
	assert_true(named);
	figure_release(&f);
	grid_release(&l[0].grid);
	grid_release(&l[1].grid);
}

static void labels_say_what_differs(void **state)
{
	cJSON *spec[] = {
	        cJSON_Parse("{\"a\": {\"bits\": 4, \"same\": 1}, \"list\": [1, 2], \"x\": null}"),
	        cJSON_Parse("{\"a\": {\"bits\": 8, \"same\": 1.0}, \"list\": [1], \"x\": "
	                    "{\"lambda\": 0.5}}")};
	cJSON *difference = difference_of((const cJSON *const *)spec, 2);
	char *label = difference_label(difference, 0);

	assert_string_equal(label, "bits=4 list=[1,2]");
	free(label);
	label = difference_label(difference, 1);
	assert_string_equal(label, "bits=8 list=[1] lambda=0.5");
	free(label);
	cJSON_Delete(difference);
	cJSON_Delete(spec[0]);
	cJSON_Delete(spec[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(points_in_any_order_make_the_grid),
	        cmocka_unit_test(areas_are_as_large_as_they_are),
	        cmocka_unit_test(above_and_below_share_the_square),
	        cmocka_unit_test(isolines_lie_on_the_level_and_not_on_the_border),
	        cmocka_unit_test(a_finer_grid_goes_through_the_points),
	        cmocka_unit_test(pixels_are_covered_by_their_share),
	        cmocka_unit_test(neighbours_leave_no_seam_and_holes_stay_open),
	        cmocka_unit_test(lines_are_as_wide_as_asked),
	        cmocka_unit_test(ticks_are_round_and_within),
	        cmocka_unit_test(every_character_has_its_glyph),
	        cmocka_unit_test(svg_is_well_formed),
	        cmocka_unit_test(png_is_read_by_libpng),
	        cmocka_unit_test(lines_break_where_nothing_was_measured),
	        cmocka_unit_test(a_steep_corner_takes_no_colours_from_the_valley),
	        cmocka_unit_test(a_lone_trial_is_not_named_in_the_legend),
	        cmocka_unit_test(labels_say_what_differs),
	};

	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests_name("plot", tests, NULL, NULL);
}
