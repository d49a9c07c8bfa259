/* Checkpoints: all that a training needs to go on with the same bits, in one safetensors file. */
#include "core/train/checkpoint.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/models/bits.h"
#include "core/models/weights.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FORMAT "trawl checkpoint 1"
#define RANGES "trawl.input_ranges" /* (parameters, 2): low, high */

/* The members of struct position, as the elements of "trawl.position". */
#define POSITION(ROW)      \
	ROW(step)          \
	ROW(epoch)         \
	ROW(epoch_step)    \
	ROW(loss_sum)      \
	ROW(correct)       \
	ROW(samples)       \
	ROW(trace_sum)     \
	ROW(epoch_seconds) \
	ROW(train_seconds) \
	ROW(train_samples) \
	ROW(seconds)
#define ONE(member) +1
enum { POSITION_COUNT = POSITION(ONE) };
#undef ONE

static void position_pack(const struct position *p, double out[POSITION_COUNT])
{
#define ROW(member) *out++ = (double)p->member;
	POSITION(ROW)
#undef ROW
}

static void position_unpack(struct position *p, const double in[POSITION_COUNT])
{
#define ROW(member) p->member = (__typeof__(p->member))*in++;
	POSITION(ROW)
#undef ROW
}

/* What is kept besides the model: the optimizer's state, the average, and gradients of an update
 * that has had some of its batches.  Null beyond the last; *name is the caller's to free. */
static struct tensor *state_at(const struct trainer *t, int i, char **name)
{
	int slots = optimizer_state_count(&t->optimizer), gradient = i - slots - t->average.count;

	if (i < slots)
		return optimizer_state(&t->optimizer, i, name);
	if (gradient < 0)
		return average_value(&t->average, t->model, i - slots, name);
	if (!trainer_amid_update(t) || gradient >= t->model->parameters.count)
		return NULL;
	*name = xformat("trawl.gradient.%s", t->model->parameters.item[gradient].name);
	return t->gradient[gradient];
}

static void put_state(const struct trainer *t, struct safetensors_writer *w)
{
	struct tensor *state;
	char *name;

	for (int i = 0; (state = state_at(t, i, &name)); i++) {
		safetensors_put_tensor(w, name, state);
		free(name);
	}
}

static void put_growth(const struct trainer *t, struct safetensors_writer *w)
{
	if (!t->subtasks.count)
		return;
	char *text = growth_text(&t->growth);
	safetensors_put_metadata(w, "growth", text);
	free(text);
}

static void put_bits(const struct trainer *t, struct safetensors_writer *w)
{
	if (!t->quantized)
		return;
	char *text = bits_text(t->model, &t->quantization);
	safetensors_put_metadata(w, "bits", text);
	free(text);
}

/* What layers' inputs range over; null where they are not quantized. */
static struct tensor *input_ranges(const struct trainer *t)
{
	return t->quantized && t->quantization.activations.bits ? t->quantization.activations.ranges
	                                                        : NULL;
}

static struct safetensors_writer *put_all(const struct trainer *t,
                                          const double position[POSITION_COUNT])
{
	struct safetensors_writer *w = safetensors_writer_new();

	safetensors_put_metadata(w, "format", FORMAT);
	safetensors_put_metadata(w, "identity", t->identity);
	safetensors_put_metadata(w, "numerics", t->numerics);
	model_save(t->model, w);
	put_growth(t, w);
	put_bits(t, w);
	put_state(t, w);
	if (input_ranges(t))
		safetensors_put_tensor(w, RANGES, input_ranges(t));
	safetensors_put(w, "trawl.position", "F64", SHAPE(POSITION_COUNT), position);
	return w;
}

int checkpoint_save_final(const struct trainer *t, const char *path, struct error *e)
{
	double values[POSITION_COUNT];
	struct position p = t->position;

	p.epoch_seconds = p.train_seconds = p.seconds = 0;
	position_pack(&p, values);
	struct safetensors_writer *w = put_all(t, values);
	int status = safetensors_write(w, path, e);
	safetensors_writer_free(w);
	return status;
}

static char *checkpoint_path(const struct trainer *t, int64_t step)
{
	char *name = xformat("checkpoint-%08lld.safetensors", (long long)step);
	char *path = path_join(t->files.folder, name);

	free(name);
	return path;
}

/* Rank 0's part: the file, then who is to know it, then the older ones. */
static int write_and_tell(struct trainer *t, const char *path, struct error *e)
{
	double values[POSITION_COUNT];
	struct written file = {.name = "checkpoint", .path = path};

	position_pack(&t->position, values);
	struct safetensors_writer *w = put_all(t, values);
	cJSON *rows = result_rows(&t->result, 0);
	char *text = json_canonical(rows);
	safetensors_put_metadata(w, "metrics", text);
	int status = safetensors_write(w, path, e);
	cJSON_Delete(rows);
	free(text);
	safetensors_writer_free(w);
	if (status || sha256_file(path, file.sha256, e))
		return -1;
	file.bytes = file_bytes(path);
	if (t->observer.checkpoint)
		t->observer.checkpoint(t->observer.self, &file, &t->position, &t->result);
	return 0;
}

static void remove_old(struct trainer *t, int64_t step)
{
	int64_t *kept = t->kept;
	int keep = t->kept_count;

	if (keep && kept[keep - 1] == step)
		return;
	if (keep == CHECKPOINTS_KEPT || keep == t->spec->checkpoint_keep) {
		char *path = checkpoint_path(t, kept[0]);
		unlink(path);
		free(path);
		memmove(kept, kept + 1, (size_t)--keep * sizeof *kept);
	}
	kept[keep++] = step;
	t->kept_count = keep;
}

