/* Shapes: a procedural data set of 32x32 RGB images in 10 classes.
 *
 * Image i of a split is of class i % 10 and depends on (seed, split, i) alone.  One shape of random
 * colour, place, size and rotation lies on a shaded, textured ground among dots and strokes of
 * other colours, some of them across it; then come exposure and noise.  No class has a colour or a
 * place of its own, so a linear classifier of pixels learns little.
 *
 * Only +, -, *, / and sqrt are used, which IEEE 754 rounds the same everywhere (no sin, no exp), so
 * that every machine draws the same bytes. */
#include "core/base/random.h"
#include "core/base/text.h"
#include "core/data/reader.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { SIDE = 32, PLANE = SIDE * SIDE, MAX_GRID = 9 };

/* --- random draws, one after the other --- */

struct dice {
	struct random_stream stream;
	uint64_t next;
};

static double between(struct dice *dice, double low, double high)
{
	return low + (high - low) * random_uniform(&dice->stream, dice->next++);
}

static int count_between(struct dice *dice, int low, int high)
{
	return low + (int)random_below(&dice->stream, dice->next++, (uint64_t)(high - low + 1));
}

struct color {
	double c[3];
};

static struct color color_between(struct dice *dice, double low, double high)
{
	struct color color;

	for (int k = 0; k < 3; k++)
		color.c[k] = between(dice, low, high);
	return color;
}

static double color_distance(struct color a, struct color b)
{
	double sum = 0;

	for (int k = 0; k < 3; k++)
		sum += (a.c[k] - b.c[k]) * (a.c[k] - b.c[k]);
	return sqrt(sum);
}

/* A bright colour that is seen on `ground`: drawn again, a few times, while it is too near. */
static struct color color_on(struct dice *dice, struct color ground, double distance)
{
	struct color color = color_between(dice, 0.25, 1);

	for (int i = 0; i < 16 && color_distance(color, ground) < distance; i++)
		color = color_between(dice, 0.25, 1);
	return color;
}

/* --- signed distances: below zero inside, in units of the shape's radius --- */

struct point {
	double x, y;
};

static double larger(double a, double b)
{
	return a > b ? a : b;
}

static double smaller(double a, double b)
{
	return a < b ? a : b;
}

static double length(double x, double y)
{
	return sqrt(x * x + y * y);
}

static double disc(struct point p)
{
	return length(p.x, p.y) - 0.95;
}

static double ring(struct point p)
{
	return fabs(length(p.x, p.y) - 0.74) - 0.22;
}

static double square(struct point p)
{
	return larger(fabs(p.x), fabs(p.y)) - 0.8;
}

static double frame(struct point p)
{
	return fabs(larger(fabs(p.x), fabs(p.y)) - 0.66) - 0.18;
}

static double triangle(struct point p)
{
	double slope = 0.8660254037844386; /* sqrt(3) / 2 */

	return larger(p.y, larger(slope * p.x, -slope * p.x) - 0.5 * p.y) - 0.55;
}

/* A pentagram is what lies inside at least four of its five lines. */
static double star(struct point p)
{
	static const struct point normal[5] = {{0, 1},
	                                       {0.9510565162951535, 0.3090169943749474},
	                                       {0.5877852522924731, -0.8090169943749475},
	                                       {-0.5877852522924731, -0.8090169943749475},
	                                       {-0.9510565162951535, 0.3090169943749474}};
	double first = -9, second = -9;

	for (int i = 0; i < 5; i++) {
		double d = normal[i].x * p.x + normal[i].y * p.y;
		second = larger(second, smaller(first, d));
		first = larger(first, d);
	}
	return second - 0.37;
}

static double cross(struct point p)
{
	double x = fabs(p.x), y = fabs(p.y);

	return smaller(larger(x - 1, y - 0.3), larger(x - 0.3, y - 1));
}

static double crescent(struct point p)
{
	return larger(length(p.x, p.y) - 1, 0.8 - length(p.x - 0.55, p.y));
}

/* Textures fill a patch of five by five cells. */
static const double CELL = 0.34;

static double patch(struct point p)
{
	return larger(fabs(p.x), fabs(p.y)) - 2.5 * CELL;
}

