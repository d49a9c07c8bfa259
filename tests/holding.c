/* One attempt at the agent, as a pure machine: what it decides, without processes and sockets. */
#include "worker/holding.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { AGAIN_MS = 1000 };
static const char agent[] = "agent";

struct world {
	struct holding *h;
	struct acts acts;
	int64_t now_ms;
};

static void begin(struct world *w, const char *lease)
{
	cJSON *json = cJSON_Parse(lease);
	assert_non_null(json);
	*w = (struct world){.now_ms = 1000000};
	w->h = holding_new(json, agent, w->now_ms, &w->acts);
	cJSON_Delete(json);
}

static void end(struct world *w)
{
	acts_release(&w->acts);
	holding_free(w->h);
}

static size_t count(const struct world *w, enum act_kind kind)
{
	size_t n = 0;
	for (size_t i = 0; i < w->acts.count; i++)
		n += w->acts.items[i].kind == kind;
	return n;
}

static void job_says(struct world *w, enum wire_kind kind, const char *body)
{
	cJSON *json = cJSON_Parse(body);
	assert_non_null(json);
	holding_message(w->h, agent, kind, json, w->now_ms, &w->acts);
	cJSON_Delete(json);
}

static void checkpoint(struct world *w, int step)
{
	char *body = xformat("{\"trial\": 1, \"attempt\": 1, \"step\": %d, \"epoch\": 0, "
	                     "\"path\": \"/c%d\", \"sha256\": \"%d\", \"bytes\": 1, "
	                     "\"numerics\": \"\", \"batch\": %d, \"rows\": []}",
	                     step, step, step, step);
	job_says(w, WIRE_JOB_CHECKPOINT, body);
	free(body);
}

static void transferred(struct world *w, const char *sha256, enum transfer_status status, bool up)
{
	struct transfer_result r = {.item = {.upload = up}, .status = status};
	snprintf(r.item.sha256, sizeof r.item.sha256, "%s", sha256);
	if (up)
		holding_stored(w->h, agent, &r, &w->acts);
	else
		holding_fetched(w->h, agent, &r, w->now_ms, &w->acts);
}

static const char *exited(struct world *w, const char *outcome_file, bool by_host)
{
	cJSON *file = outcome_file ? cJSON_Parse(outcome_file) : NULL;
	struct holding_exit x = {.outcome = file, .log = "the end", .by_host = by_host};
	holding_exited(w->h, agent, &x, w->now_ms, &w->acts);
	cJSON_Delete(file);
	struct outbox *o = &w->h->outbox;
	const struct outbox_item *last = &o->items[o->count - 1];
	return last->kind == WIRE_DONE ? "done" : json_text(last->body, "outcome", "?");
}

static const char plain[] = "{\"trial\": 1, \"attempt\": 1, \"spec\": {\"stall\": "
                            "{\"minutes\": 1}}, \"token\": \"t\", "
                            "\"limits\": {\"memory_mb\": 10, "
                            "\"grace_seconds\": 5}}";

static void nothing_starts_before_all_files_are_here(void **state)
{
	struct world w;
	begin(&w, "{\"trial\": 1, \"attempt\": 1, \"spec\": {}, "
	          "\"resume\": {\"sha256\": \"r\", \"bytes\": 1, \"step\": 7}, "
	          "\"inputs\": [{\"role\": \"start_from\", \"sha256\": \"i\", \"bytes\": 1}]}");
	assert_int_equal(count(&w, ACT_FETCH), 2);
	transferred(&w, "r", TRANSFER_OK, false);
	assert_int_equal(count(&w, ACT_START), 0);
	transferred(&w, "i", TRANSFER_OK, false);
	assert_int_equal(count(&w, ACT_START), 1);
	cJSON *entry = holding_describe(w.h);
	assert_int_equal(json_int(entry, "step", 0), 7); /* where it goes on from */
	cJSON_Delete(entry);
	end(&w);
}

