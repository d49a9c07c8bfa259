/* Laws of ensembles: who their members are, how they are leased, what they say together. */
#include "core/train/ensemble.h"
#include "core/train/predict.h"
#include "schemas/trial_spec.h"
#include "tests/trial_run.h"
#include "tests/turns.h"
#include <math.h>

#define TRIAL(action, ensemble, train)                                                         \
	"{\"action\": \"" action "\", \"data\": {\"name\": \"shapes\", \"limit\": 96, "        \
	"\"test_limit\": 40}, \"eval\": {\"batch\": 16}, \"model\": {\"name\": \"resnet20\", " \
	"\"width\": 4}, " ensemble "\"train\": {" train "\"batch\": 32, \"epochs\": 2, "       \
	"\"shards\": 2}}"
#define MEMBERS(list) "\"ensemble\": {\"members\": " list "}, "

static void identity_of(const char *json, char hex[SHA256_HEX])
{
	cJSON *trial = cJSON_Parse(json);

	assert_non_null(trial);
	trial_identity(trial, hex);
	cJSON_Delete(trial);
}

static void assert_same_identity(const char *a, const char *b, bool same)
{
	char x[SHA256_HEX], y[SHA256_HEX];

	identity_of(a, x);
	identity_of(b, y);
	assert_int_equal(!strcmp(x, y), same);
}

static void an_ensemble_is_its_members_in_their_order(void **state)
{
	static const char two[] =
	        TRIAL("ensemble",
	              MEMBERS("[{\"train\": {\"seed\": 3}}, {\"train\": {\"seed\": 4}}]"), "");

	assert_same_identity(
	        two, TRIAL("ensemble", "\"ensemble\": {\"size\": 2}, ", "\"seed\": 3, "), true);
	assert_same_identity(
	        two,
	        TRIAL("ensemble",
	              MEMBERS("[{\"train\": {\"seed\": 4}}, {\"train\": {\"seed\": 3}}]"), ""),
	        false);
	/* its own seed is nobody's */
	assert_same_identity(
	        two,
	        TRIAL("ensemble",
	              MEMBERS("[{\"train\": {\"seed\": 3}}, {\"train\": {\"seed\": 4}}]"),
	              "\"seed\": 9, "),
	        true);
	assert_same_identity(two, TRIAL("train", "", "\"seed\": 3, "), false);
}

static void a_member_is_the_trial_that_it_would_be_alone(void **state)
{
	cJSON *trial =
	        cJSON_Parse(TRIAL("ensemble", "\"ensemble\": {\"size\": 2}, ", "\"seed\": 3, "));
	cJSON *member = trial_member(trial, 1);
	char a[SHA256_HEX], b[SHA256_HEX];

	assert_int_equal(trial_members(trial), 2);
	trial_identity(member, a);
	identity_of(TRIAL("train", "", "\"seed\": 4, "), b);
	assert_string_equal(a, b);
	assert_int_equal(trial_members(member), 0);
	cJSON_Delete(member);
	cJSON_Delete(trial);
}

static void assert_refused(const char *json, const char *message)
{
	cJSON *trial = cJSON_Parse(json);
	struct trial_spec spec;
	struct error e = {{0}};

	assert_non_null(trial);
	assert_int_equal(trial_spec_parse(trial, &spec, &e), -1);
	if (!strstr(e.text, message))
		fail_msg("no \"%s\" in \"%s\"", message, e.text);
	cJSON_Delete(trial);
}

static void mistakes_in_members_are_said_with_their_place(void **state)
{
	assert_refused(TRIAL("ensemble", "\"ensemble\": {\"size\": 1}, ", ""), "2 to 64 members");
	assert_refused(TRIAL("ensemble", MEMBERS("[{}, 3]"), ""), "merge patches");
	assert_refused(TRIAL("ensemble", MEMBERS("[{}, {\"train\": {\"sede\": 3}}]"), ""),
	               "ensemble.members[1].train.sede");
	assert_refused(TRIAL("ensemble", MEMBERS("[{}, {\"train\": {\"batch\": 1}}]"), ""),
	               "ensemble.members[1]: so patched, train.batch");
	assert_refused(TRIAL("ensemble",
	                     "\"ensemble\": {\"size\": 2}, \"start_from\": {\"file\": \"w\"}, ",
	                     ""),
	               "start_from");
}

