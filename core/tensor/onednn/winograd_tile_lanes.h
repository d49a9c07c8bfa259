/* The transforms of winograd_tile.h for tiles of LANES lanes: all of winograd_tile_8.c and
 * winograd_tile_16.c but that number. */
#include "core/tensor/onednn/vector.h"
#include "core/tensor/onednn/winograd.h"
#include "core/tensor/onednn/winograd_tile.h"
#include <string.h>

enum { IN = WINOGRAD_INPUT, OUT = WINOGRAD_TILE, WINDOW = 3 };

/* ---- in one dimension: points 0, ±P, ±Q and infinity ----
 * With 5/8 and 3/2 the result is five times more exact than with 1 and 2 (Barabasz et al., 2020),
 * and all coefficients but the weights' are exact in binary. */
#define P            0.625f
#define Q            1.5f
#define P2           (P * P)
#define Q2           (Q * Q)
#define SET(x)       OP(set1_ps)(x)
#define ADD(a, b)    OP(add_ps)(a, b)
#define SUB(a, b)    OP(sub_ps)(a, b)
#define MUL(x, a)    OP(mul_ps)(SET(x), a)
#define FMA(x, a, b) OP(fmadd_ps)(SET(x), a, b) /* x a + b */

/* B': coefficients of x (x^2 - P^2) (x^2 - Q^2) divided by each of its factors, and by none. */
VECTOR_INLINE void input_1d(VECTOR v[IN], const VECTOR d[IN])
{
	VECTOR even_p = FMA(-Q2, d[2], d[4]), odd_p = FMA(-Q2, d[1], d[3]);
	VECTOR even_q = FMA(-P2, d[2], d[4]), odd_q = FMA(-P2, d[1], d[3]);

	v[0] = FMA(P2 * Q2, d[0], FMA(-(P2 + Q2), d[2], d[4]));
	v[1] = FMA(P, odd_p, even_p);
	v[2] = FMA(-P, odd_p, even_p);
	v[3] = FMA(Q, odd_q, even_q);
	v[4] = FMA(-Q, odd_q, even_q);
	v[5] = FMA(P2 * Q2, d[1], FMA(-(P2 + Q2), d[3], d[5]));
}

/* A': powers 0 to 3 of the points. */
VECTOR_INLINE void output_1d(VECTOR y[OUT], const VECTOR m[IN])
{
	VECTOR even_p = ADD(m[1], m[2]), odd_p = SUB(m[1], m[2]);
	VECTOR even_q = ADD(m[3], m[4]), odd_q = SUB(m[3], m[4]);

	y[0] = ADD(m[0], ADD(even_p, even_q));
	y[1] = FMA(P, odd_p, MUL(Q, odd_q));
	y[2] = FMA(P2, even_p, MUL(Q2, even_q));
	y[3] = FMA(P2 * P, odd_p, FMA(Q2 * Q, odd_q, m[5]));
}

VECTOR_INLINE void output_adjoint_1d(VECTOR m[IN], const VECTOR y[OUT])
{
	VECTOR even_p = FMA(P2, y[2], y[0]), odd_p = FMA(P2, y[3], y[1]);
	VECTOR even_q = FMA(Q2, y[2], y[0]), odd_q = FMA(Q2, y[3], y[1]);

	m[0] = y[0];
	m[1] = FMA(P, odd_p, even_p);
	m[2] = FMA(-P, odd_p, even_p);
	m[3] = FMA(Q, odd_q, even_q);
	m[4] = FMA(-Q, odd_q, even_q);
	m[5] = y[3];
}

/* G: powers 0 to 2 of each point, divided by the product of its differences from the others. */
#define AT_0 (1 / (P2 * Q2))
#define AT_P (1 / (2 * P2 * (P2 - Q2)))
#define AT_Q (1 / (2 * Q2 * (Q2 - P2)))

VECTOR_INLINE void weight_1d(VECTOR u[IN], const VECTOR g[WINDOW])
{
	VECTOR even_p = FMA(P2, g[2], g[0]), even_q = FMA(Q2, g[2], g[0]);

	u[0] = MUL(AT_0, g[0]);
	u[1] = MUL(AT_P, FMA(P, g[1], even_p));
	u[2] = MUL(AT_P, FMA(-P, g[1], even_p));
	u[3] = MUL(AT_Q, FMA(Q, g[1], even_q));
	u[4] = MUL(AT_Q, FMA(-Q, g[1], even_q));
	u[5] = g[2];
}

VECTOR_INLINE void weight_adjoint_1d(VECTOR g[WINDOW], const VECTOR u[IN])
{
	VECTOR even_p = MUL(AT_P, ADD(u[1], u[2])), odd_p = MUL(AT_P, SUB(u[1], u[2]));
	VECTOR even_q = MUL(AT_Q, ADD(u[3], u[4])), odd_q = MUL(AT_Q, SUB(u[3], u[4]));

	g[0] = FMA(AT_0, u[0], ADD(even_p, even_q));
	g[1] = FMA(P, odd_p, MUL(Q, odd_q));
	g[2] = FMA(P2, even_p, FMA(Q2, even_q, u[5]));
}

