/* Laws of the views: what a notebook asks is answered by plain SQL. */
#include "coordinator/sampler/pareto.h"
#include "core/base/file.h"
#include "core/base/random.h"
#include "tests/turns.h"
#include <math.h>

static const char sha_of_step[] =
        "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";

/* Full-precision parent (accuracy 0.9), children at 2, 4 and 8 bits. */
static void finish_bits(struct turns *t)
{
	static const double accuracy[] = {0.5, 0.8, 0.7}, bytes[] = {100, 200, 400};

	turns_launch(t, "bits-c10", "[2, 4, 8]", true);
	turns_hello(t, "a");
	turns_store(t, sha_of_step);
	for (int i = -1; i < 3; i++) {
		char *which = xformat("select trial from study_trial where number = %d", i);
		turns_say(
		        t, "a", WIRE_DONE,
		        "{\"agent\":\"a\",\"trial\":%ld,\"attempt\":1,\"numerics\":\"n\",\"batch\":"
		        "1,"
		        "\"rows\":[],\"result\":{\"accuracy\":%g,\"model_bytes\":%g},"
		        "\"categories\":"
		        "[{\"category\":3,\"name\":\"cat\",\"metric\":\"accuracy\",\"value\":%g}],"
		        "\"layers\":[{\"layer\":\"conv1\",\"metric\":\"bits\",\"value\":%d}],"
		        "\"artifacts\":[{\"name\":\"weights\",\"sha256\":\"%s\",\"bytes\":1}]}",
		        (long)turns_int(t, which), i < 0 ? 0.9 : accuracy[i],
		        i < 0 ? 1000 : bytes[i], i < 0 ? 0.9 : accuracy[i] - 0.25, 4, sha_of_step);
		assert_non_null(turns_reply(t, WIRE_DONE_SAVED));
		free(which);
	}
}

static void text_is(struct turns *t, const char *sql, const char *expected)
{
	char *is = sql_get_text(&t->store.db, sql);

	if (t->store.db.failure)
		fail_msg("%s", t->store.db.error.text);
	assert_non_null(is);
	assert_string_equal(is, expected);
	free(is);
}

static void a_study_has_a_row_per_trial_and_a_column_per_field_and_metric(void **state)
{
	struct turns t;

	turns_init(&t);
	finish_bits(&t);
	text_is(&t, "select group_concat(name) from pragma_table_info('study_bits_c10')",
	        "trial,state,weight_bits,accuracy,model_bytes");
	text_is(&t,
	        "select group_concat(weight_bits || ':' || accuracy || ':' || model_bytes, ' ') "
	        "from "
	        "(select * from study_bits_c10 where state = 'done' order by accuracy desc)",
	        "4:0.8:200.0 8:0.7:400.0 2:0.5:100.0");
	assert_int_equal(turns_int(&t, "select count(*) from study_bits_c10"), 3);
	turns_release(&t);
}

static void names_that_collide_are_made_longer(void **state)
{
	struct turns t;

	turns_init(&t);
	turns_say(&t, "client", WIRE_REQUEST,
	          "{\"id\":1,\"verb\":\"launch\",\"args\":{\"sweep\":{\"name\":\"a-b\",\"trial\":"
	          "{\"data\":{\"name\":\"shapes\"},\"model\":{\"name\":\"resnet20\"}},\"space\":"
	          "{\"train.seed\":{\"values\":[1]},\"data.seed\":{\"values\":[2]},\"train.batch\":"
	          "{\"values\":[128]}}}}}");
	text_is(&t, "select group_concat(name) from pragma_table_info('study_a_b')",
	        "trial,state,train_seed,data_seed,batch");
	turns_hello(&t, "a");
	turns_store(&t, sha_of_step);
	turns_say(&t, "a", WIRE_DONE,
	          "{\"agent\":\"a\",\"trial\":1,\"attempt\":1,\"numerics\":\"n\",\"batch\":1,"
	          "\"rows\":"
	          "[],\"result\":{\"batch\":7,\"it's\":1},\"artifacts\":[]}");
	text_is(&t, "select group_concat(name) from pragma_table_info('study_a_b')",
	        "trial,state,train_seed,data_seed,batch,final_batch,it's");
	assert_int_equal(turns_int(&t, "select batch * 1000 + final_batch from study_a_b"), 128007);
	/* Another study whose view would be called the same. */
	turns_launch(&t, "a_b", "[2]", false);
	assert_int_equal(turns_int(&t, "select count(*) from study_a_b"), 1);
	assert_int_equal(turns_int(&t, "select weight_bits from study_a_b_2"), 2);
	turns_release(&t);
}

