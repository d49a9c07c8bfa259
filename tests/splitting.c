/* Laws of trees that grow while they train: what orders, kills and ranks leave of them. */
#include "core/tensor/safetensors.h"
#include "core/train/sensitivity.h"
#include "tests/growing_trial.h"

static int write_trials(void **state)
{
	char *two = xformat(GROWING, 2, "", "0.8"), *four = xformat(GROWING, 4, "", "0.8");

	if (scratch_make(state))
		return -1;
	trial_write("growing.json", two);
	trial_write("four.json", four);
	free(two);
	free(four);
	return 0;
}

static void a_tree_grows_and_is_pruned(void **state)
{
	struct told never = {0};
	struct error e = {{0}};

	assert_int_equal(run("growing.json", "whole", NULL, &never, &e), OUTCOME_DONE);
	struct safetensors *f = safetensors_open(below("whole/weights.safetensors"), &e);
	cJSON *growth = cJSON_Parse(safetensors_metadata(f, "growth"));
	assert_int_equal(json_int(growth, "looked", 0), 3);
	assert_true(json_int(growth, "splits", 0) >= 2);
	assert_true(json_int(growth, "pruned", 0) > 20);
	cJSON_Delete(growth);
	safetensors_close(f);
}

static const struct parallel alone = {.ranks = 1, .shards = 1, .count = 1};

/* A trainer at the start of its first epoch. */
static void trainer_at_start(struct trainer *t, const char *trial, struct trial_spec *spec,
                             struct parallel p)
{
	struct trial_files files = {.folder = below("start"), .cache = below("cache")};
	struct observer o = {0};
	struct error e = {{0}};
	cJSON *json = json_read(below(trial), &e);

	if (!json || trial_spec_parse(json, spec, &e) ||
	    trainer_init(t, json, spec, &files, &o, &p, &e) != OUTCOME_DONE)
		fail_msg("%s", e.text);
	epoch_order(spec->train_seed, 0, t->sample, t->train->count);
	cJSON_Delete(json);
}

/* The gradient of a submodel's loss on batch `index` to one parameter, written out. */
static struct tensor *gradient_of(const struct trainer *t, int submodel, int64_t index,
                                  int parameter)
{
	int64_t n = t->spec->train_batch / t->spec->train_shards;
	struct tensor *images = tensor_new(F32, SHAPE(n, 3, t->train->height, t->train->width));
	struct tensor *labels = tensor_new(I32, SHAPE(n)), *heads[SUBTASKS_MAX], *out;
	struct tape tape;
	struct forward f;

	batch_fill(t->train, t->sample + index * n, n, &t->plain, 0, tensor_write(images),
	           tensor_write(labels));
	tape_init(&tape, &backend_onednn);
	model_begin(&f, &tape, t->model, FORWARD_TRAINING, NULL);
	model_heads(t->model, &f, tape_leaf(&tape, images), UINT32_MAX, heads);
	struct tensor *target = subtask_target(&t->subtasks, submodel, labels, false, F32);
	double weights[SUBTASKS_MAX];
	int columns = t->subtasks.size[submodel] + 1;
	struct tensor *weight = tensor_new(F32, SHAPE(columns));
	subtask_class_weight(&t->subtasks, submodel, t->spec->split_beta, 64.0 / 10, weights);
	for (int i = 0; i < columns; i++)
		tensor_set(weight, i, weights[i]);
	struct tensor *loss = subtask_loss(&tape, heads[submodel], tape_adopt(&tape, target),
	                                   tape_adopt(&tape, weight));
	tape_grad(&tape, loss, &f.raw[parameter], 1, &out, GRAD_CONSUME);
	out = tensor_copy(out);
	forward_release(&f);
	tape_release(&tape);
	tensor_free(images);
	tensor_free(labels);
	return out;
}

static void assert_near(double got, double expected, double scale)
{
	if (!(fabs(got - expected) <= 1e-3 * fabs(scale) + 1e-12))
		fail_msg("%g instead of %g", got, expected);
}

