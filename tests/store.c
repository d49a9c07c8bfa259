/* Laws of the database file: created, brought up to date, refused, held by one, read by all. */
#include "coordinator/orphan.h"
#include "core/base/file.h"
#include "tests/turns.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static char *folder, *path;

static int set_up(void **state)
{
	const char *root = getenv("TMPDIR");

	folder = xformat("%s/trawl-store-XXXXXX", root ? root : "/tmp");
	if (!mkdtemp(folder))
		return -1;
	path = path_join(folder, "study.db");
	return 0;
}

static int tear_down(void **state)
{
	folder_remove(folder, NULL);
	free(folder);
	free(path);
	return 0;
}

static void open_or_fail(struct store *s)
{
	struct error e = {{0}};

	if (store_open(s, path, false, &e) != 0)
		fail_msg("%s", e.text);
}

static void refused(const char *words)
{
	struct store s;
	struct error e = {{0}};

	assert_int_equal(store_open(&s, path, false, &e), -1);
	if (!strstr(e.text, words) || strchr(e.text, '\n'))
		fail_msg("\"%s\" is not in: %s", words, e.text);
}

static void what_is_written_is_there_after_opening_again(void **state)
{
	struct store s;

	open_or_fail(&s);
	sql_run(&s.db, "insert into event(at_ms, kind, text) values(1, 'test', 'there')");
	assert_int_equal(s.db.failure, 0);
	store_close(&s);
	open_or_fail(&s);
	assert_int_equal(sql_get_int(&s.db, 0, "select count(*) from event where text = 'there'"),
	                 1);
	store_close(&s);
}

static void every_table_is_strict_and_the_log_is_written_ahead(void **state)
{
	struct store s;

	open_or_fail(&s);
	assert_int_equal(
	        sql_get_int(&s.db, -1,
	                    "select count(*) from pragma_table_list where schema = 'main' and "
	                    "type = 'table' and not strict and name not like 'sqlite_%'"),
	        0);
	char *mode = sql_get_text(&s.db, "pragma journal_mode");
	assert_string_equal(mode, "wal");
	free(mode);
	assert_int_equal(sql_get_int(&s.db, 0, "pragma synchronous"), 2);
	assert_int_equal(sql_get_int(&s.db, 0, "pragma foreign_keys"), 1);
	store_close(&s);
}

/* A file as trawl wrote it before there were landscapes. */
static void make_schema_1(void)
{
	struct store s;

	open_or_fail(&s);
	sql_run(&s.db, "insert into event(at_ms, kind, text) values(1, 'test', 'kept')");
	sql_script(
	        &s.db,
	        "drop index study_due; drop index study_judge; drop index study_news; drop index "
	        "study_share; alter table study drop column due; alter table study drop column "
	        "news; alter "
	        "table study drop column best; alter table study drop column judge; "
	        "alter table study_trial drop column bracket; alter table study_trial drop column "
	        "until_epoch; drop index trial_ready; alter table trial drop column reached; "
	        "drop index trial_worker; alter table trial drop column study; alter table study "
	        "drop column share; create index trial_worker on trial(worker); "
	        "create index trial_ready on trial(id); drop index trial_paused; drop table rung; "
	        "drop table notice; drop table series; drop index worker_up; drop index "
	        "trial_open; drop table key; alter "
	        "table coordinator drop column curve; alter table coordinator drop column uuid; "
	        "alter table coordinator drop column generation; alter table coordinator drop "
	        "column "
	        "copied; alter table coordinator drop column superseded; alter table coordinator "
	        "drop column disk_low; alter table refusal drop column until_ms; alter table "
	        "refusal "
	        "drop column times; "
	        "drop trigger upload_came; drop trigger "
	        "upload_went; drop trigger upload_changed; drop index artifact_spare; alter table "
	        "coordinator drop column stored_bytes; alter table coordinator drop column "
	        "quota_bytes; alter table coordinator drop column full_ms; alter table worker drop "
	        "column key; alter "
	        "table worker drop column until_ms; create table old_ask(id integer primary key, "
	        "ranks integer not null, threads integer not null, gpus integer not null, "
	        "memory_mb integer not null, data_digest text not null, unique (ranks, threads, "
	        "gpus, memory_mb, data_digest)) strict; pragma foreign_keys = off; drop table ask; "
	        "alter table old_ask rename to ask; "
	        "alter table trial add column spec text not null default ''; "
	        "drop view full_precision_ancestor; create view full_precision_ancestor as select "
	        "t.id trial, t.id ancestor, t.spec ->> '$.action' depth from trial t; create view "
	        "theirs as select id, spec from trial; "
	        "drop table specification; "
	        "drop table landscape; "
	        "drop table split_node; drop table ood_metric; drop table ood_curve; "
	        "pragma user_version = 1");
	assert_int_equal(s.db.failure, 0);
	store_close(&s);
}