/* What was found at the end, and what it is called: a row each. */
static void every_ending_has_its_name(void **state)
{
	static const struct {
		const char *own_word, *file, *expected;
		bool by_host;
		int64_t memory_bytes;
		enum holding_wish wish;
	} rows[] = {
	        {NULL, NULL, "error", false, 0, WISH_RUN},
	        {NULL, NULL, "killed", true, 0, WISH_RUN},
	        {NULL, NULL, "out_of_memory", true, 11 << 20, WISH_RUN},
	        {"diverged", NULL, "diverged", true, 0, WISH_RUN},
	        {"error", NULL, "out_of_memory", false, 11 << 20, WISH_RUN},
	        {"diverged", NULL, "diverged", false, 11 << 20, WISH_RUN},
	        {NULL, NULL, "yield", false, 0, WISH_YIELD},
	        {NULL, NULL, "stopped", true, 0, WISH_STOP},
	        {NULL, "{\"kind\": \"job_ended\", \"body\": {\"outcome\": \"error\"}}", "error",
	         true, 0, WISH_RUN},
	        {NULL, "{\"kind\": \"job_done\", \"body\": {\"result\": {}, \"artifacts\": []}}",
	         "done", true, 11 << 20, WISH_STOP},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct world w;
		begin(&w, plain);
		char *body = xformat("{\"outcome\": \"%s\", \"text\": \"\"}",
		                     rows[i].own_word ? rows[i].own_word : "");
		holding_memory(w.h, rows[i].memory_bytes, &w.acts);
		assert_int_equal(count(&w, ACT_KILL), rows[i].memory_bytes > 0);
		holding_order(w.h, agent, rows[i].wish, w.now_ms, &w.acts);
		if (rows[i].own_word)
			job_says(&w, WIRE_JOB_ENDED, body);
		const char *got = exited(&w, rows[i].file, rows[i].by_host);
		if (strcmp(got, rows[i].expected))
			fail_msg("row %zu: %s, not %s", i, got, rows[i].expected);
		free(body);
		end(&w);
	}
}

static void superseded_checkpoints_are_not_sent_and_leave_the_folder(void **state)
{
	struct world w;
	begin(&w, plain);
	for (int step = 1; step <= 5; step++)
		checkpoint(&w, step);
	assert_int_equal(w.h->outbox.count, 2);
	assert_int_equal(w.h->outbox.items[0].step, 1); /* on its way */
	assert_int_equal(w.h->outbox.items[1].step, 5);
	assert_int_equal(count(&w, ACT_KEEP), 3);
	assert_false(holding_owes(w.h, "3"));
	end(&w);
}

static void checkpoint_acknowledges_the_metrics_before_it(void **state)
{
	struct world w;
	begin(&w, plain);
	for (int batch = 1; batch <= 3; batch++) {
		char *body = xformat("{\"batch\": %d, \"rows\": []}", batch);
		job_says(&w, WIRE_JOB_METRICS, body);
		holding_tick(w.h, w.now_ms, AGAIN_MS, &(int64_t){100}, &w.acts);
		free(body);
	}
	checkpoint(&w, 2); /* its batch is 2 */
	cJSON *saved = cJSON_Parse("{\"step\": 2, \"batch\": 2}");
	assert_false(holding_saved(w.h, WIRE_CHECKPOINT_SAVED, saved, &w.acts));
	assert_int_equal(w.h->outbox.count, 1);
	assert_int_equal(w.h->outbox.items[0].batch, 3);
	cJSON_Delete(saved);
	end(&w);
}

static void job_measures(struct world *w, int batch)
{
	char *body = xformat("{\"batch\": %d, \"rows\": [{\"name\": \"loss\", \"step\": %d}]}",
	                     batch, batch);

	job_says(w, WIRE_JOB_METRICS, body);
	free(body);
}