/* ---- in two: columns first, then rows ---- */
#define TRANSFORM(name, one, from, to)                                                          \
	VECTOR_INLINE void name(float *out, int64_t out_row, int64_t out_step, const float *in, \
	                        int64_t in_row, int64_t in_step)                                \
	{                                                                                       \
		VECTOR half[to][from], d[from], r[to];                                          \
		for (int x = 0; x < from; x++) {                                                \
			for (int y = 0; y < from; y++)                                          \
				d[y] = OP(load_ps)(in + y * in_row + x * in_step);              \
			one(r, d);                                                              \
			for (int y = 0; y < to; y++)                                            \
				half[y][x] = r[y];                                              \
		}                                                                               \
		for (int y = 0; y < to; y++) {                                                  \
			one(r, half[y]);                                                        \
			for (int x = 0; x < to; x++)                                            \
				OP(store_ps)(out + y * out_row + x * out_step, r[x]);           \
		}                                                                               \
	}
TRANSFORM(output_2d, output_1d, IN, OUT)
TRANSFORM(output_adjoint_2d, output_adjoint_1d, OUT, IN)
TRANSFORM(weight_2d, weight_1d, WINDOW, IN)
TRANSFORM(weight_adjoint_2d, weight_adjoint_1d, IN, WINDOW)
#undef TRANSFORM

static bool is_inside(struct tile_plane s, int64_t y, int64_t x, int size)
{
	return y >= 0 && x >= 0 && y + size <= s.height && x + size <= s.width;
}

/* Copies size x size pixels from (y, x) into a buffer: zero outside the plane. */
VECTOR_INLINE void gather(float *to, const float *plane, struct tile_plane s, int64_t y, int64_t x,
                          int size)
{
	for (int i = 0; i < size; i++)
		for (int j = 0; j < size; j++, to += LANES) {
			bool in = y + i >= 0 && y + i < s.height && x + j >= 0 && x + j < s.width;
			OP(store_ps)
			(to, in ? OP(load_ps)(plane + ((y + i) * s.width + x + j) * LANES)
			        : OP(setzero_ps)());
		}
}

/* Neighbours share two columns of pixels, so a strip of tiles does its columns once, then its rows.
 */
WITH_VECTORS static void input_strip(float *v, int64_t step, int64_t next, const float *plane,
                                     struct tile_plane s, int64_t y, int64_t x, int64_t tiles)
{
	static const float zero[LANES] __attribute__((aligned(64)));
	VECTOR half[IN][TILE_STRIP * OUT + IN - OUT], d[IN], r[IN];
	const float *row[IN];
	int64_t columns = tiles * OUT + IN - OUT, pixel[IN];

	for (int i = 0; i < IN; i++) {
		bool inside = y + i >= 0 && y + i < s.height;
		row[i] = inside ? plane + (y + i) * s.width * LANES : zero;
		pixel[i] = inside ? LANES : 0;
	}
	for (int64_t k = 0; k < columns; k++) {
		bool inside = x + k >= 0 && x + k < s.width;
		for (int i = 0; i < IN; i++)
			d[i] = OP(load_ps)(inside ? row[i] + (x + k) * pixel[i] : zero);
		input_1d(r, d);
		for (int i = 0; i < IN; i++)
			half[i][k] = r[i];
	}
	for (int64_t t = 0; t < tiles; t++, v += next) {
		float *to = v;
#pragma GCC unroll 1 /* 36 addresses would not fit the registers */
		for (int i = 0; i < IN; i++, to += IN * step) {
			input_1d(r, &half[i][t * OUT]);
			for (int k = 0; k < IN; k++)
				OP(store_ps)(to + k * step, r[k]);
		}
	}
}

WITH_VECTORS static void output(float *plane, struct tile_plane s, int64_t y, int64_t x,
                                const float *m, int64_t step)
{
	float edge[OUT * OUT * LANES] __attribute__((aligned(64)));

	if (is_inside(s, y, x, OUT)) {
		output_2d(plane + (y * s.width + x) * LANES, s.width * LANES, LANES, m, IN * step,
		          step);
		return;
	}
	output_2d(edge, OUT * LANES, LANES, m, IN * step, step);
	int64_t width = s.width - x < OUT ? s.width - x : OUT;
	for (int64_t i = 0; i < OUT && y + i < s.height; i++)
		memcpy(plane + ((y + i) * s.width + x) * LANES, edge + i * OUT * LANES,
		       (size_t)(width * LANES) * sizeof(float));
}

WITH_VECTORS static void output_adjoint(float *m, int64_t step, const float *plane,
                                        struct tile_plane s, int64_t y, int64_t x)
{
	float edge[OUT * OUT * LANES] __attribute__((aligned(64)));
	const float *from = plane + (y * s.width + x) * LANES;
	int64_t row = s.width * LANES;

	if (!is_inside(s, y, x, OUT)) {
		gather(edge, plane, s, y, x, OUT);
		from = edge;
		row = OUT * LANES;
	}
	output_adjoint_2d(m, IN * step, step, from, row, LANES);
}

WITH_VECTORS static void weight(float *u, int64_t step, const float *g, int64_t next)
{
	weight_2d(u, IN * step, step, g, WINDOW * next, next);
}

WITH_VECTORS static void weight_adjoint(float *g, int64_t next, const float *u, int64_t step)
{
	weight_adjoint_2d(g, WINDOW * next, next, u, IN * step, step);
}

const struct tile_transforms JOIN(tile_transforms_, LANES) = {input_strip, output, output_adjoint,
                                                              weight, weight_adjoint};
