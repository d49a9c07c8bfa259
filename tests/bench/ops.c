/* Speed of single ops of the oneDNN column on the shapes of ResNet-20 and ResNet-18.
 *
 * usage: ops [threads] [batch] [part of a name]
 * Per op and shape: calls, milliseconds (the quickest call), GFLOP/s of convolutions (counted as
 * direct ones, so that Winograd exceeds the machine), GB/s of the others (each tensor moved once).
 * Time is processor time over threads, so that a busy machine disturbs less. */
#include "core/base/text.h"
#include "core/tensor/onednn/onednn.h"
#include "core/tensor/op.h"
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct config {
	int64_t c, px, o;
	int window, stride;
};
static const struct config configs[] = {
        {3, 32, 16, 3, 1},   {16, 32, 16, 3, 1},   {16, 32, 32, 3, 2},   {32, 16, 32, 3, 1},
        {32, 16, 64, 3, 2},  {64, 8, 64, 3, 1},    {64, 32, 64, 3, 1},   {64, 32, 128, 3, 2},
        {64, 32, 128, 1, 2}, {128, 16, 128, 3, 1}, {128, 16, 256, 3, 2}, {256, 8, 256, 3, 1},
        {256, 8, 512, 3, 2}, {512, 4, 512, 3, 1},
};
enum { CONFIGS = sizeof configs / sizeof configs[0], CALLS_LEAST = 5 };
static const double SPEND_S = 0.15;

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- inputs of one config, and what can be done with them ---- */
struct lab {
	struct tape tape;
	const struct config *c;
	struct tensor *x, *other, *g, *w; /* (N,C,H,W) twice, (N,O,H,W), weights */
	struct tensor *gamma, *variance;  /* (C) */
};

static struct tensor *put(struct lab *lab, struct shape s, bool blocked)
{
	struct tensor *x = tensor_new(F32, s), *leaf;
	float *v = tensor_write(x);

	for (int64_t i = 0, n = shape_count(s); i < n; i++)
		v[i] = (float)(i * 7919 % 1000) / 1000 - 0.3f;
	if (blocked)
		tensor_blocked(x, onednn_block());
	leaf = tape_leaf(&lab->tape, x);
	tensor_free(x);
	return leaf;
}

static void lab_init(struct lab *lab, const struct config *c, int64_t batch)
{
	int64_t out = (c->px - 1) / c->stride + 1;
	bool blocked = c->c >= onednn_block();

	*lab = (struct lab){.c = c};
	tape_init(&lab->tape, &backend_onednn);
	lab->x = put(lab, SHAPE(batch, c->c, c->px, c->px), blocked);
	lab->other = put(lab, SHAPE(batch, c->c, c->px, c->px), blocked);
	lab->g = put(lab, SHAPE(batch, c->o, out, out), true);
	lab->w = put(lab, SHAPE(c->o, c->c, c->window, c->window), false);
	lab->gamma = put(lab, SHAPE(c->c), false);
	lab->variance = op_shift(&lab->tape, lab->gamma, 1);
	lab->tape.recording = false;
}

#define RUN(name) static void run_##name(struct lab *l)
#define GEOMETRY  l->c->stride, l->c->window / 2, 1
RUN(conv)
{
	op_conv(&l->tape, l->x, l->w, GEOMETRY);
}
RUN(conv_grad_input)
{
	op_conv_grad_input(&l->tape, l->g, l->w, l->x->shape, GEOMETRY);
}
RUN(conv_grad_weight)
{
	op_conv_grad_weight(&l->tape, l->x, l->g, l->w->shape, GEOMETRY);
}
RUN(batch_norm)
{
	op_batch_norm(&l->tape, l->x, l->gamma, l->gamma, NULL, 1e-5, true, NULL, NULL);
}
RUN(batch_norm_grad)
{
	struct tensor *d[4];
	op_batch_norm_grad(&l->tape, l->other, l->x, l->gamma, l->gamma, l->variance, l->other,
	                   1e-5, 7, d);
}
RUN(add)
{
	op_add(&l->tape, l->x, l->other);
}
RUN(add_relu)
{
	op_add_relu(&l->tape, l->x, l->other);
}
RUN(relu_grad)
{
	op_relu_grad(&l->tape, l->x, l->other);
}

static const struct row {
	const char *name;
	void (*run)(struct lab *l);
	bool conv;
	int tensors; /* moved, of the size of x */
} rows[] = {
        {"conv", run_conv, true, 0},
        {"conv_grad_input", run_conv_grad_input, true, 0},
        {"conv_grad_weight", run_conv_grad_weight, true, 0},
        {"batch_norm", run_batch_norm, false, 2},
        {"batch_norm_grad", run_batch_norm_grad, false, 4},
        {"add", run_add, false, 3},
        {"add_relu", run_add_relu, false, 3},
        {"relu_grad", run_relu_grad, false, 3},
};

static void measure(const struct row *row, struct lab *l, int threads)
{
	const struct config *c = l->c;
	double best = 1e9, start = cpu_s();
	int calls = 0;

	for (; calls < CALLS_LEAST || cpu_s() - start < SPEND_S * threads; calls++) {
		int mark = tape_mark(&l->tape);
		double begin = cpu_s();
		row->run(l);
		double took = (cpu_s() - begin) / threads;
		best = took < best ? took : best;
		tape_rewind(&l->tape, mark, NULL, 0);
	}
	double flop = 2.0 * (double)shape_count(l->g->shape) * (double)c->c * c->window * c->window;
	double bytes = 4.0 * row->tensors * (double)shape_count(l->x->shape);
	printf("%-17s %4d -> %3d  %2d px  %dx%d /%d  %4d calls %9.3f ms %7.1f %s\n", row->name,
	       (int)c->c, (int)c->o, (int)c->px, c->window, c->window, c->stride, calls, 1e3 * best,
	       1e-9 * (row->conv ? flop : bytes) / best, row->conv ? "GFLOP/s" : "GB/s");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 1, batch = argc > 2 ? atoi(argv[2]) : 128;

	omp_set_num_threads(threads);
	printf("%s\n", onednn_numerics_class(threads));
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		for (int k = 0; k < CONFIGS; k++) {
			struct lab lab;
			bool blocked = configs[k].c >= onednn_block();
			if ((argc > 3 && !strstr(rows[i].name, argv[3])) ||
			    (!blocked && !rows[i].conv))
				continue;
			lab_init(&lab, &configs[k], batch);
			measure(&rows[i], &lab, threads);
			tape_release(&lab.tape);
		}
	storage_trim();
	return 0;
}
