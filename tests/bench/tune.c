/* Which algorithm convolves fastest on this machine, and the table that says so.
 *
 * usage: tune PLAN.def [threads] [batch] [rounds]   measures, and writes the rows of this
 * processor's block tune --from TIMES PLAN.def                 the same from lines "direction
 * channels direct winograd"
 *
 * Direct and Winograd run in turns; what counts is the median of the ratios.  A class keeps its
 * algorithm unless the other is faster by 5 in 100, so that noise moves nothing.  Rows of other
 * blocks, and all that is not a 3x3 window at stride 1, stay as they are.  The table compiled in is
 * the one that is kept or changed: build first. */
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/tensor/onednn/onednn.h"
#include "core/tensor/onednn/plan.h"
#include "core/tensor/onednn/winograd.h"
#include <assert.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DIRECTIONS = 3, ROUNDS_MOST = 99, CLASSES = 6 };
static int block = 8; /* whose rows are written */
static const double MARGIN = 1.05;

/* The classes: a convolution of so many channels, in and out, or more, up to the next class. */
static const struct class
{
	int64_t channels, px;
} classes[CLASSES] = {{16, 32}, {32, 16}, {64, 32}, {128, 16}, {256, 8}, {512, 4}};
static const char *const direction_name[DIRECTIONS] = {"CONV_FORWARD", "CONV_GRAD_INPUT",
                                                       "CONV_GRAD_WEIGHT"};

/* How many times faster Winograd is; 0: not measured. */
static double gain[DIRECTIONS][CLASSES];

static struct conv_key key_of(int direction, const struct class *c, int batch, int threads)
{
	return (struct conv_key){.direction = direction,
	                         .images = batch,
	                         .channels_in = c->channels,
	                         .channels_out = c->channels,
	                         .groups = 1,
	                         .in = {c->px, c->px},
	                         .out = {c->px, c->px},
	                         .window = {3, 3},
	                         .stride = 1,
	                         .pad = 1,
	                         .threads = threads};
}