static void what_leaves_no_weights_is_nobodys_parent(void **state)
{
	static const char refused[] =
	        "action: found \"ensemble\"; allowed: any other, since an ensemble leaves no "
	        "weights";
	char *member = xformat("ensemble.members[1]: so patched, %s", refused);
	char *change = xformat("start_from.change: so patched, %s", refused);

	assert_refused(TRIAL("ensemble",
	                     MEMBERS("[{}, {\"action\": \"ensemble\", \"ensemble\": {\"size\": "
	                             "2}}]"),
	                     ""),
	               member);
	assert_refused(TRIAL("train",
	                     "\"start_from\": {\"change\": {\"action\": \"ensemble\", "
	                     "\"ensemble\": {\"size\": 2}}}, ",
	                     ""),
	               change);
	free(member);
	free(change);
}

/* ---- the coordinator ---- */
static void launch_from(struct turns *t, const char *identity, const char *how, bool dry)
{
	char *args =
	        xformat("{\"dry_run\":%s,\"sweep\":{\"name\":\"%s\",\"trial\":{\"data\":{\"name\":"
	                "\"shapes\"},\"model\":{\"name\":\"resnet20\"},\"train\":{\"epochs\":1},"
	                "\"start_from\":",
	                dry ? "true" : "false", how);
	char *named = xformat("{\"trial\":\"%s\"}", identity);
	char *start =
	        !strcmp(how, "patched")
	                ? xformat("{\"change\":{\"train\":{\"seed\":2},\"start_from\":%s}}", named)
	                : xstrdup(named);
	char *all = xformat("%s%s}}}", args, start);

	turns_request(t, "launch", all);
	free(all);
	free(start);
	free(named);
	free(args);
}

static void a_launch_that_starts_from_an_ensemble_is_refused(void **state)
{
	static const char nobody[] =
	        "0000000000000000000000000000000000000000000000000000000000000000";
	static const char *const hows[] = {"named", "patched"};
	struct turns t;

	turns_init(&t);
	turns_request(&t, "launch",
	              "{\"sweep\":{\"name\":\"two\",\"trial\":{\"action\":\"ensemble\",\"data\":"
	              "{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\"},\"ensemble\":{"
	              "\"size\":2},\"train\":{\"epochs\":1}}}}");
	turns_wait(&t, 1000);
	char *identity = sql_get_text(&t.store.db, "select identity from trial where id = 3");
	char *member = sql_get_text(&t.store.db, "select identity from trial where id = 1");
	for (int i = 0; i < 4; i++) {
		const char *before = i / 2 ? "start_from.change: " : "";
		char *line = xformat("%sstart_from.trial: trial 3 is an ensemble, which leaves no "
		                     "weights",
		                     before);
		launch_from(&t, identity, hows[i / 2], i % 2);
		assert_string_equal(turns_refusal(&t), line);
		launch_from(&t, nobody, hows[i / 2], i % 2);
		assert_non_null(strstr(turns_refusal(&t), "start_from.trial: no trial has"));
		free(line);
	}
	assert_int_equal(turns_int(&t, "select count(*) from study"), 1);
	launch_from(&t, member, "named", false);
	assert_string_equal(turns_refusal(&t), "");
	turns_wait(&t, 1000);
	assert_int_equal(turns_int(&t, "select count(*) from trial_input where trial = 4 and input "
	                               "= 1"),
	                 1);
	free(identity);
	free(member);
	turns_release(&t);
}

