/* Images/s of one training step (forward, backward, SGD): the twin of train_step.py.
 *
 * usage: train_step [model] [threads] [seconds] [batch] [profile] [regularized]
 * Prints one line: model, threads, median images/s, peak resident MB.  `regularized` adds a line
 * for steps with the Fisher trace in the loss, taken in turns with plain ones, and the ratio of
 * their processor times; `profile` adds time by op, of the regularized step if there is one. */
#include "core/base/random.h"
#include "core/base/text.h"
#include "core/fisher/regularizer.h"
#include "core/tensor/onednn/onednn.h"
#include "core/train/optimizer.h"
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CLASSES = 10, SIZE_PX = 32, STEPS_MOST = 10000 };

static double seconds_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double now_s(void)
{
	return seconds_of(CLOCK_MONOTONIC);
}

/* The profile counts processor time, which a busy machine disturbs less. */
static double cpu_s(void)
{
	return seconds_of(CLOCK_PROCESS_CPUTIME_ID) / omp_get_max_threads();
}

/* ---- a column that measures another: the quickest time of each call of a step ---- */
enum { CALLS_MOST = 1 << 14 };
static struct call {
	enum op op;
	double best_s;
} calls[CALLS_MOST];
static int call_count;

static void call_took(enum op op, double took_s)
{
	if (call_count == CALLS_MOST)
		return;
	struct call *c = &calls[call_count++];
	c->best_s = c->best_s > 0 && c->best_s < took_s ? c->best_s : took_s;
	c->op = op;
}

static bool timed(struct tape *t, struct node *n)
{
	double start = cpu_s();
	const struct backend *b = &backend_onednn;

	for (; b; b = b->next) {
		if (!b->kernel[n->op])
			continue;
		for (int i = 0; i < n->in_count && !b->takes_blocked[n->op]; i++)
			tensor_plain(n->in[i]);
		if (b->kernel[n->op](t, n))
			break;
	}
	call_took(n->op, cpu_s() - start);
	return true;
}

static const struct backend *timing_backend(void)
{
	static struct backend b = {.name = "timing"};

	for (int i = 0; i < OP_COUNT; i++) {
		b.kernel[i] = timed;
		b.takes_blocked[i] = true;
	}
	return &b;
}

static void print_profile(void)
{
	double all = 0;

	for (int op = 0; op < OP_COUNT; op++) {
		double sum = 0;
		int count = 0;
		for (int i = 0; i < call_count; i++)
			if ((int)calls[i].op == op) {
				sum += calls[i].best_s;
				count++;
			}
		all += sum;
		if (count)
			printf("  %-18s %3d calls %9.3f ms\n",
			       op == OP_leaf ? "(optimizer)" : op_name[op], count, 1e3 * sum);
	}
	printf("  %-18s           %9.3f ms\n", "all", 1e3 * all);
}

/* ---- one step ---- */
struct bench {
	struct model *model;
	struct optimizer optimizer;
	struct tensor *image, *label;
	const struct backend *backend;
};

static double step(struct bench *b, double lambda)
{
	struct tape tape;
	struct forward f;
	int count = b->model->parameters.count;
	struct tensor **gradient = xcalloc((size_t)count, sizeof(struct tensor *));

	call_count = 0;
	tape_init(&tape, b->backend);
	model_begin(&f, &tape, b->model, FORWARD_TRAINING, NULL);
	struct tensor *logits = model_forward(b->model, &f, tape_leaf(&tape, b->image));
	struct tensor *each = op_cross_entropy(&tape, logits, tape_leaf(&tape, b->label));
	struct tensor *loss = op_mean(&tape, each);
	double value = tensor_at(loss, 0);
	loss_gradient(&f, (struct losses){loss, loss}, lambda, gradient, NULL);
	double start = cpu_s();
	optimizer_step(&b->optimizer, gradient, 0.01);
	call_took(OP_leaf, cpu_s() - start); /* the optimizer, in the profile */
	forward_release(&f);
	tape_release(&tape);
	free(gradient);
	return value;
}