static void sensitivities_are_those_of_each_submodels_own_loss(void **state)
{
	struct sensitivity s;
	struct trial_spec spec;
	struct trainer t;
	struct error e;

	trainer_at_start(&t, "growing.json", &spec, alone);
	assert_int_equal(sensitivity_measure(&s, &t, &e), LOOP_GOES_ON);
	for (int submodel = 0; submodel < 3; submodel++)
		for (int node = 1; node < s.nodes; node += 5) {
			struct parameter *p = &t.model->parameters.item[s.conv[node]];
			struct tensor *g[2];
			int64_t rows = p->value->shape.d[0],
			        each = shape_count(p->value->shape) / rows;
			const double *sum = s.gradient[submodel * s.nodes + node];
			double scale = 0;
			for (int b = 0; b < 2; b++)
				g[b] = gradient_of(&t, submodel, b, s.conv[node]);
			for (int64_t i = 0; i < rows * each; i++)
				scale = fmax(scale, fabs(tensor_at(g[0], i)));
			for (int64_t r = 0; r < rows; r++) {
				double importance = 0, of_batch[2] = {0};
				for (int64_t i = r * each; i < (r + 1) * each; i++) {
					assert_near(sum[i], tensor_at(g[0], i) + tensor_at(g[1], i),
					            scale);
					for (int b = 0; b < 2; b++)
						of_batch[b] +=
						        tensor_at(g[b], i) * tensor_at(p->value, i);
				}
				importance = of_batch[0] * of_batch[0] + of_batch[1] * of_batch[1];
				assert_near(s.importance[submodel * s.nodes + node][r], importance,
				            importance);
			}
			tensor_free(g[0]);
			tensor_free(g[1]);
		}
	sensitivity_release(&s);
	trainer_release(&t);
	trial_spec_release(&spec);
}

/* All figures of four batches, as the digest that rank 0 writes: what `splitting --figures FILE`
 * does. */
static int figures_program(const char *folder)
{
	struct parallel p;
	struct sensitivity s;
	struct trial_spec spec;
	struct trainer t;
	struct error e = {{0}};
	char hex[SHA256_HEX];

	snprintf(scratch, sizeof scratch, "%s", folder);
	if (parallel_begin(&p, 0, &e) || parallel_divide(&p, 2, &e))
		return 1;
	trainer_at_start(&t, "four.json", &spec, p);
	assert_int_equal(sensitivity_measure(&s, &t, &e), LOOP_GOES_ON);
	struct hash *h = hash_new("sha256");
	for (int i = 0; i < s.submodels; i++)
		for (int node = 0; node < s.nodes; node++) {
			const struct tensor *w = t.model->parameters.item[s.conv[node]].value;
			int at = i * s.nodes + node;
			hash_add(h, s.gradient[at], (size_t)shape_count(w->shape) * sizeof(double));
			hash_add(h, s.importance[at], (size_t)w->shape.d[0] * sizeof(double));
		}
	hash_end(h, hex);
	int status = p.rank ? 0 : file_write(below("figures"), hex, strlen(hex), &e);
	sensitivity_release(&s);
	trainer_release(&t);
	trial_spec_release(&spec);
	parallel_end();
	return status ? 2 : 0;
}

static void sums_over_batches_have_the_bits_of_one_rank(void **state)
{
	char self[PATH_MAX] = {0}, *hex[2];

	assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
	for (int ranks = 1; ranks <= 2; ranks++) {
		struct error e = {{0}};
		char *line = xformat("mpiexec.mpich -launcher fork -n %d %s --figures %s", ranks,
		                     self, scratch);
		assert_int_equal(system(line), 0);
		hex[ranks - 1] = file_read(below("figures"), NULL, &e);
		free(line);
	}
	assert_string_equal(hex[0], hex[1]);
	free(hex[0]);
	free(hex[1]);
}

static void interrupted_anywhere_it_ends_with_the_same_bits(void **state)
{
	struct told never = {0};
	struct error e = {{0}};
	int asked = 0;

	assert_int_equal(run("growing.json", "count", NULL, &never, &e), OUTCOME_DONE);
	asked = never.asked;
	assert_true(asked > 25);
	for (int n = 1; n <= asked; n++) {
		struct told cut = {.yield_at = n}, rest = {0};
		assert_int_equal(run("growing.json", "cut", NULL, &cut, &e), OUTCOME_YIELD);
		if (run("growing.json", "cut", cut.checkpoint, &rest, &e) != OUTCOME_DONE)
			fail_msg("resumed at %d of %d: %s", n, asked, e.text);
		assert_same_file("whole", "cut", "weights.safetensors");
		assert_int_equal(folder_remove(below("cut"), &e), 0);
	}
}

