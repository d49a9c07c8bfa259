/* Golden classifier cases: forward, gradients, quantization, Fisher traces, and the regularizer. */
#include "core/base/text.h"
#include "core/fisher/regularizer.h"
#include "core/fisher/trace.h"
#include "core/models/cost.h"
#include "tests/goldens/classifier_model.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 8 }; /* elements of each gradient that a case holds */

struct run {
	struct golden *g;
	struct model *model;
	struct tensor *images, *labels; // (N, C, H, W), (N)
	struct quantization quantization;
	bool quantized; /* the case has a quantizer */
	int64_t seed;
};

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* The sorted distinct values of floor(u numel), u the first 8 of "<seed>:index:<name>". */
static int sample(int64_t seed, const char *name, int64_t numel, int64_t index[SAMPLES])
{
	char *key = xformat("index:%s", name);
	struct stream s = stream_named(seed, key);
	int count = 0;

	free(key);
	for (int i = 0; i < SAMPLES; i++)
		index[i] = (int64_t)(stream_next(&s) * (double)numel);
	qsort(index, SAMPLES, sizeof(*index), by_value);
	for (int i = 0; i < SAMPLES; i++)
		if (i == 0 || index[i] != index[count - 1])
			index[count++] = index[i];
	return count;
}

static double norm(struct tensor *t)
{
	double sum = 0;

	for (int64_t i = 0, n = shape_count(t->shape); i < n; i++)
		sum += tensor_at(t, i) * tensor_at(t, i);
	return sqrt(sum);
}

/* <kind>_norm/<parameter> and <kind>_at/<parameter> of every gradient. */
static void check_gradients(struct run *r, const char *kind, struct tensor *const gradient[])
{
	char *norms = xformat("%s_norm", kind), *samples = xformat("%s_at", kind);

	for (int p = 0; p < r->model->parameters.count; p++) {
		const char *name = r->model->parameters.item[p].name;
		int64_t index[SAMPLES];
		double value[SAMPLES], length;

		if (!gradient[p])
			continue;
		int count = sample(r->seed, name, shape_count(gradient[p]->shape), index);
		for (int i = 0; i < count; i++)
			value[i] = tensor_at(gradient[p], index[i]);
		length = norm(gradient[p]);
		golden_check(r->g, norms, name, &length, 1);
		golden_check(r->g, samples, name, value, count);
	}
	free(norms);
	free(samples);
}

/* A pass through the model: its tape, logits and loss. */
struct pass {
	struct tape tape;
	struct forward forward;
	struct tensor *logits, *loss;
	struct tensor **gradient; /* room for one per parameter */
};

static void pass_init(struct pass *p, struct run *r, enum forward_mode mode,
                      const struct quantization *q)
{
	struct tape *t = &p->tape;

	tape_init(t, r->g->precision->backend);
	t->recording = true;
	p->gradient = xcalloc((size_t)r->model->parameters.count, sizeof(*p->gradient));
	model_begin(&p->forward, t, r->model, mode, q);
	p->logits = model_forward(r->model, &p->forward, tape_leaf(t, r->images));
	p->loss = op_mean(t, op_cross_entropy(t, p->logits, tape_leaf(t, r->labels)));
}

static void pass_release(struct pass *p)
{
	forward_release(&p->forward);
	tape_release(&p->tape);
	free(p->gradient);
}

/* Statistics after one training forward, without changing the model. */
static void check_running(struct run *r, const struct forward *f)
{
	const struct parameter_set *b = &r->model->buffers;
	struct tensor **before = xcalloc((size_t)b->count, sizeof(*before));

	for (int i = 0; i < b->count; i++)
		before[i] = tensor_copy(b->item[i].value);
	model_update_statistics(r->model, f->statistics);
	for (int i = 0; i < b->count; i++) {
		golden_check_tensor(r->g, "running", b->item[i].name, b->item[i].value);
		tensor_free(b->item[i].value);
		b->item[i].value = before[i];
	}
	free(before);
}

static void run_training(struct run *r)
{
	struct pass p;

	pass_init(&p, r, FORWARD_TRAINING, NULL);
	golden_check_tensor(r->g, "logits", NULL, p.logits);
	golden_check_tensor(r->g, "loss", NULL, p.loss);
	loss_gradient(&p.forward, (struct losses){p.loss, p.loss}, 0, p.gradient, NULL);
	check_gradients(r, "grad", p.gradient);
	check_running(r, &p.forward);
	pass_release(&p);
}

static void run_evaluation(struct run *r)
{
	struct pass p;

	pass_init(&p, r, FORWARD_EVALUATION, NULL);
	golden_check_tensor(r->g, "logits_eval", NULL, p.logits);
	golden_check_tensor(r->g, "loss_eval", NULL, p.loss);
	pass_release(&p);
}