static void bench_init(struct bench *b, const char *name, int batch, bool profile)
{
	struct model_config c;
	struct error e = {{0}};
	struct optimizer_settings s = optimizer_defaults;
	struct random_stream r = random_stream(1, "bench", 0, 0);

	if (model_config_named(&c, name, CLASSES, NULL, &e)) {
		fprintf(stderr, "%s\n", e.text);
		exit(2);
	}
	b->model = model_new(&c, F32);
	parameter_start(&b->model->parameters, 1);
	s.momentum = 0.9;
	s.weight_decay = 1e-4;
	if (optimizer_init(&b->optimizer, &s, &b->model->parameters, &e))
		exit(2);
	b->image = tensor_new(F32, SHAPE(batch, 3, SIZE_PX, SIZE_PX));
	b->label = tensor_new(I32, SHAPE(batch));
	float *pixel = tensor_write(b->image);
	int32_t *label = tensor_write(b->label);
	for (int64_t i = 0, n = shape_count(b->image->shape); i < n; i++)
		pixel[i] = (float)random_normal(&r, (uint64_t)i);
	for (int i = 0; i < batch; i++)
		label[i] = (int32_t)random_below(&r, (uint64_t)i, CLASSES);
	b->backend = profile ? timing_backend() : &backend_onednn;
}

static void bench_release(struct bench *b)
{
	optimizer_release(&b->optimizer);
	model_free(b->model);
	tensor_free(b->image);
	tensor_free(b->label);
	storage_trim();
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static long peak_mb(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[200];
	long kb = 0;

	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, "VmHWM:", 6))
			kb = strtol(line + 6, NULL, 10);
	if (f)
		fclose(f);
	return kb / 1024;
}

/* ---- what is measured ---- */
struct timing {
	double lambda, first, loss;
	double wall_s[STEPS_MOST], cpu_s[STEPS_MOST];
	int steps;
};

static void time_step(struct bench *b, struct timing *t)
{
	double wall = now_s(), cpu = cpu_s();

	assert(t->steps < STEPS_MOST);
	t->loss = step(b, t->lambda);
	t->first = t->steps ? t->first : t->loss;
	t->cpu_s[t->steps] = cpu_s() - cpu;
	t->wall_s[t->steps++] = now_s() - wall;
}

/* The first step, which makes what the others find, does not count. */
static double median(const double *took, int steps)
{
	static double sorted[STEPS_MOST];

	memcpy(sorted, took + 1, (size_t)(steps - 1) * sizeof *took);
	qsort(sorted, (size_t)(steps - 1), sizeof *sorted, compare);
	return sorted[(steps - 1) / 2];
}

static bool goes_on(const struct timing *t, double begin, double seconds)
{
	return t->steps < STEPS_MOST && (t->steps < 4 || now_s() - begin < seconds);
}

static void time_plain(struct bench *b, struct timing *t, double seconds)
{
	double begin = now_s();

	while (goes_on(t, begin, seconds))
		time_step(b, t);
}

static void time_in_turns(struct bench *b, struct timing *plain, struct timing *other,
                          double seconds)
{
	double begin = now_s();

	plain->steps = 0;
	while (goes_on(other, begin, seconds)) {
		time_step(b, plain);
		time_step(b, other);
	}
}

static double ratio(const struct timing *a, const struct timing *b)
{
	static double pair[STEPS_MOST];

	for (int i = 0; i < a->steps; i++)
		pair[i] = a->cpu_s[i] / b->cpu_s[i];
	return median(pair, a->steps);
}

static bool is_asked(int argc, char **argv, const char *word)
{
	for (int i = 5; i < argc; i++)
		if (!strcmp(argv[i], word))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "resnet20";
	int threads = argc > 2 ? atoi(argv[2]) : 1, batch = argc > 4 ? atoi(argv[4]) : 128;
	double seconds = argc > 3 ? atof(argv[3]) : 10;
	bool profile = is_asked(argc, argv, "profile");
	static struct timing plain, regularized = {.lambda = 1e-4};
	struct bench b;

	omp_set_num_threads(threads);
	bench_init(&b, name, batch, profile);
	int64_t reorders = tensor_reorders();
	time_plain(&b, &plain, seconds);
	printf("%s trawl threads %d images/s %.1f peak_mb %ld (in use %zu MB, loss %.4f -> %.4f, "
	       "%.1f reorders/step)\n",
	       name, threads, batch / median(plain.wall_s, plain.steps), peak_mb(),
	       storage_bytes_peak() >> 20, plain.first, plain.loss,
	       (double)(tensor_reorders() - reorders) / plain.steps);
	if (is_asked(argc, argv, "regularized")) {
		memset(calls, 0, sizeof calls);
		time_in_turns(&b, &plain, &regularized, seconds);
		printf("%s regularized images/s %.1f peak_mb %ld (in use %zu MB), %.2f plain "
		       "steps\n",
		       name, batch / median(regularized.wall_s, regularized.steps), peak_mb(),
		       storage_bytes_peak() >> 20, ratio(&regularized, &plain));
	}
	if (profile)
		print_profile();
	bench_release(&b);
	return 0;
}
