/* Reading weights into a model, with every mismatch in one message, and saving them. */
#include "core/models/weights.h"
#include "core/base/text.h"
#include "core/models/fold.h"
#include "core/models/split_record.h"
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

/* Tensors that a file may hold beside the model's. */
static const char *const passed_over[] = {
        "*.num_batches_tracked", "optimizer.*",   "trawl.*",
        "*.weight_step",         "*.input_scale", "*.input_zero_point"};

/* What wrappers of models put before every name (DataParallel, Lightning, torch.compile). */
static const char *const prefixes[] = {"module.", "model.", "_orig_mod."};

/* A tensor of the model and where its values are: as they are, or as codes and scales. */
struct source {
	const struct safetensor *plain, *codes, *scale;
};

enum { MISSING, EXTRA, MISSHAPEN, PROBLEMS };
struct problems {
	struct text list[PROBLEMS];
	int count[PROBLEMS];
};

enum { LISTED = 8 }; /* of each kind; the rest is counted */

static void problem_add(struct problems *p, int kind, const char *name)
{
	if (p->count[kind]++ < LISTED)
		text_add(&p->list[kind], "%s%s", p->list[kind].length ? ", " : "", name);
}

static void problem_release(struct problems *p)
{
	for (int i = 0; i < PROBLEMS; i++)
		text_release(&p->list[i]);
}

static int problem_report(const struct problems *p, const struct model *m, const char *path,
                          struct error *e)
{
	static const char *const title[PROBLEMS] = {"missing", "extra", "misshapen"};
	struct text line = {0};

	for (int i = 0; i < PROBLEMS; i++) {
		if (p->count[i] == 0)
			continue;
		text_add(&line, "%s %d %s: %s", line.length ? ";" : "", p->count[i], title[i],
		         p->list[i].data);
		if (p->count[i] > LISTED)
			text_add(&line, ", and %d more", p->count[i] - LISTED);
	}
	if (!line.length)
		return 0;
	error_set(e, "%s does not fit model %s (%d classes):%s", path, m->config.name,
	          m->config.classes, line.data);
	text_release(&line);
	return -1;
}

static bool is_passed_over(const char *name)
{
	for (size_t i = 0; i < sizeof(passed_over) / sizeof(*passed_over); i++)
		if (fnmatch(passed_over[i], name, 0) == 0)
			return true;
	return false;
}

/* Whether all names, but those passed over, go on with the prefix after `skip` characters. */
static bool all_go_on_with(const struct safetensors *f, size_t skip, const char *prefix)
{
	bool any = false;

	for (int i = 0; i < safetensors_count(f); i++) {
		const char *name = safetensors_item(f, i)->name;

		if (is_passed_over(name))
			continue;
		if (strlen(name) < skip || strncmp(name + skip, prefix, strlen(prefix)) != 0)
			return false;
		any = true;
	}
	return any;
}

/* What stands before every name of the file and is none of the model's: "module.", "", …; to be
 * freed. */
static char *common_prefix(const struct safetensors *f)
{
	struct text all = {0};

	text_add_bytes(&all, "", 0);
	for (bool more = true; more;) {
		more = false;
		for (size_t i = 0; !more && i < sizeof(prefixes) / sizeof(*prefixes); i++)
			if ((more = all_go_on_with(f, all.length, prefixes[i])))
				text_add(&all, "%s", prefixes[i]);
	}
	return text_take(&all);
}

static const struct safetensor *find_with(const struct safetensors *f, const char *name,
                                          const char *suffix)
{
	char *full = xformat("%s%s", name, suffix);
	const struct safetensor *s = safetensors_find(f, full);

	free(full);
	return s;
}

static char *shape_text(struct shape s)
{
	struct text t = {0};

	text_add(&t, "(");
	for (int i = 0; i < s.n; i++)
		text_add(&t, "%s%lld", i ? "," : "", (long long)s.d[i]);
	text_add(&t, ")");
	return text_take(&t);
}

static void report_shape(struct problems *p, const char *name, struct shape found,
                         struct shape expected)
{
	char *a = shape_text(found), *b = shape_text(expected);
	char *line = xformat("%s %s instead of %s", name, a, b);

	problem_add(p, MISSHAPEN, line);
	free(line);
	free(a);
	free(b);
}

static bool scale_fits(const struct safetensor *scale, struct shape weight)
{
	return scale->count == 1 || (scale->shape.n == 1 && scale->shape.d[0] == weight.d[0]);
}