/* Checkpoints and the last word do not wait for them. */
static void metrics_wait_for_credits_and_go_together(void **state)
{
	struct world w;
	int64_t credits = 2;
	begin(&w, plain);
	for (int batch = 1; batch <= 50; batch++) {
		job_measures(&w, batch);
		holding_tick(w.h, w.now_ms, AGAIN_MS, &credits, &w.acts);
	}
	assert_int_equal(count(&w, ACT_SEND), 2);
	assert_int_equal(credits, 0);
	assert_int_equal(outbox_in_flight(&w.h->outbox), 2);
	assert_int_equal(w.h->outbox.count, 3);
	assert_int_equal(w.h->outbox.items[2].batch, 50);
	assert_int_equal(json_int(w.h->outbox.items[2].body, "batch", 0), 50);
	assert_int_equal(cJSON_GetArraySize(json_at(w.h->outbox.items[2].body, "rows")), 48);
	checkpoint(&w, 60);
	transferred(&w, "60", TRANSFER_OK, true);
	holding_tick(w.h, w.now_ms, AGAIN_MS, &credits, &w.acts);
	assert_int_equal(count(&w, ACT_SEND), 3);
	assert_int_equal(w.acts.items[w.acts.count - 1].message, WIRE_CHECKPOINT);
	end(&w);
}

/* It has heard nothing of what was said to the one before: no back-off, and credits are its own. */
static void another_coordinator_is_told_at_once(void **state)
{
	struct world w;
	int64_t credits = 1;
	begin(&w, plain);
	job_measures(&w, 1);
	for (int i = 0; i < 64; i++, w.now_ms += AGAIN_MS)
		holding_tick(w.h, w.now_ms, AGAIN_MS, &credits, &w.acts);
	size_t said = count(&w, ACT_SEND);
	outbox_unsay(&w.h->outbox);
	assert_int_equal(outbox_in_flight(&w.h->outbox), 0);
	credits = 1;
	holding_tick(w.h, w.now_ms, AGAIN_MS, &credits, &w.acts);
	assert_int_equal(count(&w, ACT_SEND), said + 1);
	assert_int_equal(credits, 0);
	end(&w);
}

/* A coordinator that is away for days does not fill the agent's memory. */
static void metrics_that_wait_are_bounded(void **state)
{
	struct world w;
	int64_t none = 0, rows = 0;
	begin(&w, plain);
	for (int batch = 1; batch <= (METRICS_QUEUED + 3) * ROWS_TOGETHER; batch++)
		job_measures(&w, batch);
	holding_tick(w.h, w.now_ms, AGAIN_MS, &none, &w.acts);
	for (size_t i = 0; i < w.h->outbox.count; i++)
		rows += cJSON_GetArraySize(json_at(w.h->outbox.items[i].body, "rows"));
	assert_int_equal(rows, METRICS_QUEUED * ROWS_TOGETHER);
	assert_int_equal(w.h->outbox.items[w.h->outbox.count - 1].batch,
	                 (METRICS_QUEUED + 3) * ROWS_TOGETHER);
	end(&w);
}

static void lease_goes_back_after_the_checkpoint(void **state)
{
	struct world w;
	begin(&w, plain);
	checkpoint(&w, 9);
	job_says(&w, WIRE_JOB_ENDED, "{\"outcome\": \"yield\", \"text\": \"\"}");
	exited(&w, NULL, false);
	holding_tick(w.h, w.now_ms, AGAIN_MS, &(int64_t){100}, &w.acts);
	assert_int_equal(count(&w, ACT_SEND), 0); /* its bytes are not stored */
	transferred(&w, "9", TRANSFER_OK, true);
	holding_tick(w.h, w.now_ms, AGAIN_MS, &(int64_t){100}, &w.acts);
	assert_int_equal(count(&w, ACT_SEND), 1);
	cJSON *saved = cJSON_Parse("{\"step\": 9, \"batch\": 9}");
	holding_saved(w.h, WIRE_CHECKPOINT_SAVED, saved, &w.acts);
	holding_tick(w.h, w.now_ms, AGAIN_MS, &(int64_t){100}, &w.acts);
	assert_int_equal(count(&w, ACT_SEND), 2);
	assert_int_equal(w.acts.items[w.acts.count - 1].message, WIRE_ENDED);
	assert_true(holding_saved(w.h, WIRE_ENDED_SAVED, saved, &w.acts));
	cJSON_Delete(saved);
	end(&w);
}

