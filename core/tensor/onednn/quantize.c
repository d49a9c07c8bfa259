/* Fake quantization of weights: the reference's formulas and bits, vectorised. */
#include "core/tensor/onednn/column.h"
#include <math.h>

/* Each row of dimension 0 has its scale, or all are one row. */
struct rows {
	int64_t count, length;
};

static struct rows rows_of(const struct tensor *w, const struct tensor *s)
{
	int64_t count = s->shape.d[0];

	return (struct rows){count, shape_count(w->shape) / count};
}

static float top_code(const struct node *n)
{
	return (float)((1 << (n->attr.bits - 1)) - 1);
}

CLONES static float row_most(const float *x, int64_t length)
{
	float most = 0;

#pragma omp simd reduction(max : most)
	for (int64_t i = 0; i < length; i++) {
		float size = x[i] < 0 ? -x[i] : x[i];
		most = size > most ? size : most;
	}
	return most;
}

CLONES static void row_quantize(float *restrict y, const float *w, float s, float top,
                                int64_t length)
{
	for (int64_t i = 0; i < length; i++) {
		float code = nearbyintf(w[i] / s);
		code = code > top ? top : code;
		code = code < -top ? -top : code;
		y[i] = s * code;
	}
}

CLONES static void row_in_range(float *restrict y, const float *w, float s, float top,
                                int64_t length)
{
	for (int64_t i = 0; i < length; i++)
		y[i] = fabsf(nearbyintf(w[i] / s)) <= top ? 1 : 0;
}

CLONES static void row_step_slope(float *restrict y, const float *w, float s, float top,
                                  int64_t length)
{
	for (int64_t i = 0; i < length; i++) {
		float place = w[i] / s, code = nearbyintf(place), residual = code - place;
		residual = code > top ? top : residual;
		y[i] = code < -top ? -top : residual;
	}
}

bool onednn_abs_max(struct tape *t, struct node *n)
{
	struct rows r = rows_of(n->in[0], n->out[0]);
	const float *x = tensor_f32(n->in[0]);
	float *y = tensor_new_plain(n->out[0]);

#pragma omp parallel for schedule(static) if (r.count * r.length > SMALL)
	for (int64_t i = 0; i < r.count; i++)
		y[i] = row_most(x + i * r.length, r.length);
	return true;
}

typedef void row_fn(float *restrict y, const float *w, float s, float top, int64_t length);

/* A row with s = 0 has the single code 0, which only w = 0 does not exceed. */
static bool by_row(struct node *n, row_fn *f, float at_zero)
{
	struct rows r = rows_of(n->in[0], n->in[1]);
	const float *w = tensor_f32(n->in[0]), *s = tensor_f32(n->in[1]);
	float *y = tensor_new_plain(n->out[0]), top = top_code(n);

#pragma omp parallel for schedule(static) if (r.count * r.length > SMALL)
	for (int64_t i = 0; i < r.count; i++) {
		int64_t at = i * r.length;
		if (s[i] > 0)
			f(y + at, w + at, s[i], top, r.length);
		else
			for (int64_t k = at; k < at + r.length; k++)
				y[k] = w[k] == 0 ? at_zero : 0;
	}
	return true;
}

bool onednn_fake_quantize(struct tape *t, struct node *n)
{
	return by_row(n, row_quantize, 0);
}

bool onednn_in_range(struct tape *t, struct node *n)
{
	return by_row(n, row_in_range, 1);
}

bool onednn_step_slope(struct tape *t, struct node *n)
{
	return by_row(n, row_step_slope, 0);
}
