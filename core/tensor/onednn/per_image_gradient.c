/* Products of the weight gradients of single images, for convolutions: each image's gradient is
 * made in pieces, multiplied, and forgotten. */
#include "core/base/text.h"
#include "core/tensor/onednn/gemm.h"
#include "core/tensor/onednn/per_image_conv.h"
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* Prepared images that stay in a second-level cache; or as much as the sums over them, which each
 * such group of images passes over. */
enum { GROUP_BYTES = 512 << 10 };

/* One use: where its prepared images are. */
struct prepared {
	const float *x, *g[PER_IMAGE_LOSSES]; /* blocked, all images */
	float *to_x, *to_g[PER_IMAGE_LOSSES]; /* those of a group */
};

struct job {
	const struct gradient_way *way;
	struct gradient_plan *plan; /* (uses) */
	struct prepared *use;
	int uses, losses, products;
	int64_t images, group;
	struct storage *storage, *sums;
	double *product; /* (pieces, images, products) */
	float *diagonal; /* (pieces, products, size); null: not wanted */
};

static struct gradient_plan plan_of(const struct per_image_use *use, struct shape weight)
{
	return (struct gradient_plan){.in = weight.d[1],
	                              .out = weight.d[0],
	                              .window = {weight.d[2], weight.d[3]},
	                              .stride = use->stride,
	                              .pad = use->pad,
	                              .x = layout_of(use->x->shape),
	                              .g = layout_of(use->g[0]->shape)};
}

/* The first way that fits all uses. */
static void job_plan(struct job *j, const struct per_image_use *use, struct shape weight)
{
	static const struct gradient_way *const ways[] = {&gradient_winograd, &gradient_direct};
	int fit = 0;

	j->plan = xcalloc((size_t)j->uses, sizeof *j->plan);
	for (size_t w = 0; fit < j->uses; w++) {
		j->way = ways[w];
		for (fit = 0; fit < j->uses; fit++) {
			j->plan[fit] = plan_of(&use[fit], weight);
			if (!j->way->fits(&j->plan[fit]))
				break;
		}
	}
}

/* Sums over the images, and how many images are prepared together. */
static void job_sums(struct job *j, int64_t floats_of_image, bool diagonal)
{
	size_t sums = (size_t)(j->products * j->plan->pieces * j->plan->size) * sizeof(float);
	size_t bytes = diagonal && sums > GROUP_BYTES ? sums : GROUP_BYTES;

	j->group = (int64_t)(bytes / ((size_t)floats_of_image * sizeof(float)));
	j->group = j->group < 1 ? 1 : j->group < j->images ? j->group : j->images;
	j->product =
	        xcalloc((size_t)(j->plan->pieces * j->images * j->products), sizeof *j->product);
	if (!diagonal)
		return;
	j->sums = storage_new(sums);
	j->diagonal = j->sums->data;
	memset(j->diagonal, 0, sums);
}

static void job_init(struct job *j, const struct per_image_use *use, bool diagonal)
{
	int64_t each = 0;

	for (int u = 0; u < j->uses; u++)
		each += gemm_whole(j->plan[u].x_floats) +
		        j->losses * gemm_whole(j->plan[u].g_floats);
	job_sums(j, each, diagonal);
	j->storage = storage_new((size_t)(each * j->group) * sizeof(float));
	float *to = j->storage->data;
	for (int u = 0; u < j->uses; u++) {
		struct prepared *p = &j->use[u];
		p->x = blocked_input(use[u].x);
		p->to_x = to;
		to += gemm_whole(j->plan[u].x_floats) * j->group;
		for (int k = 0; k < j->losses; k++) {
			p->g[k] = blocked_input(use[u].g[k]);
			p->to_g[k] = to;
			to += gemm_whole(j->plan[u].g_floats) * j->group;
		}
	}
}

static void job_release(struct job *j)
{
	storage_free(j->storage);
	storage_free(j->sums);
	free(j->plan);
	free(j->use);
	free(j->product);
}

static void prepare(const struct job *j, int64_t image, int64_t slot)
{
	for (int u = 0; u < j->uses; u++) {
		const struct gradient_plan *p = &j->plan[u];
		const struct prepared *use = &j->use[u];
		int64_t x = p->x.groups * p->x.pixels * p->x.block;
		int64_t g = p->g.groups * p->g.pixels * p->g.block;
		j->way->prepare_x(p, use->x + image * x,
		                  use->to_x + slot * gemm_whole(p->x_floats));
		for (int k = 0; k < j->losses; k++)
			j->way->prepare_g(p, use->g[k] + image * g,
			                  use->to_g[k] + slot * gemm_whole(p->g_floats));
	}
}