static void members_come_first_and_all_are_handed_out(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_request(&t, "launch",
	              "{\"sweep\":{\"name\":\"many\",\"trial\":{\"action\":\"ensemble\",\"data\":"
	              "{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\"},\"ensemble\":{"
	              "\"size\":12},"
	              "\"train\":{\"epochs\":1}},\"space\":{\"action\":{\"values\":[\"ensemble\","
	              "\"train\"]}}}}");
	turns_wait(&t, 1000);
	/* twelve members, one of them asked for on its own too, and the ensemble */
	assert_int_equal(turns_int(&t, "select count(*) from trial"), 13);
	assert_int_equal(turns_int(&t, "select count(*) from trial where state = 'ready'"), 12);
	assert_int_equal(turns_int(&t,
	                           "select count(*) from trial join specification on trial = id "
	                           "where state = 'waiting' and spec "
	                           "->> '$.action' = 'ensemble'"),
	                 1);
	assert_int_equal(turns_int(&t, "select count(distinct role) from trial_input"), 12);
	assert_int_equal(turns_int(&t, "select count(*) from trial_input i join specification p on "
	                               "p.trial = i.input where cast(substr(i.role, 7) as integer) "
	                               "<> spec ->> '$.train.seed'"),
	                 0);
	turns_release(&t);
}

/* ---- what is said together ---- */

/* An ensemble in this process, of members that lie below `folder`. */
struct ensemble {
	cJSON *trial;
	struct trial_spec spec;
	struct trainer trainer;
};

static enum outcome run_ensemble(struct ensemble *n, const char *json, const char *folder,
                                 struct error *e)
{
	char *first = xformat("%s/member0/weights.safetensors", folder);
	char *second = xformat("%s/member1/weights.safetensors", folder);
	struct trial_files files = {.folder = below("by_hand"),
	                            .cache = below("cache"),
	                            .member = {below(first), below(second)}};
	struct parallel p = {.ranks = 1, .shards = 2, .count = 2};
	struct observer o = {0};

	n->trial = cJSON_Parse(json);
	assert_int_equal(trial_spec_parse(n->trial, &n->spec, e), 0);
	enum outcome outcome = trainer_init(&n->trainer, n->trial, &n->spec, &files, &o, &p, e);
	free(first);
	free(second);
	return outcome == OUTCOME_DONE ? ensemble_run(&n->trainer, e) : outcome;
}

static void ensemble_begin(struct ensemble *n, const char *json, const char *folder)
{
	struct error e = {{0}};

	if (run_ensemble(n, json, folder, &e) != OUTCOME_DONE)
		fail_msg("%s", e.text);
}

static void ensemble_end(struct ensemble *n)
{
	trainer_release(&n->trainer);
	trial_spec_release(&n->spec);
	cJSON_Delete(n->trial);
}

/* What the table says of a score. */
static double auroc_of(const struct ensemble *n, const char *score)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, n->trainer.result.ood)
		if (!strcmp(json_text(item, "score", ""), score) &&
		    !strcmp(json_text(item, "metric", ""), "auroc"))
			return json_real(item, "value", NAN);
	return NAN;
}

static bool figure_is_of(const struct ensemble *n, const char *score)
{
	return json_real(n->trainer.result.figures, "auroc", NAN) == auroc_of(n, score);
}

