/* Fisher information over training images, and the action that measures it. */
#include "core/train/measure.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/tensor/safetensors.h"
#include "core/train/curvature.h"
#include "core/train/loop.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Images are cut into chunks, each summed by one rank, batch after batch; chunks are added up in
 * their order.  So the sums do not depend on the ranks. */
enum { CHUNKS = 8, BATCH = 32 };

struct measurement {
	struct trainer *t;
	const struct quantization *q; /* null: full precision */
	bool diagonal;
	int64_t images;
	double *total; /* (images, 3) what each adds */
};

static int64_t chunk_begin(const struct measurement *m, int64_t chunk)
{
	return m->images * chunk / CHUNKS;
}

/* Batch `index` of a chunk; nothing when it is beyond its end, or the chunk beyond the last. */
static void add_batch(const struct measurement *m, int64_t chunk, int64_t index,
                      struct fisher_sums *s)
{
	struct trainer *t = m->t;
	int64_t first = chunk_begin(m, chunk) + index * BATCH, end = chunk_begin(m, chunk + 1);
	int64_t n = end - first < BATCH ? end - first : BATCH;
	struct fisher_labels from = {!strcmp(t->spec->fisher_labels, "sampled"),
	                             t->spec->fisher_seed, first};
	struct tensor *images, *labels;

	if (chunk >= CHUNKS || n <= 0)
		return;
	trainer_read(t, t->seen, first, n, &images, &labels);
	fisher_sums_add(s, t->model, m->q, &t->critical, images, labels, &from,
	                m->total + first * FISHER_KINDS);
	tensor_free(images);
	tensor_free(labels);
	t->evaluated += n * t->parallel.ranks;
	t->evaluated = t->evaluated < m->images ? t->evaluated : m->images;
	trainer_tell(t, "fisher");
}

/* The ranks' chunks, in their order. */
static void add_chunks(const struct measurement *m, struct fisher_sums *s,
                       const struct fisher_sums *mine)
{
	const struct parallel *p = &m->t->parallel;
	int64_t count = (int64_t)s->parameters * FISHER_KINDS;
	double images = (double)s->images, more = (double)mine->images;

	parallel_add_in_turn(p, s->sum, mine->sum, count);
	parallel_add_in_turn(p, s->square, mine->square, count);
	parallel_add_in_turn(p, &images, &more, 1);
	s->images = (int64_t)images;
	for (int64_t i = 0; s->diagonal && i < count; i++) {
		struct tensor *w = m->t->model->parameters.item[i / FISHER_KINDS].value;
		parallel_add_in_turn(p, s->diagonal[i], mine->diagonal[i], shape_count(w->shape));
	}
}

/* A chunk of every rank, at the same pace, so that orders reach all. */
static int measure_round(const struct measurement *m, int64_t round, struct fisher_sums *s,
                         struct error *e)
{
	struct trainer *t = m->t;
	int64_t chunk = round * t->parallel.ranks + t->parallel.rank;
	int64_t batches = (m->images / CHUNKS + 1 + BATCH - 1) / BATCH;
	int ended = LOOP_GOES_ON;
	struct fisher_sums mine;

	fisher_sums_init(&mine, t->model, m->diagonal);
	for (int64_t i = 0; i < batches && ended == LOOP_GOES_ON; i++) {
		ended = loop_obey(t, trainer_order(t), e);
		if (ended == LOOP_GOES_ON)
			add_batch(m, chunk, i, &mine);
	}
	if (ended == LOOP_GOES_ON)
		add_chunks(m, s, &mine);
	fisher_sums_release(&mine);
	return ended;
}

/* ---- rows and figures ---- */
/* Mean and standard error of the total over the first n images. */
static void report_total(const struct measurement *m, int64_t n, enum fisher_kind k)
{
	double sum = 0, square = 0, mean;
	char name[METRIC_NAME_BYTES];

	for (int64_t i = 0; i < n; i++)
		sum += m->total[i * FISHER_KINDS + (int)k];
	mean = sum / (double)n;
	for (int64_t i = 0; i < n; i++)
		square += pow(m->total[i * FISHER_KINDS + (int)k] - mean, 2);
	snprintf(name, sizeof name, "%s_error", fisher_kind_name[k]);
	result_row(&m->t->result, fisher_kind_name[k], n, 0, mean);
	if (n > 1)
		result_row(&m->t->result, name, n, 0, sqrt(square / (double)(n - 1) / (double)n));
}