/* ---- measuring ---- */
static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double time_of(const struct conv_key *k, enum conv_algorithm algorithm, float *image,
                      float *weight, float *result)
{
	double began = cpu_s();

	plan_run(k, algorithm, image, weight, result);
	return cpu_s() - began;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Of a multiple of 16 floats. */
static float *values(size_t count)
{
	float *v = aligned_alloc(64, count * sizeof *v);

	assert(v);

	for (size_t i = 0; i < count; i++)
		v[i] = (float)(i * 7919 % 1000) / 1000 - 0.3f;
	return v;
}

static double measure(const struct conv_key *k, int rounds)
{
	size_t pixels = (size_t)(k->images * k->channels_in * k->in[0] * k->in[1]);
	float *image = values(pixels), *result = values(pixels);
	float *weight = values((size_t)(k->channels_in * k->channels_out * 9));
	double ratio[ROUNDS_MOST], direct = 0, winograd = 0;

	for (int i = -1; i < rounds; i++) { /* the first makes primitives, and does not count */
		direct = time_of(k, CONV_DIRECT, image, weight, result);
		winograd = time_of(k, CONV_WINOGRAD, image, weight, result);
		if (i >= 0)
			ratio[i] = direct / winograd;
	}
	qsort(ratio, (size_t)rounds, sizeof *ratio, compare);
	printf("%-17s %4d channels %3d px  direct %8.3f ms  winograd %8.3f ms  ratio %.2f "
	       "(%.2f - %.2f)\n",
	       direction_name[k->direction], (int)k->channels_in, (int)k->in[0],
	       1e3 * direct / (double)k->threads, 1e3 * winograd / (double)k->threads,
	       ratio[rounds / 2], ratio[rounds / 4], ratio[rounds - 1 - rounds / 4]);
	fflush(stdout);
	free(image);
	free(result);
	free(weight);
	return ratio[rounds / 2];
}

static void measure_all(int threads, int batch, int rounds)
{
	for (int d = 0; d < DIRECTIONS; d++)
		for (int c = 0; c < CLASSES; c++) {
			struct conv_key k = key_of(d, &classes[c], batch, threads);
			if (winograd_works(&k))
				gain[d][c] = measure(&k, rounds);
		}
}

/* Canned times, for the test of the writer. */
static int read_times(const char *path)
{
	FILE *f = fopen(path, "r");
	double direct, winograd;
	long channels;
	char name[32];

	while (f && fscanf(f, "%31s %ld %lf %lf", name, &channels, &direct, &winograd) == 4)
		for (int d = 0; d < DIRECTIONS; d++)
			for (int c = 0; c < CLASSES; c++)
				if (!strcmp(name, direction_name[d]) &&
				    channels == classes[c].channels)
					gain[d][c] = direct / winograd;
	return f ? fclose(f) : -1;
}

/* ---- the table ---- */
/* A row of the table, as its text has it; false for any other line. */
struct row {
	int block, window, stride, channels;
	char direction[32], algorithm[32];
};

static bool row_read(const char *line, struct row *r)
{
	return sscanf(line, "PLAN(%d, %31[^,], %d, %d, %d, %31[^)])", &r->block, r->direction,
	              &r->window, &r->stride, &r->channels, r->algorithm) == 6;
}

static bool row_fits(const struct row *r, int direction, const struct class *c)
{
	return (!r->block || r->block == block) && (!r->window || r->window == 3) &&
	       (!r->stride || r->stride == 1) && c->channels >= r->channels &&
	       (!strcmp(r->direction, "ANY") || !strcmp(r->direction, direction_name[direction]));
}

/* What the table says now. */
static enum conv_algorithm present(const char *table, int direction, int class)
{
	struct row r;

	for (const char *line = table; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (row_read(line, &r) && row_fits(&r, direction, &classes[class]))
			return strcmp(r.algorithm, "CONV_WINOGRAD") ? CONV_DIRECT : CONV_WINOGRAD;
	return CONV_DIRECT;
}

static enum conv_algorithm choose(const char *table, int direction, int class)
{
	double g = gain[direction][class];

	if (g > MARGIN)
		return CONV_WINOGRAD;
	if (g > 0 && g < 1 / MARGIN)
		return CONV_DIRECT;
	return present(table, direction, class);
}

/* Rows of one direction: from the most channels down, one where the algorithm changes; direct at
 * the end needs none. */
static void write_direction(FILE *out, const char *table, int d, const char *name)
{
	for (int c = CLASSES - 1; c >= 0; c--) {
		enum conv_algorithm a = choose(table, d, c);
		if (c ? choose(table, d, c - 1) != a : a != CONV_DIRECT)
			fprintf(out, "PLAN(%d, %s, 3, 1, %d, %s)\n", block, name,
			        (int)classes[c].channels,
			        a == CONV_WINOGRAD ? "CONV_WINOGRAD" : "CONV_DIRECT");
	}
}

static void write_rows(FILE *out, const char *table)
{
	bool equal = true;

	for (int c = 0; c < CLASSES; c++)
		for (int d = 1; d < DIRECTIONS; d++)
			equal = equal && choose(table, d, c) == choose(table, 0, c);
	for (int d = 0; d < (equal ? 1 : DIRECTIONS); d++)
		write_direction(out, table, d, equal ? "ANY" : direction_name[d]);
}

/* All other lines as they are, our rows where the first of them was. */
static char *rewrite(const char *old)
{
	char *text = NULL;
	size_t bytes;
	struct row r;
	bool written = false;
	FILE *out = open_memstream(&text, &bytes);

	for (const char *line = old; *line;) {
		size_t length = strcspn(line, "\n");
		bool row = row_read(line, &r);
		bool ours = row && r.block == block && r.window == 3 && r.stride == 1;
		if (row && !written)
			write_rows(out, old);
		written = written || row;
		length += line[length] == '\n';
		if (!ours)
			fwrite(line, 1, length, out);
		line += length;
	}
	fclose(out);
	return text;
}

static int plan_write(const char *path, struct error *e)
{
	char *old = file_read(path, NULL, e);

	if (!old)
		return -1;
	char *text = rewrite(old);
	bool changed = strcmp(old, text) != 0;
	int status = changed ? file_write(path, text, strlen(text), e) : 0;
	if (status == 0)
		printf("%s %s\n", path, changed ? "has other rows now" : "stays as it was");
	free(old);
	free(text);
	return status;
}

int main(int argc, char **argv)
{
	struct error e = {0};
	bool canned = argc == 4 && !strcmp(argv[1], "--from");
	const char *plan = canned ? argv[3] : argc > 1 ? argv[1] : NULL;
	int threads = argc > 2 ? atoi(argv[2]) : 1, batch = argc > 3 ? atoi(argv[3]) : 128;
	int rounds = argc > 4 ? atoi(argv[4]) : 15;

	if (!plan || (!canned && (threads < 1 || batch < 1 || rounds < 1 || rounds > ROUNDS_MOST)))
		return fprintf(stderr, "usage: tune PLAN.def [threads] [batch] [rounds]\n"), 2;
	if (canned && read_times(argv[2]))
		return fprintf(stderr, "%s cannot be read\n", argv[2]), 1;
	if (!canned) {
		omp_set_num_threads(threads);
		block = onednn_block();
		printf("%s\n", onednn_numerics_class(threads));
		measure_all(threads, batch, rounds);
	}
	if (plan_write(plan, &e))
		return fprintf(stderr, "%s\n", e.text), 1;
	return 0;
}