static void an_ensemble_says_the_mean_of_its_members_probabilities(void **state)
{
	static const char json[] =
	        TRIAL("ensemble", "\"ensemble\": {\"size\": 2}, ", "\"seed\": 3, ");
	struct ensemble n;
	struct trainer *t = &n.trainer;

	trial_write("ensemble.json", json);
	assert_runs(&(struct trial_run){.trial = "ensemble.json", .folder = "hand"});
	ensemble_begin(&n, json, "hand");
	double parameters = json_real(t->result.figures, "parameters", 0);
	assert_true(parameters ==
	            2 * (double)parameter_elements(&ensemble_member(t, 0)->model->parameters));
	struct tensor *images, *labels;
	trainer_read(t, t->test, 0, 5, &images, &labels);
	struct prediction all, one[2];
	predict(t, images, 0, &all);
	for (int m = 0; m < 2; m++)
		predict(ensemble_member(t, m), images, 0, &one[m]);
	for (int i = 0; i < 5; i++) {
		double mean[10] = {0}, most = -INFINITY;
		for (int m = 0; m < 2; m++) {
			double sum = 0;
			for (int k = 0; k < 10; k++)
				sum += exp((double)one[m].logits[10 * i + k]);
			for (int k = 0; k < 10; k++)
				mean[k] += exp((double)one[m].logits[10 * i + k]) / sum / 2;
		}
		for (int k = 0; k < 10; k++) {
			assert_true(fabs(exp((double)all.logits[10 * i + k]) - mean[k]) < 1e-6);
			most = fmax(most, ((double)one[0].logits[10 * i + k] +
			                   (double)one[1].logits[10 * i + k]) /
			                          2);
		}
		assert_true(fabs(all.score[i * SCORES + SCORE_MAX_LOGIT] - most) < 1e-5);
	}
	prediction_release(&all);
	for (int m = 0; m < 2; m++)
		prediction_release(&one[m]);
	tensor_free(images);
	tensor_free(labels);
	ensemble_end(&n);
}

#define SPLIT_ENSEMBLE                                                                             \
	"{\"action\": \"ensemble\", \"data\": {\"name\": \"shapes\", \"limit\": 96, "              \
	"\"test_limit\": 40}, \"eval\": {\"batch\": 16}, \"model\": {\"name\": \"resnet20\", "     \
	"\"width\": 4}, \"split\": {\"submodels\": 3, \"interval\": 0}, \"ensemble\": {\"size\": " \
	"2}, \"ood\": {\"sets\": [\"uniform\"], \"images\": 30}, \"train\": {\"batch\": 32, "      \
	"\"epochs\": 1}}"

static void members_that_are_split_have_their_own_score_together(void **state)
{
	struct ensemble n;
	struct trainer *t = &n.trainer;
	struct tensor *images, *labels;
	struct prediction all, one[2];

	trial_write("split.json", SPLIT_ENSEMBLE);
	assert_runs(&(struct trial_run){.trial = "split.json", .folder = "split"});
	ensemble_begin(&n, SPLIT_ENSEMBLE, "split");
	assert_true(figure_is_of(&n, "subtask"));
	assert_true(isfinite(auroc_of(&n, "subtask_max")));
	trainer_read(t, t->test, 0, 5, &images, &labels);
	predict(t, images, 0, &all);
	for (int m = 0; m < 2; m++)
		predict(ensemble_member(t, m), images, 0, &one[m]);
	for (int i = 0; i < 5; i++)
		for (enum score k = SCORE_SUBTASK; k <= SCORE_SUBTASK_MAX; k++) {
			double mean =
			        (one[0].score[i * SCORES + k] + one[1].score[i * SCORES + k]) / 2;
			assert_true(fabs(all.score[i * SCORES + k] - mean) < 1e-12);
		}
	prediction_release(&all);
	for (int m = 0; m < 2; m++)
		prediction_release(&one[m]);
	tensor_free(images);
	tensor_free(labels);
	ensemble_end(&n);
}

static void passes_with_dropout_have_it_too(void **state)
{
	trial_write(
	        "passes.json",
	        "{\"data\": {\"name\": \"shapes\", \"limit\": 96, \"test_limit\": 40}, \"eval\": "
	        "{\"batch\": 16, \"dropout_samples\": 3}, \"model\": {\"name\": \"resnet20\", "
	        "\"width\": 4, \"dropout\": 0.3}, \"split\": {\"submodels\": 3, \"interval\": 0}, "
	        "\"ood\": {\"sets\": [\"uniform\"], \"images\": 30}, \"train\": {\"batch\": 32, "
	        "\"epochs\": 1}}");
	assert_runs(&(struct trial_run){.trial = "passes.json", .folder = "passes"});
	cJSON *outcome = outcome_read("passes");
	assert_true(isfinite(outcome_figure(outcome, "auroc")));
	cJSON_Delete(outcome);
}

