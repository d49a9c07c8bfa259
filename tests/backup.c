/* Laws of copies of a database: nothing is missing unsaid, nothing that was there is harmed. */
#include "coordinator/backup.h"
#include "coordinator/artifact.h"
#include "coordinator/import.h"
#include "core/base/file.h"
#include "tests/turns.h"
#include <sys/stat.h>

static char *folder, *from, *to, *bytes_at, *key, *key_copy;

/* A database at rest with a secret, and a file of ten bytes in its store. */
static int set_up(void **state)
{
	const char *root = getenv("TMPDIR");
	struct store s;
	struct error e = {{0}};

	folder = xformat("%s/trawl-backup-XXXXXX", root ? root : "/tmp");
	if (!mkdtemp(folder))
		return -1;
	from = path_join(folder, "one.db");
	to = path_join(folder, "two.db");
	key = path_join(folder, "one.db.key");
	key_copy = path_join(folder, "two.db.key");
	char *artifacts = path_join(folder, "one.db.artifacts");
	char *shelf = path_join(artifacts, "aa");
	bytes_at = import_path(artifacts, turns_sha);
	int status = folder_make(shelf, &e) || file_write(bytes_at, "0123456789", 10, &e) ||
	             file_write(key, "secret", 6, &e) || store_open(&s, from, false, &e);
	if (status == 0) {
		artifact_store(&s.db, 1, turns_sha, 10);
		store_close(&s);
	}
	free(artifacts);
	free(shelf);
	return status;
}

static int tear_down(void **state)
{
	folder_remove(folder, NULL);
	free(folder);
	free(from);
	free(to);
	free(bytes_at);
	free(key);
	free(key_copy);
	return 0;
}

static struct backup made_or_fail(void)
{
	struct backup made;
	struct error e = {{0}};

	if (backup_make(from, NULL, to, &made, &e) != 0)
		fail_msg("%s", e.text);
	return made;
}

static void refused(const char *source, const char *target, const char *words)
{
	struct backup made;
	struct error e = {{0}};

	assert_int_equal(backup_make(source, NULL, target, &made, &e), -1);
	if (!strstr(e.text, words))
		fail_msg("\"%s\" does not say \"%s\"", e.text, words);
}

static int64_t uploads_of(const char *database)
{
	struct store s;
	struct error e = {{0}};

	assert_int_equal(store_open_reader(&s, database, &e), 0);
	int64_t count = sql_get_int(&s.db, -1, "select count(*) from upload");
	assert_int_equal(sql_get_int(&s.db, -1, "select stored_bytes from coordinator"),
	                 10 * count);
	store_close(&s);
	return count;
}

static void a_copy_has_all_that_belongs_to_it(void **state)
{
	struct backup made = made_or_fail();

	assert_true(made.complete);
	assert_int_equal(made.generation, 2);
	assert_int_equal(made.files, 1);
	assert_int_equal(made.gone, 0);
	assert_int_equal(uploads_of(to), 1);
	assert_int_equal(file_bytes(key_copy), 6);
}

/* Served with --store, it keeps them elsewhere. */
static void a_copy_of_nothing_is_refused_and_makes_nothing(void **state)
{
	char *none = path_join(folder, "none.db");

	refused(none, to, "no such database");
	assert_false(file_exists(none));
	free(none);
}

static void a_store_that_is_not_there_is_refused(void **state)
{
	char *artifacts = path_join(folder, "one.db.artifacts");

	folder_remove(artifacts, NULL);
	refused(from, to, "--store");
	assert_false(file_exists(to));
	free(artifacts);
}

static void bytes_that_are_gone_are_counted(void **state)
{
	unlink(bytes_at);
	struct backup made = made_or_fail();
	assert_int_equal(made.gone, 1);
	assert_int_equal(uploads_of(to), 0);
}

/* A copy that nobody has served yet would be allowed to be replaced. */
static void a_database_is_not_copied_over_itself(void **state)
{
	made_or_fail();
	char *other = xformat("%s/./two.db", folder);

	refused(to, other, "itself");
	assert_int_equal(file_bytes(key_copy), 6);
	assert_int_equal(uploads_of(to), 1);
	free(other);
}

static void an_earlier_copy_keeps_its_secrets_when_the_next_fails(void **state)
{
	made_or_fail();
	unlink(key);
	assert_int_equal(mkdir(key, 0777), 0); /* cannot be read */
	refused(from, to, "one.db.key");
	assert_int_equal(file_bytes(key_copy), 6);
	assert_int_equal(uploads_of(to), 1);
}

int main(void)
{
#define LAW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        LAW(a_copy_has_all_that_belongs_to_it),
	        LAW(a_copy_of_nothing_is_refused_and_makes_nothing),
	        LAW(a_store_that_is_not_there_is_refused),
	        LAW(bytes_that_are_gone_are_counted),
	        LAW(a_database_is_not_copied_over_itself),
	        LAW(an_earlier_copy_keeps_its_secrets_when_the_next_fails),
	};

	return cmocka_run_group_tests_name("backup", tests, NULL, NULL);
}