static void ranks_change_no_bit(void **state)
{
	struct trial_run two = {.ranks = 2, .trial = "growing.json", .folder = "two"};

	assert_runs(&two);
	assert_same_file("whole", "two", "weights.safetensors");
	two.folder = "mixed"; /* begun by one rank, ended by two */
	two.ranks = 0;
	two.more[0] = "--stop-after";
	two.more[1] = "3";
	assert_int_equal(trial_wait(&two), 0);
	two.ranks = 2;
	two.more[0] = "--resume";
	two.more[1] = below("mixed/checkpoint-00000003.safetensors");
	assert_runs(&two);
	assert_same_file("whole", "mixed", "weights.safetensors");
}

static void what_is_outside_is_told_apart_whatever_the_ranks(void **state)
{
	static const char trial[] =
	        "{\"data\": {\"name\": \"shapes\", \"limit\": 96, \"test_limit\": 50}, \"eval\": "
	        "{\"batch\": 16}, \"model\": {\"name\": \"resnet20\", \"width\": 4}, \"split\": "
	        "{\"submodels\": 3, \"interval\": 0}, \"ood\": {\"images\": 40, \"sets\": "
	        "[\"uniform\", {\"data\": \"shapes\", \"name\": \"same\"}]}, \"train\": "
	        "{\"epochs\": 2, \"batch\": 32, \"shards\": 2}}";

	trial_write("outside.json", trial);
	assert_runs(&(struct trial_run){.trial = "outside.json", .folder = "in1"});
	assert_runs(&(struct trial_run){.ranks = 2, .trial = "outside.json", .folder = "in2"});
	cJSON *a = outcome_read("in1"), *b = outcome_read("in2");
	assert_true(cJSON_Compare(outcome_part(a, "ood"), outcome_part(b, "ood"), true));
	assert_true(cJSON_Compare(outcome_part(a, "curves"), outcome_part(b, "curves"), true));
	/* two sets, five scores, seven figures; images of the same set cannot be told apart */
	assert_int_equal(cJSON_GetArraySize(outcome_part(a, "ood")), 2 * 5 * 7);
	const cJSON *item;
	double uniform = 0;
	cJSON_ArrayForEach (item, outcome_part(a, "ood")) {
		double value = json_real(item, "value", 0);
		if (strcmp(json_text(item, "metric", ""), "auroc") != 0)
			continue;
		if (!strcmp(json_text(item, "set", ""), "same"))
			assert_true(value > 0.3 && value < 0.7);
		else if (!strcmp(json_text(item, "score", ""), "subtask"))
			uniform = value;
	}
	assert_true(fabs(outcome_figure(a, "auroc") - uniform / 2) < 0.5);
	assert_true(outcome_figure(a, "ece") >= 0 && outcome_figure(a, "brier") > 0);
	cJSON_Delete(a);
	cJSON_Delete(b);
}

/* A tree that begins with a trained network; %s: more of split, epochs. */
#define FROM_ONE                                                                           \
	"{\"data\": {\"name\": \"shapes\", \"limit\": 96, \"test_limit\": 24}, \"eval\": " \
	"{\"batch\": 16}, \"model\": {\"name\": \"resnet20\", \"width\": 4}, \"split\": "  \
	"{\"submodels\": 3, \"interval\": 0%s}, \"start_from\": {\"file\": \"unused\"}, "  \
	"\"train\": {\"epochs\": %d, \"batch\": 32, \"shards\": 2}}"

static struct tensor *weight_of(const char *folder, const char *name)
{
	char *path = path_join(below(folder), "weights.safetensors");
	struct error e = {{0}};
	struct safetensors *f = safetensors_open(path, &e);
	const struct safetensor *s = f ? safetensors_find(f, name) : NULL;

	if (!s)
		fail_msg("%s has no %s", folder, name);
	struct tensor *t = tensor_new(F32, s->shape);
	assert_int_equal(safetensor_read(s, t, &e), 0);
	safetensors_close(f);
	free(path);
	return t;
}

static bool same_weight(const char *folder, const char *other, const char *name)
{
	struct tensor *a = weight_of(folder, name), *b = weight_of(other, name);
	bool same = shape_equal(a->shape, b->shape) &&
	            !memcmp(tensor_plain(a), tensor_plain(b),
	                    (size_t)shape_count(a->shape) * sizeof(float));

	tensor_free(a);
	tensor_free(b);
	return same;
}

