/* Action landscape: the loss along lines and in planes around the weights, and an evaluation. */
#include "core/train/landscape.h"
#include "core/base/text.h"
#include "core/fisher/landscape.h"
#include "core/train/curvature.h"
#include "core/train/loop.h"
#include <stdlib.h>
#include <string.h>

enum { DIRECTIONS = 2, METRICS = 2 };
static const char *const metric_name[METRICS] = {"loss", "critical_loss"};

/* A line along a, or the plane of a and b, from -range to range. */
struct slice {
	const char *name;
	const struct direction *a, *b; /* b null: a line */
	double range;
	int points; /* of each side */
};

static int slice_count(const struct slice *s)
{
	return s->b ? s->points * s->points : s->points;
}

static struct landscape_point slice_point(const struct slice *s, int i)
{
	double step = 2 * s->range / (s->points - 1);
	int middle = s->points / 2;

	return (struct landscape_point){.a = s->a,
	                                .b = s->b,
	                                .x = (i % s->points - middle) * step,
	                                .y = s->b ? (i / s->points - middle) * step : 0};
}

/* Mean losses at a point, over all images. */
static void point_losses(struct trainer *t, const struct landscape_point *p, double out[METRICS])
{
	const struct critical *c = t->critical.count ? &t->critical : NULL;
	int64_t size = t->spec->eval_batch, count = t->seen->count;

	count = count < t->spec->landscape_images ? count : t->spec->landscape_images;
	for (int64_t first = 0; first < count; first += size) {
		int64_t n = count - first < size ? count - first : size;
		struct tensor *images, *labels;
		double sum[METRICS] = {0};

		trainer_read(t, t->seen, first, n, &images, &labels);
		landscape_losses(t->model, trainer_quantization(t), p, c, images, labels, &sum[0],
		                 &sum[1]);
		for (int k = 0; k < METRICS; k++)
			out[k] += sum[k] / (double)count;
		tensor_free(images);
		tensor_free(labels);
	}
}

static void slice_report(struct trainer *t, const struct slice *s, const double *value)
{
	int metrics = t->critical.count ? METRICS : 1;

	for (int i = 0; i < slice_count(s); i++) {
		struct landscape_point p = slice_point(s, i);
		for (int k = 0; k < metrics; k++)
			result_landscape(&t->result, s->name, p.x, p.y, metric_name[k],
			                 value[i * METRICS + k]);
	}
}

/* Ranks take the points in turn. */
static int slice_map(struct trainer *t, const struct slice *s, struct error *e)
{
	int count = slice_count(s), ranks = t->parallel.ranks, ended = LOOP_GOES_ON;
	double *value = xcalloc((size_t)count * METRICS, sizeof *value);

	t->evaluate_count = count;
	for (int i = t->parallel.rank; i - t->parallel.rank < count; i += ranks) {
		ended = loop_obey(t, trainer_order(t), e);
		if (ended != LOOP_GOES_ON)
			break;
		struct landscape_point p = slice_point(s, i);
		if (i < count)
			point_losses(t, &p, value + (ptrdiff_t)i * METRICS);
		t->evaluated = i < count ? i : count;
		trainer_tell(t, "landscape");
	}
	if (ended == LOOP_GOES_ON) {
		parallel_merge(&t->parallel, value, (int64_t)count * METRICS);
		slice_report(t, s, value);
	}
	free(value);
	return ended;
}

/* The line along the first direction, and the plane of both. */
static int map_directions(struct trainer *t, const struct direction d[DIRECTIONS], const char *line,
                          const char *plane, double range, struct error *e)
{
	struct slice s = {
	        .name = line, .a = &d[0], .range = range, .points = (int)t->spec->landscape_points};
	int ended = slice_map(t, &s, e);

	if (ended != LOOP_GOES_ON || !t->spec->landscape_plane_points)
		return ended;
	s.name = plane;
	s.b = &d[1];
	s.points = (int)t->spec->landscape_plane_points;
	return slice_map(t, &s, e);
}

static int map_random(struct trainer *t, struct error *e)
{
	struct direction d[DIRECTIONS];

	for (uint64_t k = 0; k < DIRECTIONS; k++)
		direction_random(&d[k], t->model, t->spec->landscape_seed, k);
	int ended = map_directions(t, d, "random", "random_plane", t->spec->landscape_range, e);
	for (int k = 0; k < DIRECTIONS; k++)
		direction_release(&d[k]);
	return ended;
}

static int map_hessian(struct trainer *t, struct error *e)
{
	int count = t->spec->landscape_plane_points ? DIRECTIONS : 1;
	struct direction d[DIRECTIONS] = {0};
	int ended = curvature_top(t, trainer_quantization(t), count, d, e);

	if (ended != LOOP_GOES_ON)
		return ended;
	for (int k = 0; k < count; k++)
		direction_scale(&d[k], t->model);
	ended = map_directions(t, d, "hessian", "hessian_plane", t->spec->landscape_hessian_range,
	                       e);
	for (int k = 0; k < count; k++)
		direction_release(&d[k]);
	return ended;
}

enum outcome landscape_run(struct trainer *t, struct error *e)
{
	const char *which = t->spec->landscape_directions;
	int ended = LOOP_GOES_ON;

	if (strcmp(which, "hessian"))
		ended = map_random(t, e);
	if (ended == LOOP_GOES_ON && strcmp(which, "random"))
		ended = map_hessian(t, e);
	return ended == LOOP_GOES_ON ? train_run(t, e) : (enum outcome)ended;
}