/* Said at 0, then after 1, 2, 4, 8, 16, 16 … seconds. */
static void repeats_back_off(void **state)
{
	struct world w;
	begin(&w, plain);
	job_says(&w, WIRE_JOB_METRICS, "{\"batch\": 1, \"rows\": []}");
	for (int i = 0; i < 64; i++, w.now_ms += AGAIN_MS)
		holding_tick(w.h, w.now_ms - w.now_ms % AGAIN_MS, AGAIN_MS, &(int64_t){100},
		             &w.acts);
	assert_in_range(count(&w, ACT_SEND), 7, 8);
	end(&w);
}

static void order_given_before_rank_0_listens_reaches_it(void **state)
{
	struct world w;
	begin(&w, plain);
	holding_order(w.h, agent, WISH_STOP, w.now_ms, &w.acts);
	acts_release(&w.acts);
	job_says(&w, WIRE_JOB_HELLO, "{\"pid\": 1, \"ranks\": 1, \"numerics\": \"\"}");
	assert_int_equal(count(&w, ACT_ORDER), 1);
	assert_string_equal(w.acts.items[0].text, "stop");
	end(&w);
}

static void wish_never_weakens(void **state)
{
	struct world w;
	begin(&w, plain);
	holding_order(w.h, agent, WISH_STOP, w.now_ms, &w.acts);
	holding_order(w.h, agent, WISH_YIELD, w.now_ms, &w.acts);
	holding_order(w.h, agent, WISH_RUN, w.now_ms, &w.acts);
	assert_int_equal(w.h->wish, WISH_STOP);
	assert_int_equal(count(&w, ACT_ORDER), 1);
	end(&w);
}

static void progress_without_a_step_is_no_progress(void **state)
{
	struct world w;
	begin(&w, plain);
	for (int i = 0; i < 130; i++, w.now_ms += 500) {
		job_says(&w, WIRE_JOB_PROGRESS,
		         "{\"step\": 3, \"epoch\": 0, \"phase\": \"train\"}");
		holding_tick(w.h, w.now_ms, AGAIN_MS, &(int64_t){100}, &w.acts);
	}
	assert_int_equal(count(&w, ACT_KILL), 1);
	assert_string_equal(exited(&w, NULL, true), "hung");
	end(&w);
}

static void result_that_cannot_be_read_back_is_an_error(void **state)
{
	struct world w;
	begin(&w, plain);
	job_says(&w, WIRE_JOB_DONE,
	         "{\"numerics\": \"\", \"batch\": 1, \"rows\": [], \"result\": {}, \"artifacts\": "
	         "[{\"name\": \"weights\", \"path\": \"/w\", \"sha256\": \"w\", \"bytes\": 1}]}");
	assert_string_equal(exited(&w, NULL, false), "done");
	assert_int_equal(count(&w, ACT_UPLOAD), 1);
	transferred(&w, "w", TRANSFER_LOCAL, true);
	assert_int_equal(w.h->outbox.count, 1);
	assert_int_equal(w.h->outbox.items[0].kind, WIRE_ENDED);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(nothing_starts_before_all_files_are_here),
	        cmocka_unit_test(every_ending_has_its_name),
	        cmocka_unit_test(superseded_checkpoints_are_not_sent_and_leave_the_folder),
	        cmocka_unit_test(checkpoint_acknowledges_the_metrics_before_it),
	        cmocka_unit_test(metrics_wait_for_credits_and_go_together),
	        cmocka_unit_test(another_coordinator_is_told_at_once),
	        cmocka_unit_test(metrics_that_wait_are_bounded),
	        cmocka_unit_test(lease_goes_back_after_the_checkpoint),
	        cmocka_unit_test(repeats_back_off),
	        cmocka_unit_test(order_given_before_rank_0_listens_reaches_it),
	        cmocka_unit_test(wish_never_weakens),
	        cmocka_unit_test(progress_without_a_step_is_no_progress),
	        cmocka_unit_test(result_that_cannot_be_read_back_is_an_error),
	};
	cmocka_set_test_filter(getenv("TRAWL_TEST_ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