/* In this process, or on so many ranks. */
static void run_from_one(const char *folder, int ranks, const char *split, int epochs)
{
	char *trial = xformat(FROM_ONE, split, epochs);
	struct told told = {.input = below("one/weights.safetensors")};
	struct error e = {{0}};

	trial_write("from.json", trial);
	if (ranks)
		assert_runs(&(struct trial_run){.trial = "from.json",
		                                .folder = folder,
		                                .ranks = ranks,
		                                .more = {"--input", told.input}});
	else if (run("from.json", folder, NULL, &told, &e) != OUTCOME_DONE)
		fail_msg("%s", e.text);
	free(trial);
}

static void one_network_serves_the_trunk_and_the_grouping(void **state)
{
	trial_write(
	        "one.json",
	        "{\"data\": {\"name\": \"shapes\", \"limit\": 96, \"test_limit\": 24}, \"model\": "
	        "{\"name\": \"resnet20\", \"width\": 4}, \"train\": {\"epochs\": 2, \"batch\": "
	        "32}}");
	assert_runs(&(struct trial_run){.trial = "one.json", .folder = "one"});
	run_from_one("warm", 0, ", \"grouping\": \"cluster\"", 0);
	assert_true(same_weight("one", "warm", "layer3.2.conv2.weight"));
	assert_true(same_weight("one", "warm", "layer1.0.bn1.running_var"));
	run_from_one("fresh", 0, ", \"grouping\": \"cluster\", \"warm_start\": false", 0);
	assert_false(same_weight("one", "fresh", "layer3.2.conv2.weight"));
	/* the same groups, on any number of ranks */
	run_from_one("warm2", 2, ", \"grouping\": \"cluster\"", 1);
	run_from_one("warm1", 0, ", \"grouping\": \"cluster\"", 1);
	assert_same_file("warm1", "warm2", "weights.safetensors");
}

/* The result says which submodel has which class: two at least each, and all of them. */
static void assert_submodels_are_told(const cJSON *outcome, int submodels)
{
	int classes[8] = {0}, all = 0;
	const cJSON *item;

	cJSON_ArrayForEach (item, json_at(outcome, "body.categories"))
		if (!strcmp(json_text(item, "metric", ""), "submodel"))
			classes[json_int(item, "value", 0)]++;
	for (int i = 0; i < submodels; i++) {
		assert_true(classes[i] >= 2);
		all += classes[i];
	}
	assert_int_equal(all, 10);
}

static void a_split_parent_brings_its_tree(void **state)
{
	struct error e = {{0}};

	trial_write(
	        "child.json",
	        "{\"data\": {\"name\": \"shapes\", \"limit\": 96, \"test_limit\": 24}, \"eval\": "
	        "{\"batch\": 16}, \"model\": {\"name\": \"resnet20\", \"width\": 4}, \"split\": "
	        "{\"submodels\": 3, \"interval\": 0}, \"quant\": {\"weight_bits\": 8}, "
	        "\"start_from\": {\"file\": \"unused\"}, \"train\": {\"epochs\": 0}}");
	struct trial_run r = {.trial = "child.json",
	                      .folder = "child",
	                      .more = {"--input", below("whole/weights.safetensors")}};
	assert_runs(&r);
	cJSON *child = outcome_read("child");
	struct safetensors *f = safetensors_open(below("child/quantized.safetensors"), &e);
	assert_non_null(safetensors_metadata(f, "split"));
	assert_true(outcome_figure(child, "bit_operations") > 0);
	assert_submodels_are_told(child, 3);
	safetensors_close(f);
	cJSON_Delete(child);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_tree_grows_and_is_pruned),
	        cmocka_unit_test(sensitivities_are_those_of_each_submodels_own_loss),
	        cmocka_unit_test(sums_over_batches_have_the_bits_of_one_rank),
	        cmocka_unit_test(interrupted_anywhere_it_ends_with_the_same_bits),
	        cmocka_unit_test(ranks_change_no_bit),
	        cmocka_unit_test(what_is_outside_is_told_apart_whatever_the_ranks),
	        cmocka_unit_test(one_network_serves_the_trunk_and_the_grouping),
	        cmocka_unit_test(a_split_parent_brings_its_tree),
	};

	if (argc == 3 && !strcmp(argv[1], "--figures"))
		return figures_program(argv[2]);
	return cmocka_run_group_tests(tests, write_trials, scratch_remove);
}