/* Names, types, nullness and key of every column of every table. */
static char *columns_of(struct store *s)
{
	return sql_get_text(&s->db,
	                    "select group_concat(t.name || '.' || c.name || ' ' || c.type || "
	                    "c.\"notnull\" || c.pk || t.strict || t.wr, ', ') from "
	                    "(select * from pragma_table_list where type = 'table' order by name) "
	                    "t, pragma_table_info(t.name) c");
}

/* Indexes and triggers, whatever the lines of their text. */
static char *others_of(struct store *s)
{
	return sql_get_text(
	        &s->db, "select group_concat(replace(replace(replace(sql, char(10), ''), "
	                "char(9), ''), ' ', ''), ';') from (select sql from sqlite_schema "
	                "where type in ('index', 'trigger') and sql is not null order by name)");
}

static void an_older_schema_is_brought_up_to_date(void **state)
{
	struct store s;
	struct error e = {{0}};

	make_schema_1();
	assert_int_equal(store_open_reader(&s, path, &e), -1);
	assert_non_null(strstr(e.text, "has schema 1"));
	open_or_fail(&s);
	assert_int_equal(sql_get_int(&s.db, 0, "pragma user_version"), STORE_SCHEMA);
	assert_int_equal(sql_get_int(&s.db, 0, "select count(*) from event where text = 'kept'"),
	                 1);
	assert_int_equal(sql_get_int(&s.db, 0, "select count(*) from full_precision_ancestor"), 0);
	assert_int_equal(
	        sql_get_int(&s.db, 0, "select count(*) from sqlite_schema where name = 'theirs'"),
	        1);
	assert_int_equal(s.db.failure, 0);
	char *migrated = columns_of(&s), *others = others_of(&s);
	store_close(&s);
	assert_int_equal(store_open(&s, ":memory:", false, &e), 0);
	char *new = columns_of(&s), *new_others = others_of(&s);
	store_close(&s);
	assert_string_equal(migrated, new);
	assert_string_equal(others, new_others);
	free(migrated);
	free(new);
	free(others);
	free(new_others);
}

static void a_newer_schema_is_refused(void **state)
{
	struct store s;

	open_or_fail(&s);
	sql_script(&s.db, "pragma user_version = 99");
	store_close(&s);
	refused("schema 99");
	struct error e = {{0}};
	assert_int_equal(store_open_reader(&s, path, &e), -1);
	assert_non_null(strstr(e.text, "schema 99"));
}

static void a_database_of_others_is_refused(void **state)
{
	sqlite3 *handle = NULL;

	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	sqlite3_exec(handle, "create table theirs(x)", NULL, NULL, NULL);
	sqlite3_close(handle);
	refused("not a database of trawl");
	char *bytes = file_read(path, NULL, NULL);
	assert_int_equal(bytes[18], 1); /* its journal is as it was: not written ahead */
	free(bytes);
	assert_int_equal(
	        file_write(path, "this is no database at all, not even SQLite's", 40, NULL), 0);
	refused("study.db");
}

static void the_second_coordinator_says_who_holds_it(void **state)
{
	struct store s;
	struct error e = {{0}};
	int status = 0;

	open_or_fail(&s);
	assert_int_equal(store_announce(&s, "tcp://127.0.0.1:5555", NULL, NULL, &e), 0);
	pid_t child = fork();
	if (child == 0) {
		struct store second;
		char pid[32];
		snprintf(pid, sizeof pid, "pid %d", (int)getppid());
		int opened = store_open(&second, path, false, &e);
		_exit(opened == -1 && strstr(e.text, pid) && strstr(e.text, "host ") &&
		                      strstr(e.text, "tcp://127.0.0.1:5555")
		              ? 0
		              : 1);
	}
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
	store_close(&s);
	open_or_fail(&s);
	store_close(&s);
}

static void readers_read_while_it_is_written_and_cannot_write(void **state)
{
	struct store s, reader;
	struct error e = {{0}};

	open_or_fail(&s);
	if (store_open_reader(&reader, path, &e) != 0)
		fail_msg("%s", e.text);
	sql_script(&s.db, "begin immediate");
	sql_run(&s.db, "insert into event(at_ms, kind, text) values(1, 'test', 'x')");
	assert_int_equal(sql_get_int(&reader.db, -1, "select count(*) from event"), 0);
	sql_script(&s.db, "commit");
	assert_int_equal(sql_get_int(&reader.db, -1, "select count(*) from event"), 1);
	sql_run(&reader.db, "delete from event");
	assert_int_not_equal(reader.db.failure, 0);
	store_close(&reader);
	store_close(&s);
}