/* Where one member lacks the score, the ensemble does, and its figure is that of max softmax. */
static void mixed_members_go_by_max_softmax(void **state)
{
	static const char json[] = TRIAL(
	        "ensemble",
	        MEMBERS("[{\"train\": {\"epochs\": 1}, \"split\": {\"submodels\": 3, "
	                "\"interval\": 0}}, {\"train\": {\"epochs\": 1}}]") "\"ood\": "
	                                                                    "{\"sets\": "
	                                                                    "[\"uniform\"], "
	                                                                    "\"images\": 30}, ",
	        "");
	struct ensemble n;

	trial_write("mixed.json", json);
	assert_runs(&(struct trial_run){.trial = "mixed.json", .folder = "mixed"});
	ensemble_begin(&n, json, "mixed");
	assert_true(isnan(auroc_of(&n, "subtask")));
	assert_true(figure_is_of(&n, "max_softmax"));
	ensemble_end(&n);
}

static void members_made_for_other_images_are_refused(void **state)
{
	static const struct {
		const char *json, *message;
	} bad[] = {
	        {TRIAL("ensemble", MEMBERS("[{}, {\"data\": {\"mean\": [0.1, 0.2, 0.3]}}]"), ""),
	         "member 1: its images are normalised in another way"},
	        {TRIAL("ensemble", MEMBERS("[{\"data\": {\"std\": [0.1, 0.2, 0.3]}}, {}]"), ""),
	         "member 0: its images are normalised in another way"},
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct ensemble n;
		struct error e = {{0}};
		assert_int_equal(run_ensemble(&n, bad[i].json, "hand", &e), OUTCOME_ERROR);
		if (!strstr(e.text, bad[i].message))
			fail_msg("no \"%s\" in: %s", bad[i].message, e.text);
		ensemble_end(&n);
	}
}

static void ranks_change_nothing_and_costs_are_summed(void **state)
{
	trial_write("alone.json", TRIAL("train", "", "\"seed\": 3, "));
	assert_runs(&(struct trial_run){.trial = "alone.json", .folder = "alone"});
	assert_runs(&(struct trial_run){.ranks = 2, .trial = "ensemble.json", .folder = "hand2"});
	assert_same_file("alone", "hand/member0", "weights.safetensors");
	cJSON *one = outcome_read("hand"), *two = outcome_read("hand2"),
	      *alone = outcome_read("alone");
	assert_true(outcome_figure(one, "loss") == outcome_figure(two, "loss"));
	assert_true(outcome_figure(one, "parameters") == 2 * outcome_figure(alone, "parameters"));
	assert_true(outcome_figure(one, "macs") == 2 * outcome_figure(alone, "macs"));
	cJSON_Delete(one);
	cJSON_Delete(two);
	cJSON_Delete(alone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_ensemble_is_its_members_in_their_order),
	        cmocka_unit_test(a_member_is_the_trial_that_it_would_be_alone),
	        cmocka_unit_test(mistakes_in_members_are_said_with_their_place),
	        cmocka_unit_test(what_leaves_no_weights_is_nobodys_parent),
	        cmocka_unit_test(a_launch_that_starts_from_an_ensemble_is_refused),
	        cmocka_unit_test(members_come_first_and_all_are_handed_out),
	        cmocka_unit_test(an_ensemble_says_the_mean_of_its_members_probabilities),
	        cmocka_unit_test(ranks_change_nothing_and_costs_are_summed),
	        cmocka_unit_test(members_that_are_split_have_their_own_score_together),
	        cmocka_unit_test(passes_with_dropout_have_it_too),
	        cmocka_unit_test(mixed_members_go_by_max_softmax),
	        cmocka_unit_test(members_made_for_other_images_are_refused),
	};

	return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
