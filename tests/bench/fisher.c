/* What per-image Fisher information costs beside a plain pass, forward and backward, over the same
 * images.
 *
 * usage: fisher [model] [threads] [batch] [rounds]
 * Prints one line per measure: its median ratio to the plain pass that ran just before it. */
#include "core/base/random.h"
#include "core/fisher/sums.h"
#include "core/tensor/onednn/onednn.h"
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CLASSES = 10, SIZE_PX = 32, ROUNDS_MOST = 100 };

static const int critical_index[2] = {3, 5};
static const int critical_place[CLASSES] = {2, 2, 2, 0, 2, 1, 2, 2, 2, 2};
static const struct critical critical = {CLASSES, 2, (int *)critical_index, (int *)critical_place};

struct work {
	struct model *model;
	struct tensor *images, *labels;
	struct fisher_sums traces, diagonals; /* begun once, as for all images of a run */
};

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void plain(struct work *w)
{
	int count = w->model->parameters.count;
	struct tensor **g = calloc((size_t)count, sizeof *g);
	struct tape t;
	struct forward f;

	tape_init(&t, &backend_onednn);
	model_begin(&f, &t, w->model, FORWARD_EVALUATION, NULL);
	struct tensor *z = model_forward(w->model, &f, tape_leaf(&t, w->images));
	struct tensor *loss = op_mean(&t, op_cross_entropy(&t, z, tape_leaf(&t, w->labels)));
	tape_grad(&t, loss, f.raw, count, g, GRAD_CONSUME);
	forward_release(&f);
	tape_release(&t);
	free(g);
}

static void add(struct work *w, struct fisher_sums *s, const struct critical *c)
{
	struct fisher_labels from = {0};

	fisher_sums_add(s, w->model, NULL, c, w->images, w->labels, &from, NULL);
}

static void traces(struct work *w)
{
	add(w, &w->traces, NULL);
}

static void diagonal(struct work *w)
{
	add(w, &w->diagonals, NULL);
}

static void both_traces(struct work *w)
{
	add(w, &w->traces, &critical);
}

static void both_diagonals(struct work *w)
{
	add(w, &w->diagonals, &critical);
}

static const struct measure {
	const char *name;
	void (*run)(struct work *w);
} measures[] = {{"traces", traces},
                {"diagonal", diagonal},
                {"traces, two losses", both_traces},
                {"diagonal, two losses", both_diagonals}};

static int by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double took(void (*run)(struct work *w), struct work *w)
{
	double began = cpu_s();

	run(w);
	return cpu_s() - began;
}

static void work_init(struct work *w, const char *name, int64_t batch)
{
	struct random_stream r = random_stream(1, "bench", 0, 0);
	struct model_config c;
	struct error e = {{0}};

	if (model_config_named(&c, name, CLASSES, NULL, &e)) {
		fprintf(stderr, "%s\n", e.text);
		exit(2);
	}
	w->model = model_new(&c, F32);
	parameter_start(&w->model->parameters, 1);
	fisher_sums_init(&w->traces, w->model, false);
	fisher_sums_init(&w->diagonals, w->model, true);
	w->images = tensor_new(F32, SHAPE(batch, 3, SIZE_PX, SIZE_PX));
	w->labels = tensor_new(I32, SHAPE(batch));
	for (int64_t i = 0; i < shape_count(w->images->shape); i++)
		((float *)tensor_write(w->images))[i] = (float)random_normal(&r, (uint64_t)i);
	for (int64_t i = 0; i < batch; i++)
		((int32_t *)tensor_write(w->labels))[i] = (int32_t)(i % CLASSES);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "resnet20";
	int threads = argc > 2 ? atoi(argv[2]) : 1;
	int64_t batch = argc > 3 ? atoi(argv[3]) : 32;
	int rounds = argc > 4 ? atoi(argv[4]) : 9;
	struct work w;

	omp_set_num_threads(threads);
	work_init(&w, name, batch);
	plain(&w);
	for (size_t m = 0; m < sizeof measures / sizeof *measures; m++) {
		double ratio[ROUNDS_MOST];
		measures[m].run(&w);
		for (int i = 0; i < rounds && i < ROUNDS_MOST; i++) {
			double base = took(plain, &w);
			ratio[i] = took(measures[m].run, &w) / base;
		}
		qsort(ratio, (size_t)rounds, sizeof *ratio, by_size);
		printf("%-9s %d threads, batch %lld, %-21s %.2f plain passes (processor time)\n",
		       name, threads, (long long)batch, measures[m].name, ratio[rounds / 2]);
	}
	fisher_sums_release(&w.traces);
	fisher_sums_release(&w.diagonals);
	model_free(w.model);
	tensor_free(w.images);
	tensor_free(w.labels);
	return 0;
}