CLONES static void piece_add(float *restrict to, const float *restrict a, const float *restrict b,
                             int64_t n)
{
	for (int64_t i = 0; i < n; i++)
		to[i] += a[i] * b[i];
}

/* One piece of one image's gradients, and their products. */
static void piece_run(const struct job *j, int64_t piece, int64_t image, int64_t slot,
                      float *scratch)
{
	int64_t n = j->plan->size;
	float *c[PER_IMAGE_LOSSES] = {scratch, scratch + n};

	for (int k = 0; k < j->losses; k++)
		for (int u = 0; u < j->uses; u++)
			j->way->make(&j->plan[u], piece,
			             j->use[u].to_x + slot * gemm_whole(j->plan[u].x_floats),
			             j->use[u].to_g[k] + slot * gemm_whole(j->plan[u].g_floats),
			             u > 0, scratch + PER_IMAGE_LOSSES * n, c[k]);
	for (int k = 0; k < j->products; k++) {
		const float *a = c[per_image_of[k][0]], *b = c[per_image_of[k][1]];
		int64_t at = piece * j->images + image;
		j->product[at * j->products + k] = per_image_dot(a, b, n);
		if (j->diagonal)
			piece_add(j->diagonal + (piece * j->products + k) * n, a, b, n);
	}
}

/* Threads prepare images together; then each has some of the pieces, of all images. */
static void job_run(const struct job *j, float *scratch, int64_t each)
{
#pragma omp parallel
	{
		int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
		int64_t begin = j->plan->pieces * thread / threads;
		int64_t end = j->plan->pieces * (thread + 1) / threads;
		for (int64_t first = 0; first < j->images; first += j->group) {
			int64_t count = j->images - first < j->group ? j->images - first : j->group;
#pragma omp for schedule(static)
			for (int64_t i = 0; i < count; i++)
				prepare(j, first + i, i);
			for (int64_t p = begin; p < end; p++)
				for (int64_t i = 0; i < count; i++)
					piece_run(j, p, first + i, i, scratch + thread * each);
#pragma omp barrier
		}
	}
}

/* Sixteen places of a piece to where they belong. */
static void place_add(const struct job *j, int64_t piece, int64_t at,
                      const struct per_image_sums *s)
{
	const struct gradient_plan *p = j->plan;
	int64_t step = p->in * p->window[0] * p->window[1], e = j->way->element(p, piece, at);

	for (int k = 0; k < j->products; k++) {
		const float *from = j->diagonal + (piece * j->products + k) * p->size + at;
		for (int64_t l = 0; l < GEMM_PANEL && e + l * step < p->out * step; l++)
			s->diagonal[k][e + l * step] += (double)from[l];
	}
}

/* Pieces, summed in their order. */
static void job_collect(const struct job *j, const struct per_image_sums *s)
{
	const struct gradient_plan *p = j->plan;

	for (int64_t t = 0; t < p->pieces; t++)
		for (int64_t i = 0; i < j->images * j->products; i++)
			s->product[i / j->products * PER_IMAGE_PRODUCTS + i % j->products] +=
			        j->product[t * j->images * j->products + i];
#pragma omp parallel for schedule(static) if (j->diagonal && p->pieces * p->size > SMALL)
	for (int64_t t = 0; t < (j->diagonal ? p->pieces : 0); t++)
		for (int64_t at = 0; at < p->size; at += GEMM_PANEL)
			place_add(j, t, at, s);
}

void per_image_conv_gradient(const struct per_image_use *use, int uses, struct shape weight,
                             const struct per_image_sums *s)
{
	struct job j = {.use = xcalloc((size_t)uses, sizeof *j.use),
	                .uses = uses,
	                .losses = use->g[1] ? 2 : 1,
	                .products = use->g[1] ? PER_IMAGE_PRODUCTS : 1,
	                .images = use->x->shape.d[0]};

	job_plan(&j, use, weight);
	job_init(&j, use, s->diagonal[PRODUCT_AA]);
	int64_t each = PER_IMAGE_LOSSES * j.plan->size + gemm_whole(j.plan->scratch);
	struct storage *scratch =
	        storage_new((size_t)(each * omp_get_max_threads()) * sizeof(float));
	job_run(&j, scratch->data, each);
	job_collect(&j, s);
	storage_free(scratch);
	job_release(&j);
}