static void results_best_and_pareto_follow_the_objectives(void **state)
{
	struct turns t;

	turns_init(&t);
	finish_bits(&t);
	assert_int_equal(turns_int(&t,
	                           "select count(*) from trial_result where study = 'bits-c10' and "
	                           "metric = 'accuracy' and attempts = 1 and state = 'done'"),
	                 3);
	text_is(&t, "select assignment from best where study = 'bits-c10' and rank = 1",
	        "{\"quant.weight_bits\":4}");
	assert_int_equal(turns_int(&t, "select count(*) from pareto"), 1);
	sql_script(
	        &t.store.db,
	        "update study set sweep = json_set(sweep, '$.objective', json('[{\"metric\":"
	        "\"accuracy\",\"goal\":\"max\"},{\"metric\":\"model_bytes\",\"goal\":\"min\"}]'))");
	text_is(&t, "select group_concat(assignment) from (select * from pareto order by trial)",
	        "{\"quant.weight_bits\":2},{\"quant.weight_bits\":4}");
	turns_release(&t);
}

static void the_other_views_answer(void **state)
{
	struct turns t;

	turns_init(&t);
	finish_bits(&t);
	text_is(&t,
	        "select study || ' ' || state || ' ' || done || '/' || total || ' ' || "
	        "parents_done "
	        "from progress",
	        "bits-c10 active 3/3 1");
	text_is(&t,
	        "select group_concat(round(gap, 6), ' ') from (select * from category_gap order by "
	        "trial)",
	        "0.65 0.35 0.45");
	assert_int_equal(turns_int(&t, "select count(*) from layer_bits where bits = 4"), 3);
	assert_int_equal(turns_int(&t, "select count(*) from timeline where outcome = 'done' and "
	                               "worker = 'a'"),
	                 4);
	turns_release(&t);
}

/* Makes trial 4, at 8 bits, start from trial 9, an allocation that starts from trial 1, and gives
 * 1 and 4 a second category and accuracies on training images. */
static void make_chain(struct turns *t)
{
	sql_script(&t->store.db,
	           "insert into trial(id, identity, state, ask, created_ms) values(9, 'nine', "
	           "'done', 1, 0);"
	           "insert into specification values(9, 0, 2, 3, '{\"action\": \"allocate\"}');"
	           "update trial_input set input = 9 where trial = 4;"
	           "insert into trial_input values(9, 1, 'start_from');"
	           "insert into category_metric values(1, 0, 'ant', 'accuracy', 0.5),"
	           "(4, 0, 'ant', 'accuracy', 0.625), (9, 3, 'cat', 'accuracy', 0.1),"
	           "(1, 3, 'cat', 'train_accuracy', 1), (4, 3, 'cat', 'train_accuracy', 0.75)");
	assert_int_equal(t->store.db.failure, 0);
	text_is(t, "select spec ->> '$.quant.weight_bits' from specification where trial = 4", "8");
}

static void gaps_reach_through_chains(void **state)
{
	struct turns t;

	turns_init(&t);
	finish_bits(&t);
	make_chain(&t);
	text_is(&t,
	        "select group_concat(parent || ' ' || name || ' ' || round(gap, 6), ', ') from "
	        "(select * from category_gap where trial = 4 and metric = 'accuracy' order by "
	        "category)",
	        "1 ant -0.125, 1 cat 0.45");
	text_is(&t,
	        "select group_concat(rank || ' ' || name, ', ') from (select * from most_impacted "
	        "where trial = 4 order by rank)",
	        "1 cat, 2 ant");
	text_is(&t,
	        "select group_concat(trial || ' ' || parent || ' ' || name || ' ' || "
	        "round(gap, 6) || ' ' || round(parent_gap, 6) || ' ' || round(change, 6)) "
	        "from train_gap",
	        "4 1 cat 0.3 0.1 0.2");
	turns_release(&t);
}

static void a_quantized_ancestor_is_not_the_full_precision_one(void **state)
{
	struct turns t;

	turns_init(&t);
	finish_bits(&t);
	make_chain(&t);
	sql_script(&t.store.db, "update specification set spec = '{\"quant\": {\"bits\": "
	                        "\"input\"}}' where trial = 9");
	assert_int_equal(turns_int(&t, "select ancestor from full_precision_ancestor where "
	                               "trial = 4"),
	                 1);
	sql_script(&t.store.db, "update specification set spec = '{}' where trial = 9");
	assert_int_equal(turns_int(&t, "select ancestor from full_precision_ancestor where "
	                               "trial = 4"),
	                 9);
	turns_release(&t);
}

static void layers_and_traces_have_their_views(void **state)
{
	struct turns t;

	turns_init(&t);
	finish_bits(&t);
	sql_script(&t.store.db,
	           "insert into layer_metric values(2, 'conv1', 'sensitivity_4', 0.5),"
	           "(2, 'conv1', 'sensitivity_12', 0.25), (2, 'conv1', 'sensitivity', 7);"
	           "insert into metric(trial, name, step, value, attempt) values"
	           "(2, 'fisher_all', 64, 8, 1), (2, 'fisher_all_error', 64, 2, 1),"
	           "(2, 'fisher_all', 128, 10, 1), (2, 'fisher_all_error', 128, 1, 1),"
	           "(2, 'fisher_critical', 64, 5, 1), (2, 'loss', 64, 1, 1)");
	text_is(&t,
	        "select group_concat(layer || ' ' || bits || ' ' || sensitivity, ', ') from "
	        "(select * from layer_sensitivity where trial = 2 order by bits)",
	        "conv1 4 0.5, conv1 12 0.25");
	text_is(&t,
	        "select group_concat(metric || ' ' || images || ' ' || value || ' ' || "
	        "coalesce(relative_error, '?'), ', ') from (select * from fisher_convergence "
	        "order by metric, images)",
	        "fisher_all 64 8.0 0.25, fisher_all 128 10.0 0.1, fisher_critical 64 5.0 ?");
	turns_release(&t);
}