static void run_quantized(struct run *r)
{
	struct pass p;

	pass_init(&p, r, FORWARD_TRAINING, &r->quantization);
	golden_check_tensor(r->g, "quant_logits", NULL, p.logits);
	golden_check_tensor(r->g, "quant_loss", NULL, p.loss);
	loss_gradient(&p.forward, (struct losses){p.loss, p.loss}, 0, p.gradient, NULL);
	check_gradients(r, "quant_grad", p.gradient);
	pass_release(&p);
}

/* R and dR/dW.  R is a loss like any other: its own gradient is that of R + 0. */
static void run_trace(struct run *r)
{
	struct pass p;
	struct tensor *trace;

	pass_init(&p, r, FORWARD_TRAINING, r->quantized ? &r->quantization : NULL);
	trace = fisher_regularizer(&p.forward, p.loss);
	golden_check_tensor(r->g, "trace_regularizer", NULL, trace);
	loss_gradient(&p.forward, (struct losses){trace, trace}, 0, p.gradient, NULL);
	check_gradients(r, "trace_grad", p.gradient);
	pass_release(&p);
}

static void run_fisher(struct run *r)
{
	const struct parameter_set *p = &r->model->parameters;
	double *trace = xcalloc((size_t)p->count, sizeof(*trace));

	fisher_trace(r->model, r->g->precision->backend, r->images, r->labels, NULL, trace, NULL);
	for (int i = 0; i < p->count; i++)
		golden_check(r->g, "fisher", p->item[i].name, &trace[i], 1);
	free(trace);
}

static void run_perturbation(struct run *r)
{
	const cJSON *bits = cJSON_GetObjectItemCaseSensitive(r->g->manifest, "perturbation_bits");
	int count = cJSON_GetArraySize(bits);
	double *value = xcalloc((size_t)count + 1, sizeof(*value));

	for (int i = 0; i < r->model->parameters.count; i++) {
		const struct parameter *p = &r->model->parameters.item[i];

		if (!parameter_quantizable(p))
			continue;
		for (int b = 0; b < count; b++)
			value[b] = quantizer_perturbation(&r->quantization.scaling, p->value,
			                                  cJSON_GetArrayItem(bits, b)->valueint);
		golden_check(r->g, "perturbation", p->name, value, count);
	}
	free(value);
}

/* What computes which families. */
static const struct {
	const char *families[4];
	bool needs_quantizer;
	void (*run)(struct run *r);
} parts[] = {
        {{"logits", "loss", "running"}, false, run_training},
        {{"grad_*"}, false, run_training},
        {{"logits_eval", "loss_eval"}, false, run_evaluation},
        {{"quant_*"}, true, run_quantized},
        {{"trace_*"}, false, run_trace},
        {{"fisher"}, false, run_fisher},
        {{"perturbation"}, true, run_perturbation},
};

static bool part_wanted(const struct run *r, size_t i)
{
	for (int k = 0; k < 4 && parts[i].families[k]; k++)
		if (golden_wants(r->g, parts[i].families[k]))
			return r->quantized || !parts[i].needs_quantizer;
	return false;
}

static int read_batch(struct run *r, struct error *e)
{
	const struct safetensor *images = safetensors_find(r->g->tensors, "images");
	const struct safetensor *labels = safetensors_find(r->g->tensors, "labels");

	if (!images || images->shape.n != 4 || !labels)
		return error_set(e, "no images or labels");
	r->images = tensor_new(r->g->precision->type, images->shape);
	r->labels = tensor_new(I32, labels->shape);
	return safetensor_read(images, r->images, e) || safetensor_read(labels, r->labels, e) ? -1
	                                                                                      : 0;
}

int classifier_run(struct golden *g, struct error *e)
{
	struct run r = {.g = g, .seed = json_int(g->manifest, "seed", 0)};
	const cJSON *quantizer = cJSON_GetObjectItemCaseSensitive(g->manifest, "quantizer");
	int result = read_batch(&r, e);

	r.quantized = cJSON_IsObject(quantizer);
	r.model = result ? NULL : classifier_model(g, r.images->shape, e);
	result = r.model ? 0 : -1;
	if (!result && r.quantized)
		result = classifier_quantization(quantizer, r.model, &r.quantization, e);
	for (size_t i = 0; !result && i < sizeof(parts) / sizeof(*parts); i++)
		if (part_wanted(&r, i))
			parts[i].run(&r);
	quantization_release(&r.quantization);
	model_free(r.model);
	tensor_free(r.images);
	tensor_free(r.labels);
	return result;
}
