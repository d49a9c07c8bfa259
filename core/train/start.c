/* What a trial begins with: the weights of a file or parent, its bit-widths, and the teacher. */
#include "core/train/start.h"
#include "core/base/text.h"
#include "core/models/bits.h"
#include "core/models/quantized.h"
#include "core/models/weights.h"
#include "core/train/checkpoint.h"
#include "core/train/grouping.h"
#include <stdlib.h>
#include <string.h>

static int check_digest(const char *path, const char *digest, struct error *e)
{
	char hex[SHA256_HEX];

	if (!digest)
		return 0;
	if (sha256_file(path, hex, e))
		return -1;
	if (strcmp(hex, digest))
		return error_set(e, "%s: its SHA-256 is %.12s…, the trial wants %.12s…", path, hex,
		                 digest);
	return 0;
}

enum outcome start_find(struct trainer *t, const char **path, struct error *e)
{
	const struct trial_spec *s = t->spec;
	const char *digest = t->files.input ? NULL : s->start_from_digest;
	int lost = 0;

	*path = t->files.input ? t->files.input : s->start_from_file;
	if (!*path && (s->start_from_change || s->start_from_trial)) {
		error_set(e,
		          "start_from.%s: give the parent's weights with --input FILE, or let "
		          "`trawl run` train the parent first",
		          s->start_from_change ? "change" : "trial");
		return OUTCOME_ERROR;
	}
	if (!*path)
		return OUTCOME_DONE;
	if (t->parallel.rank == 0) {
		struct safetensors *f = safetensors_open(*path, e);
		lost = f && !check_digest(*path, digest, e) ? 0 : -1;
		if (f)
			safetensors_close(f);
	}
	if (parallel_outcome(&t->parallel, lost, e))
		return t->files.input ? OUTCOME_INPUT_LOST : OUTCOME_ERROR;
	return OUTCOME_DONE;
}

/* Rank 0's part: the bits that the file names; none at all is an error unless `optional`. */
static int read_bits(struct trainer *t, const char *path, struct quantization *q, bool optional,
                     struct error *e)
{
	struct safetensors *f = safetensors_open(path, e);
	const char *text = f ? safetensors_metadata(f, "bits") : NULL;
	int status = -1;

	if (f && !text && optional)
		status = 0;
	else if (f && !text)
		error_set(e,
		          "%s: it names no bits: start from a trial of action allocate, or set "
		          "quant.bits to uniform",
		          path);
	else if (f && (status = bits_parse(q, t->model, text, e)))
		error_prefix(e, "%s", path);
	if (f)
		safetensors_close(f);
	return status;
}

static int load_bits(struct trainer *t, const char *path, struct error *e)
{
	struct quantization *q = &t->quantization;
	int status = t->parallel.rank == 0 ? read_bits(t, path, q, false, e) : 0;

	if (parallel_outcome(&t->parallel, status, e))
		return -1;
	parallel_broadcast(&t->parallel, q->bits, (size_t)q->count * sizeof *q->bits);
	return 0;
}

/* Learned steps go on from the file's where it has as many bits for the weight. */
static int load_steps(struct trainer *t, const char *path, struct error *e)
{
	struct quantization file = {.count = t->quantization.count};
	size_t bytes = (size_t)file.count * sizeof *file.bits;

	file.bits = xcalloc(1, bytes);
	int status = t->parallel.rank == 0 ? read_bits(t, path, &file, true, e) : 0;
	status = parallel_outcome(&t->parallel, status, e);
	if (status == 0) {
		parallel_broadcast(&t->parallel, file.bits, bytes);
		quantized_forget(&t->quantization, t->model, file.bits);
	}
	quantization_release(&file);
	return status;
}

/* The teacher has the weights that the trial starts from, at full precision. */
static int load_teacher(struct trainer *t, const char *path, struct error *e)
{
	struct model *teacher = model_new(&t->model->config, F32);

	t->objective.teacher = teacher;
	return checkpoint_load_model(t, teacher, path, e);
}

/* One network's weights serve a tree's trunk, or have only told how to group the classes. */
static int load_weights(struct trainer *t, const char *path, struct error *e)
{
	if (!t->subtasks.count || t->growth.brought)
		return checkpoint_load_model(t, t->model, path, e);
	return t->spec->split_warm_start ? grouping_load_trunk(t, path, e) : 0;
}

enum outcome start_load(struct trainer *t, struct error *e)
{
	bool bits = strcmp(t->spec->quant_bits, "input") == 0;
	bool teach = t->spec->distill_weight > 0 && t->spec->train_epochs > 0;
	bool resumed = t->files.resume != NULL;
	const char *path;

	if (resumed && !bits && !teach)
		return OUTCOME_DONE;
	enum outcome found = start_find(t, &path, e);
	if (found != OUTCOME_DONE || !path)
		return found;
	bool steps = !resumed && t->quantized && t->quantization.step;
	if ((!resumed && load_weights(t, path, e)) || (bits && load_bits(t, path, e)) ||
	    (steps && load_steps(t, path, e)) || (teach && load_teacher(t, path, e)))
		return OUTCOME_ERROR;
	return OUTCOME_DONE;
}