static void views_work_in_sqlite3_without_any_of_our_functions(void **state)
{
	const char *root = getenv("TMPDIR");
	char *folder = xformat("%s/trawl-views-XXXXXX", root ? root : "/tmp");
	struct turns t = {.now_ms = 1000000};
	char line[256] = "";

	if (system("command -v sqlite3 > /dev/null 2>&1") != 0) {
		print_message("SKIPPED views_work_in_sqlite3: there is no sqlite3\n");
		free(folder);
		skip();
	}
	assert_non_null(mkdtemp(folder));
	char *path = path_join(folder, "study.db");
	turns_start(&t, path);
	finish_bits(&t);
	char *command =
	        xformat("sqlite3 %s 'select weight_bits, accuracy, model_bytes from "
	                "study_bits_c10 order by accuracy desc limit 1; select count(*) from "
	                "trial_result; select count(*) from pareto; "
	                "select count(*) from most_impacted'",
	                path);
	FILE *out = popen(command, "r");
	size_t length = fread(line, 1, sizeof line - 1, out);
	line[length] = 0;
	pclose(out);
	assert_string_equal(line, "4|0.8|200.0\n6\n1\n3\n");
	turns_release(&t);
	folder_remove(folder, NULL);
	free(command);
	free(path);
	free(folder);
}

/* The area by slices in C, over 20 random trials, is the view's. */
static void the_hypervolume_is_that_of_the_sampler(void **state)
{
	struct turns t;
	struct random_stream r = random_stream(5, "volume", 0, 0);
	double loss[2 * 20], worst[2] = {-INFINITY, -INFINITY};

	turns_init(&t);
	turns_request(&t, "launch",
	              "{\"sweep\":{\"name\":\"two\",\"trial\":{\"data\":{\"name\":\"shapes\"},"
	              "\"model\":{\"name\":\"resnet20\"}},\"space\":{\"train.seed\":{\"min\":1,"
	              "\"max\":20,\"step\":1}},\"objective\":[{\"metric\":\"accuracy\",\"goal\":"
	              "\"max\"},{\"metric\":\"model_bytes\",\"goal\":\"min\"}]}}");
	assert_string_equal(turns_refusal(&t), "");
	turns_hello(&t, "a");
	for (int i = 0; i < 20; i++) {
		double accuracy = random_uniform(&r, (uint64_t)i);
		double bytes = (double)random_below(&r, (uint64_t)i + 100, 1000);
		loss[2 * i] = -accuracy;
		loss[2 * i + 1] = bytes;
		worst[0] = fmax(worst[0], -accuracy);
		worst[1] = fmax(worst[1], bytes);
		turns_beat(&t, "a", "[]");
		turns_say(&t, "a", WIRE_DONE,
		          "{\"agent\":\"a\",\"trial\":%d,\"attempt\":1,\"numerics\":\"n\","
		          "\"batch\":1,"
		          "\"rows\":[],\"result\":{\"accuracy\":%.17g,\"model_bytes\":%.17g},"
		          "\"artifacts\":[]}",
		          i + 1, accuracy, bytes);
		turns_state(&t, i + 1, "done");
	}
	struct sql_rows *rows =
	        sql_query(&t.store.db, "select trials, hypervolume from hypervolume");
	assert_true(sql_next(rows));
	assert_int_equal(sql_int(rows, 0), 20);
	assert_float_equal(sql_real(rows, 1), pareto_hypervolume(loss, 20, 2, worst), 1e-9);
	sql_end(rows);
	turns_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_study_has_a_row_per_trial_and_a_column_per_field_and_metric),
	        cmocka_unit_test(names_that_collide_are_made_longer),
	        cmocka_unit_test(results_best_and_pareto_follow_the_objectives),
	        cmocka_unit_test(the_other_views_answer),
	        cmocka_unit_test(gaps_reach_through_chains),
	        cmocka_unit_test(a_quantized_ancestor_is_not_the_full_precision_one),
	        cmocka_unit_test(layers_and_traces_have_their_views),
	        cmocka_unit_test(views_work_in_sqlite3_without_any_of_our_functions),
	        cmocka_unit_test(the_hypervolume_is_that_of_the_sampler),
	};

	return cmocka_run_group_tests_name("views", tests, NULL, NULL);
}
