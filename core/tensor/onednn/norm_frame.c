/* Walks planes for the kernels of batch norm.
 *
 * A thread takes whole groups of channels where there are enough: they stay in cache between the
 * pass that sums and the pass that writes.  Sums do not depend on who makes them: see planes.h. */
#include "core/tensor/onednn/norm_frame.h"
#include <math.h>
#include <omp.h>
#include <string.h>

void frame_init(struct frame *f, struct shape s, int sums, int lanes)
{
	assert(sums <= FRAME_SUMS && lanes <= FRAME_LANES);
	*f = (struct frame){.l = layout_of(s)};
	f->s = segments_of(&f->l);
	int64_t each = f->s.total * f->l.block, padded = f->l.groups * f->l.block;
	size_t all = (size_t)(sums * each + lanes * padded);

	f->storage = storage_new(all * sizeof(float));
	float *at = f->storage->data;
	memset(at, 0, all * sizeof(float));
	for (int i = 0; i < lanes; i++, at += padded)
		f->lane[i] = at;
	for (int i = 0; i < sums; i++, at += each)
		f->sum[i] = at;
}

void frame_release(struct frame *f)
{
	storage_free(f->storage);
}

double frame_sum(const struct frame *f, int k, int64_t c)
{
	const struct layout *l = &f->l;
	double sum = 0;

	for (int64_t n = 0; n < l->images; n++)
		for (int64_t i = 0; i < f->s.each; i++) {
			int64_t segment = (n * l->groups + c / l->block) * f->s.each + i;
			sum += (double)f->sum[k][segment * l->block + c % l->block];
		}
	return sum;
}

/* ---- the three steps ---- */
struct run {
	const struct frame *f;
	const struct frame_steps *steps;
	void *self;
};

static void sum_plane(const struct run *r, int64_t plane)
{
	const struct layout *l = &r->f->l;
	int64_t each = r->f->s.each;

	for (int64_t k = 0; k < each; k++)
		r->steps->sum(r->self,
		              (struct piece){segment_begin(l, plane, k),
		                             plane % l->groups * l->block,
		                             (plane * each + k) * l->block, segment_px(l, k)});
}

static void write_plane(const struct run *r, int64_t plane)
{
	const struct layout *l = &r->f->l;

	r->steps->write(r->self, (struct piece){plane * l->pixels * l->block,
	                                        plane % l->groups * l->block, 0, l->pixels});
}

/* One group of channels: the planes that were summed last are written first. */
static void run_group(const struct run *r, int64_t group)
{
	const struct layout *l = &r->f->l;
	int64_t first = group * l->block, last = first + l->block;

	for (int64_t n = 0; r->steps->sum && n < l->images; n++)
		sum_plane(r, n * l->groups + group);
	for (int64_t c = first; r->steps->channel && c < last && c < l->channels; c++)
		r->steps->channel(r->self, c);
	for (int64_t n = l->images - 1; r->steps->write && n >= 0; n--)
		write_plane(r, n * l->groups + group);
}

static void run_planes(const struct run *r)
{
	const struct layout *l = &r->f->l;
	int64_t summed = r->steps->sum ? l->planes : 0, written = r->steps->write ? l->planes : 0;
	int64_t channels = r->steps->channel ? l->channels : 0;

#pragma omp parallel if (l->count > SMALL)
	{
#pragma omp for schedule(static)
		for (int64_t i = 0; i < summed; i++)
			sum_plane(r, i);
#pragma omp for schedule(static)
		for (int64_t c = 0; c < channels; c++)
			r->steps->channel(r->self, c);
#pragma omp for schedule(static)
		for (int64_t i = written - 1; i >= 0; i--)
			write_plane(r, i);
	}
}

void frame_run(const struct frame *f, const struct frame_steps *steps, void *self)
{
	const struct run r = {f, steps, self};
	int threads = omp_get_max_threads();

	if (f->l.groups % threads && f->l.groups < 4 * threads) {
		run_planes(&r);
		return;
	}
#pragma omp parallel for schedule(dynamic) if (f->l.count > SMALL)
	for (int64_t g = 0; g < f->l.groups; g++)
		run_group(&r, g);
}

enum mask mask_of(const struct tensor *t)
{
	return !t ? MASK_NONE : t->shape.n == 1 ? MASK_SHIFT : MASK_OUTPUT;
}

double norm_slope(float gamma, float variance, double eps)
{
	return (double)gamma / sqrt((double)variance + eps);
}

void frame_set_lines(struct frame *f, struct tensor *gamma, struct tensor *mean,
                     struct tensor *variance, struct tensor *beta, double eps)
{
	const float *g = tensor_f32(gamma), *m = tensor_f32(mean), *v = tensor_f32(variance);
	const float *b = beta ? tensor_f32(beta) : NULL;

	for (int64_t c = 0; c < f->l.channels; c++) {
		f->lane[FRAME_MEAN][c] = m[c];
		f->lane[FRAME_SLOPE][c] = (float)norm_slope(g[c], v[c], eps);
		f->lane[FRAME_SHIFT][c] = b ? b[c] : 0;
	}
}

float *frame_output(struct tensor *t, bool blocked)
{
	if (!t || !tensor_is_clear(t))
		return NULL;
	return blocked ? blocked_output(t) : tensor_new_plain(t);
}