int checkpoint_save(struct trainer *t, struct error *e)
{
	int status = 0;

	trainer_clock(t);
	if (t->parallel.rank == 0) {
		char *path = checkpoint_path(t, t->position.step);
		status = write_and_tell(t, path, e);
		if (status)
			error_prefix(e, "cannot write the checkpoint of step %lld",
			             (long long)t->position.step);
		else if (!t->files.keep_all)
			remove_old(t, t->position.step);
		free(path);
	}
	t->checkpoint_clock = clock_seconds();
	return parallel_outcome(&t->parallel, status, e);
}

static int check_metadata(const struct trainer *t, const struct safetensors *f, struct error *e)
{
	const char *format = safetensors_metadata(f, "format");
	const char *identity = safetensors_metadata(f, "identity");
	const char *numerics = safetensors_metadata(f, "numerics");

	if (!format || strcmp(format, FORMAT))
		return error_set(e, "not a checkpoint (its format is %s, not \"" FORMAT "\")",
		                 format ? format : "not said");
	if (!identity || strcmp(identity, t->identity))
		return error_set(e, "it belongs to another trial (%.12s…, this one is %.12s…)",
		                 identity ? identity : "none", t->identity);
	if (!numerics || strcmp(numerics, t->numerics))
		log_warn("the checkpoint was made with \"%s\", this is \"%s\": results may differ "
		         "in their last digits",
		         numerics ? numerics : "?", t->numerics);
	return 0;
}

static int read_metrics(struct result *r, const struct safetensors *f, struct error *e)
{
	const char *text = safetensors_metadata(f, "metrics");
	if (!text)
		return error_set(e, "it holds no metrics: final weights, not a checkpoint");
	cJSON *rows = json_parse(text, strlen(text), "its metrics", e);
	int status = rows ? result_rows_load(r, rows, e) : -1;

	cJSON_Delete(rows);
	return status;
}

/* Values of the file's tensor of that name; its element count must agree. */
static int read_named(const struct safetensors *f, const char *name, struct tensor *to,
                      struct error *e)
{
	const struct safetensor *s = safetensors_find(f, name);

	if (!s)
		return error_set(e, "it lacks %s", name);
	if (s->count != shape_count(to->shape))
		return error_set(e, "%s has %lld values, not %lld", name, (long long)s->count,
		                 (long long)shape_count(to->shape));
	return safetensor_read(s, to, e);
}

static int read_state(const struct trainer *t, const struct safetensors *f, struct error *e)
{
	struct tensor *state;
	int status = 0;
	char *name;

	for (int i = 0; status == 0 && (state = state_at(t, i, &name)); i++) {
		status = read_named(f, name, state, e);
		free(name);
	}
	return status;
}

static int read_position(struct trainer *t, const struct safetensors *f, struct error *e)
{
	struct tensor *values = tensor_zeros(F64, SHAPE(POSITION_COUNT));
	int status = read_named(f, "trawl.position", values, e);

	if (status == 0)
		position_unpack(&t->position, tensor_f64(values));
	tensor_free(values);
	return status;
}

static int read_checkpoint(struct trainer *t, const char *path, struct error *e)
{
	struct safetensors *f = safetensors_open(path, e);
	int status = f ? check_metadata(t, f, e) : -1;

	if (status == 0)
		status = model_load_from(t->model, f, e);
	if (status == 0)
		status = read_metrics(&t->result, f, e);
	if (status == 0)
		status = read_position(t, f, e);
	if (status == 0)
		status = read_state(t, f, e);
	if (status == 0 && input_ranges(t))
		status = read_named(f, RANGES, input_ranges(t), e);
	if (f)
		safetensors_close(f);
	return status;
}

static void broadcast_tensor(const struct trainer *t, struct tensor *x)
{
	size_t bytes = (size_t)shape_count(x->shape) * dtype_bytes(x->type);

	parallel_broadcast(&t->parallel, tensor_write(x), bytes);
}

static void broadcast_model(const struct trainer *t, struct model *m)
{
	for (int i = 0; i < model_items(m); i++)
		broadcast_tensor(t, model_item(m, i)->value);
}

static void broadcast_state(struct trainer *t)
{
	struct tensor *state;
	char *name;

	parallel_broadcast(&t->parallel, &t->position, sizeof t->position);
	for (int i = 0; (state = state_at(t, i, &name)); i++) {
		broadcast_tensor(t, state);
		free(name);
	}
	if (input_ranges(t))
		broadcast_tensor(t, input_ranges(t));
	parallel_broadcast(&t->parallel, &t->result.rows, sizeof t->result.rows);
	int rows = t->result.rows;
	if (t->parallel.rank) {
		t->result.rows = 0;
		for (int i = 0; i < rows; i++)
			result_row(&t->result, "", 0, 0, 0);
	}
	parallel_broadcast(&t->parallel, t->result.row, (size_t)rows * sizeof *t->result.row);
}

int checkpoint_resume(struct trainer *t, const char *path, struct error *e)
{
	int status = t->parallel.rank == 0 ? read_checkpoint(t, path, e) : 0;

	if (parallel_outcome(&t->parallel, status, e))
		return error_prefix(e, "cannot resume from %s", path);
	broadcast_model(t, t->model);
	broadcast_state(t);
	t->optimizer.steps = trainer_updates(t);
	return 0;
}

int checkpoint_load_model(const struct trainer *t, struct model *m, const char *path,
                          struct error *e)
{
	int status = t->parallel.rank == 0 ? model_load(m, path, e) : 0;

	if (parallel_outcome(&t->parallel, status, e))
		return -1;
	broadcast_model(t, m);
	return 0;
}