static struct source find_source(const struct safetensors *f, const char *name,
                                 const struct parameter *p, struct problems *problems)
{
	struct source s = {.plain = safetensors_find(f, name)};
	const struct safetensor *values = s.plain;

	if (!s.plain) {
		s.codes = find_with(f, name, ".codes");
		s.scale = find_with(f, name, ".scale");
		values = s.codes;
	}
	if (p->role == PARAMETER_STEP) /* learned anew where the file has none that fits */
		return values && shape_equal(values->shape, p->value->shape) ? s
		                                                             : (struct source){0};
	if (!values || (s.codes && !s.scale))
		problem_add(problems, MISSING, name);
	else if (!shape_equal(values->shape, p->value->shape))
		report_shape(problems, name, values->shape, p->value->shape);
	else if (s.codes && !scale_fits(s.scale, p->value->shape))
		report_shape(problems, s.scale->name, s.scale->shape, SHAPE(values->shape.d[0]));
	return s;
}

static bool belongs(const struct source *source, int count, const struct safetensor *s)
{
	for (int i = 0; i < count; i++)
		if (s == source[i].plain || s == source[i].codes || s == source[i].scale)
			return true;
	return is_passed_over(s->name);
}

/* Codes times scales, in float as quantizers compute them. */
static struct tensor *dequantized(const struct source *s, struct shape shape)
{
	struct tensor *t = tensor_new(F32, shape);
	int64_t row = s->codes->count / s->scale->count;
	float *out = tensor_write(t);

	for (int64_t i = 0; i < s->codes->count; i++)
		out[i] =
		        (float)safetensor_at(s->scale, i / row) * (float)safetensor_at(s->codes, i);
	return t;
}

static int read_source(const struct source *s, struct tensor *value, struct error *e)
{
	struct tensor *t;

	if (s->plain)
		return safetensor_read(s->plain, value, e);
	if (!s->codes)
		return 0;
	t = dequantized(s, value->shape);
	for (int64_t i = 0; i < s->codes->count; i++)
		tensor_set(value, i, (double)tensor_f32(t)[i]);
	tensor_free(t);
	return 0;
}

/* Where each item's values are; what a file of a folded model drops has none. */
static void find_sources(const struct model *m, const struct safetensors *file, bool folded,
                         struct source *source, struct problems *problems)
{
	char *prefix = common_prefix(file);

	for (int i = 0; i < model_items(m); i++) {
		struct parameter *p = model_item(m, i);
		char *name = folded ? fold_name(m, i) : xformat("%s%s", prefix, p->name);
		if (!folded || !fold_drops(m, i))
			source[i] = find_source(file, name, p, problems);
		free(name);
	}
	free(prefix);
}

/* Of a tree's file every tensor of its branches would be one too many. */
static int check_not_split(const struct model *m, const struct safetensors *file, struct error *e)
{
	const char *split = safetensors_metadata(file, "split");
	int count = split && !m->config.subtasks ? split_record_count(split) : 0;

	if (!count)
		return 0;
	return error_set(e,
	                 "%s is a Split-Ensemble of %d submodels, not one network: set "
	                 "split.submodels to %d",
	                 safetensors_path(file), count, count);
}

int model_load_from(struct model *m, const struct safetensors *file, struct error *e)
{
	if (check_not_split(m, file, e))
		return -1;
	int count = model_items(m), bad;
	struct source *source = xcalloc((size_t)count, sizeof(*source));
	struct problems problems = {0};
	bool folded = safetensors_metadata(file, "folded") != NULL;

	find_sources(m, file, folded, source, &problems);
	for (int i = 0; i < safetensors_count(file); i++)
		if (!belongs(source, count, safetensors_item(file, i)))
			problem_add(&problems, EXTRA, safetensors_item(file, i)->name);
	bad = problem_report(&problems, m, safetensors_path(file), e);
	for (int i = 0; i < count && !bad; i++)
		bad = read_source(&source[i], model_item(m, i)->value, e);
	if (folded && !bad)
		fold_clear_norms(m);
	problem_release(&problems);
	free(source);
	return bad;
}

int model_load(struct model *m, const char *path, struct error *e)
{
	struct safetensors *file = safetensors_open(path, e);
	int result;

	if (!file)
		return -1;
	result = model_load_from(m, file, e);
	safetensors_close(file);
	return result;
}

void model_save(const struct model *m, struct safetensors_writer *w)
{
	split_record_put(m, w);
	for (int i = 0; i < m->parameters.count; i++)
		safetensors_put_tensor(w, m->parameters.item[i].name, m->parameters.item[i].value);
	for (int i = 0; i < m->buffers.count; i++)
		safetensors_put_tensor(w, m->buffers.item[i].name, m->buffers.item[i].value);
}