/* Bars one cell wide, one of them in the middle: distance to the nearest edge. */
static double bars(double x)
{
	double phase = x / (2 * CELL) + 0.5;

	return (fabs(phase - floor(phase) - 0.5) - 0.25) * (2 * CELL);
}

static double stripes(struct point p)
{
	return larger(patch(p), bars(p.x));
}

static double checker(struct point p)
{
	double a = bars(p.x), b = bars(p.y);

	return larger(patch(p), larger(smaller(a, b), -larger(a, b)));
}

static const struct {
	const char *name;
	double (*distance)(struct point p);
} classes[] = {{"disc", disc},      {"ring", ring},         {"square", square},
               {"frame", frame},    {"triangle", triangle}, {"star", star},
               {"cross", cross},    {"crescent", crescent}, {"stripes", stripes},
               {"checker", checker}};
enum { CLASSES = sizeof classes / sizeof *classes };

/* --- painting --- */

struct canvas {
	struct color pixel[PLANE];
};

static void blend(struct color *pixel, struct color paint, double coverage)
{
	for (int k = 0; k < 3; k++)
		pixel->c[k] += coverage * (paint.c[k] - pixel->c[k]);
}

/* Of a pixel whose centre is d pixels outside an edge, the share that is covered. */
static double covered(double d)
{
	return d >= 0.5 ? 0 : d <= -0.5 ? 1 : 0.5 - d;
}

/* Smooth noise in -1 … 1: random values on a grid of cells, blended between them. */
static void add_noise(struct canvas *canvas, struct dice *dice, int cells, double amplitude)
{
	double value[MAX_GRID][MAX_GRID];
	struct color tint = color_between(dice, 0, 1);

	for (int i = 0; i <= cells; i++)
		for (int j = 0; j <= cells; j++)
			value[i][j] = between(dice, -1, 1);
	for (int at = 0; at < PLANE; at++) {
		double y = (double)(at / SIDE) * cells / SIDE,
		       x = (double)(at % SIDE) * cells / SIDE;
		int i = (int)y, j = (int)x;
		double v = y - i, u = x - j;
		v = v * v * (3 - 2 * v);
		u = u * u * (3 - 2 * u);
		double top = value[i][j] + u * (value[i][j + 1] - value[i][j]);
		double bottom = value[i + 1][j] + u * (value[i + 1][j + 1] - value[i + 1][j]);
		double noise = amplitude * (top + v * (bottom - top));
		for (int k = 0; k < 3; k++)
			canvas->pixel[at].c[k] += noise * (0.5 + tint.c[k]);
	}
}

/* Two colours shaded into each other along a random direction; returns the one in the middle. */
static struct color paint_ground(struct canvas *canvas, struct dice *dice)
{
	struct color from = color_between(dice, 0, 0.6), to = color_between(dice, 0, 0.6);
	struct color middle = from;
	double across = between(dice, -1, 1), down = between(dice, -1, 1);

	blend(&to, from, 0.5);
	for (int at = 0; at < PLANE; at++) {
		double share = 0.5 + (across * (at % SIDE - 15.5) + down * (at / SIDE - 15.5)) / 62;
		canvas->pixel[at] = from;
		blend(&canvas->pixel[at], to, share);
	}
	add_noise(canvas, dice, 4, between(dice, 0.02, 0.16));
	add_noise(canvas, dice, 8, between(dice, 0.02, 0.14));
	blend(&middle, to, 0.5);
	return middle;
}

/* A straight stroke with round ends; one of no length is a dot. */
static void paint_stroke(struct canvas *canvas, struct dice *dice, double reach, double low,
                         double high, struct color paint)
{
	double x = between(dice, 0, SIDE), y = between(dice, 0, SIDE);
	double dx = between(dice, -reach, reach), dy = between(dice, -reach, reach);
	double radius = between(dice, low, high), opacity = between(dice, 0.55, 1);
	double square_length = dx * dx + dy * dy + 1e-9;

	for (int at = 0; at < PLANE; at++) {
		double px = at % SIDE + 0.5 - x, py = at / SIDE + 0.5 - y;
		double along = smaller(1, larger(0, (px * dx + py * dy) / square_length));
		double d = length(px - along * dx, py - along * dy) - radius;
		blend(&canvas->pixel[at], paint, opacity * covered(d));
	}
}