static int kinds_of(const struct trainer *t)
{
	return t->critical.count ? FISHER_KINDS : 1;
}

static void report_convergence(const struct measurement *m)
{
	for (int k = 0; k < kinds_of(m->t); k++) {
		for (int64_t n = 1; n < m->images; n *= 2)
			report_total(m, n, (enum fisher_kind)k);
		report_total(m, m->images, (enum fisher_kind)k);
	}
}

void measure_report(struct trainer *t, const struct fisher_sums *s)
{
	const struct parameter_set *p = &t->model->parameters;
	char name[METRIC_NAME_BYTES];

	for (int k = 0; k < kinds_of(t); k++) {
		double total = 0;
		snprintf(name, sizeof name, "%s_error", fisher_kind_name[k]);
		for (int i = 0; i < p->count; i++) {
			double mean = fisher_mean(s, i, (enum fisher_kind)k);
			total += mean;
			if (!parameter_quantizable(&p->item[i]))
				continue;
			result_layer(&t->result, p->item[i].name, fisher_kind_name[k], mean);
			result_layer(&t->result, p->item[i].name, name,
			             fisher_error(s, i, (enum fisher_kind)k));
		}
		result_figure(&t->result, fisher_kind_name[k], total);
	}
	result_figure(&t->result, "fisher_images", (double)s->images);
}

int measure_fisher(struct trainer *t, const struct quantization *q, bool diagonal,
                   struct fisher_sums *s, struct error *e)
{
	struct measurement m = {.t = t, .q = q, .diagonal = diagonal, .images = t->seen->count};
	int64_t ranks = t->parallel.ranks;
	int ended = LOOP_GOES_ON;

	if (m.images > t->spec->fisher_images)
		m.images = t->spec->fisher_images;
	m.total = xcalloc((size_t)(m.images * FISHER_KINDS), sizeof *m.total);
	t->evaluated = 0;
	t->evaluate_count = m.images;
	fisher_sums_init(s, t->model, diagonal);
	for (int64_t r = 0; r < (CHUNKS + ranks - 1) / ranks && ended == LOOP_GOES_ON; r++)
		ended = measure_round(&m, r, s, e);
	if (ended == LOOP_GOES_ON) {
		parallel_merge(&t->parallel, m.total, m.images * FISHER_KINDS);
		report_convergence(&m);
	} else {
		fisher_sums_release(s);
	}
	free(m.total);
	return ended;
}

/* ---- the action ---- */
static int write_diagonal(struct trainer *t, const struct fisher_sums *s, struct error *e)
{
	const struct parameter_set *p = &t->model->parameters;
	struct safetensors_writer *w = safetensors_writer_new();
	int kinds = kinds_of(t);

	for (int i = 0; i < p->count * FISHER_KINDS; i++) {
		double *v = s->diagonal[i];
		struct shape shape = p->item[i / FISHER_KINDS].value->shape;
		if (i % FISHER_KINDS >= kinds)
			continue;
		char *name = xformat("%s.%s", p->item[i / FISHER_KINDS].name,
		                     fisher_kind_name[i % FISHER_KINDS]);
		for (int64_t k = 0; k < shape_count(shape); k++)
			v[k] /= (double)s->images;
		safetensors_put(w, name, "F64", shape, v);
		free(name);
	}
	char *path = path_join(t->files.folder, "fisher.safetensors");
	int status = safetensors_write(w, path, e);
	safetensors_writer_free(w);
	if (status)
		free(path);
	return status ? -1 : loop_add_artifact(t, "fisher", path, e);
}

enum outcome measure_run(struct trainer *t, struct error *e)
{
	struct fisher_sums s;
	int ended = measure_fisher(t, trainer_quantization(t), t->spec->fisher_diagonal, &s, e),
	    status = 0;

	if (ended != LOOP_GOES_ON)
		return (enum outcome)ended;
	measure_report(t, &s);
	if (t->spec->fisher_diagonal && t->parallel.rank == 0)
		status = write_diagonal(t, &s, e);
	fisher_sums_release(&s);
	if (parallel_outcome(&t->parallel, status, e))
		return OUTCOME_REFUSE;
	ended = curvature_report(t, e);
	return ended == LOOP_GOES_ON ? train_run(t, e) : (enum outcome)ended;
}