static void a_reader_of_nothing_says_so(void **state)
{
	struct store s;
	struct error e = {{0}};

	assert_int_equal(store_open_reader(&s, path, &e), -1);
	assert_non_null(strstr(e.text, "no such database"));
}

static void a_failure_is_remembered_until_cleared(void **state)
{
	struct store s;

	open_or_fail(&s);
	sql_run(&s.db, "insert into study(name, sweep, created_ms, total) values(null, '', 0, 0)");
	assert_int_not_equal(s.db.failure, 0);
	assert_false(sql_failed_by_world(&s.db));
	assert_int_equal(sql_get_int(&s.db, -7, "select 1"), -7);
	sql_failure_clear(&s.db);
	assert_int_equal(sql_get_int(&s.db, -7, "select 1"), 1);
	store_close(&s);
}

static void a_full_disk_acknowledges_nothing_and_loses_nothing(void **state)
{
	struct turns t = {.now_ms = 1000000};
	char limit[64];

	turns_start(&t, path);
	turns_launch(&t, "bits", "[2, 4]", false);
	turns_hello(&t, "a");
	snprintf(limit, sizeof limit, "pragma max_page_count = %d",
	         (int)turns_int(&t, "pragma page_count"));
	int failed = 0, count = 0;
	for (; count < 400 && !failed; count++) {
		sql_script(&t.store.db, limit);
		failed = turns_say(
		        &t, "a", WIRE_METRICS,
		        "{\"agent\":\"a\",\"trial\":1,\"attempt\":1,\"batch\":%d,\"rows\":"
		        "[{\"name\":\"a rather long name of a metric, to fill the page, %d\","
		        "\"step\":1,\"value\":1}]}",
		        count, count);
	}
	assert_int_equal(failed, -1);
	assert_int_equal(t.out.count, 0);
	assert_int_equal(turns_int(&t, "select count(*) from metric"), count - 1);
	sql_script(&t.store.db, "pragma max_page_count = 100000");
	assert_int_equal(
	        turns_say(&t, "a", WIRE_METRICS,
	                  "{\"agent\":\"a\",\"trial\":1,\"attempt\":1,\"batch\":%d,\"rows\":"
	                  "[{\"name\":\"last\",\"step\":1,\"value\":1}]}",
	                  count),
	        0);
	assert_non_null(turns_reply(&t, WIRE_METRICS_SAVED));
	turns_release(&t);
}

static void touch(const char *artifacts, const char *name, int64_t age_days)
{
	char *below = xformat("%s/%.2s", artifacts, name), *file = path_join(below, name);
	struct timespec times[2] = {{.tv_sec = time(NULL) - age_days * 86400}};

	times[1] = times[0];
	assert_int_equal(folder_make(below, NULL), 0);
	assert_int_equal(file_write(file, "x", 1, NULL), 0);
	assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
	free(below);
	free(file);
}

static void bytes_that_a_crash_left_behind_go_after_a_day(void **state)
{
	struct store s;
	char *artifacts = path_join(folder, "artifacts"), name[80];

	open_or_fail(&s);
	for (int i = 0; i < 4; i++) {
		memset(name, 'a' + i, 64);
		strcpy(name + 64, i == 3 ? ".part" : "");
		touch(artifacts, name, i == 1 ? 0 : 2);
	}
	memset(name, 'c', 64);
	name[64] = 0;
	sql_run(&s.db, "insert into upload values(?, 1, 0)", (const char *)name);
	/* a: unknown and old; b: unknown but young; c: known; d: an upload that was given up. */
	assert_int_equal(orphan_sweep(&s.db, artifacts, (int64_t)time(NULL) * 1000), 2);
	assert_int_equal(orphan_sweep(&s.db, artifacts, (int64_t)time(NULL) * 1000), 0);
	store_close(&s);
	free(artifacts);
}

int main(void)
{
#define LAW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        LAW(what_is_written_is_there_after_opening_again),
	        LAW(every_table_is_strict_and_the_log_is_written_ahead),
	        LAW(an_older_schema_is_brought_up_to_date),
	        LAW(a_newer_schema_is_refused),
	        LAW(a_database_of_others_is_refused),
	        LAW(the_second_coordinator_says_who_holds_it),
	        LAW(readers_read_while_it_is_written_and_cannot_write),
	        LAW(a_reader_of_nothing_says_so),
	        LAW(a_failure_is_remembered_until_cleared),
	        LAW(bytes_that_a_crash_left_behind_go_after_a_day),
	        LAW(a_full_disk_acknowledges_nothing_and_loses_nothing),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