/* A rotation without sin and cos: t is the tangent of half the angle, which is within 46 degrees.
 */
static struct point rotation(struct dice *dice)
{
	double t = between(dice, -0.42, 0.42);

	return (struct point){(1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)};
}

static void paint_shape(struct canvas *canvas, struct dice *dice, int class, struct color ground)
{
	double radius = between(dice, 7, 12.5), margin = 0.9 * radius;
	double x = between(dice, margin, SIDE - margin), y = between(dice, margin, SIDE - margin);
	struct point turn = rotation(dice);
	struct color paint = color_on(dice, ground, 0.36), edge = color_on(dice, ground, 0.3);
	double shade = between(dice, 0, 0.7);

	for (int at = 0; at < PLANE; at++) {
		double px = (at % SIDE + 0.5 - x) / radius, py = (at / SIDE + 0.5 - y) / radius;
		struct point p = {turn.x * px + turn.y * py, turn.x * py - turn.y * px};
		double share = covered(classes[class].distance(p) * radius);
		struct color here = paint;
		blend(&here, edge, shade * smaller(1, larger(0, 0.5 + 0.5 * px)));
		blend(&canvas->pixel[at], here, share);
	}
}

/* Exposure, contrast and grain, then bytes in planes. */
static void develop(const struct canvas *canvas, struct dice *dice, uint8_t *out)
{
	double contrast = between(dice, 0.7, 1.1), light = between(dice, -0.08, 0.08);
	double grain = between(dice, 0.03, 0.14);

	for (int at = 0; at < PLANE; at++) {
		uint64_t bits = random_bits(&dice->stream, dice->next++);
		for (int k = 0; k < 3; k++, bits >>= 20) {
			/* the sum of two uniform values: a triangle, much like a bell */
			double noise = (double)((bits & 1023) + (bits >> 10 & 1023)) / 1023 - 1;
			double v = canvas->pixel[at].c[k];
			v = 0.5 + light + contrast * (v - 0.5) + grain * noise;
			out[k * PLANE + at] = (uint8_t)(smaller(1, larger(0, v)) * 255 + 0.5);
		}
	}
}

static void draw(int64_t seed, enum split split, int64_t index, uint8_t *out)
{
	struct dice dice = {random_stream(seed, "shapes", (uint64_t)split, (uint64_t)index), 0};
	struct canvas canvas;
	struct color ground = paint_ground(&canvas, &dice);

	for (int n = count_between(&dice, 2, 5); n > 0; n--)
		paint_stroke(&canvas, &dice, 0.5, 0.8, 2.4, color_between(&dice, 0, 1));
	for (int n = count_between(&dice, 1, 3); n > 0; n--)
		paint_stroke(&canvas, &dice, 16, 0.4, 1.1, color_between(&dice, 0, 1));
	paint_shape(&canvas, &dice, (int)(index % CLASSES), ground);
	for (int n = count_between(&dice, 0, 2); n > 0; n--)
		paint_stroke(&canvas, &dice, 12, 0.4, 1, color_between(&dice, 0, 1));
	develop(&canvas, &dice, out);
}

/* --- the reader --- */

static int64_t count_of(const struct dataset_request *request)
{
	if (request->limit > 0)
		return request->limit;
	return request->split == SPLIT_TRAIN ? SHAPES_TRAIN : SHAPES_TEST;
}

static int fill(const struct dataset_kind *kind, const struct dataset_request *request,
                struct cache_draft *draft, struct error *e)
{
	struct cache_shape shape = {count_of(request), 3, SIDE, SIDE, CLASSES};
	const char *name[CLASSES];

	(void)kind;
	for (int c = 0; c < CLASSES; c++)
		name[c] = classes[c].name;
	if (cache_draft_begin(draft, &shape, name, e) != 0)
		return -1;
#pragma omp parallel for schedule(static)
	for (int64_t i = 0; i < shape.count; i++) {
		draft->label[i] = (int32_t)(i % CLASSES);
		draw(request->seed, request->split, i, draft->pixels + i * 3 * PLANE);
	}
	return 0;
}

static char *variant(const struct dataset_request *request)
{
	return xformat("seed %lld, %lld images", (long long)request->seed,
	               (long long)count_of(request));
}

const struct reader shapes_reader = {1, fill, variant};
