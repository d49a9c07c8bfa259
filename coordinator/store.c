/* Opening, creating, migrating and locking the database. */
#include "coordinator/store.h"
#include "coordinator/view.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

extern const char _binary_schemas_store_sql_start[], _binary_schemas_store_sql_end[];

/* migrations[i] brings schema i + 1 to i + 2; what it makes reads as in store.sql. */
static const char *const migrations[STORE_SCHEMA - 1] = {
        "create table landscape(trial integer not null references trial(id), slice text not null, "
        "x real not null, y real not null, metric text not null, value real, "
        "primary key (trial, slice, metric, x, y)) strict, without rowid;",
        "create table ood_metric(trial integer not null references trial(id), ood_set text not "
        "null, "
        "score text not null, metric text not null, value real, "
        "primary key (trial, ood_set, score, metric)) strict, without rowid;"
        "create table ood_curve(trial integer not null references trial(id), ood_set text not "
        "null, "
        "score text not null, curve text not null, point integer not null, x real, y real, "
        "primary key (trial, ood_set, score, curve, point)) strict, without rowid;"
        "create table split_node(trial integer not null references trial(id), node integer not "
        "null, "
        "parent integer, layer text not null, members text not null, channels integer not null, "
        "width integer not null, macs real not null, primary key (trial, node)) strict, without "
        "rowid;",
        "alter table study add column due integer not null default 1;"
        "alter table study add column judge integer;"
        "alter table study add column news integer not null default 0;"
        "alter table study add column best real;"
        "create index trial_paused on trial(id) where state = 'paused';"
        "create index trial_open on trial(id) where ended_ms is null;"
        "create table notice(id integer primary key, at_ms integer not null, kind text not null, "
        "study integer references study(id), text text not null, not_before_ms integer, sent_ms "
        "integer, tries integer not null default 0, error text) strict;"
        "create index notice_waiting on notice(not_before_ms) where sent_ms is null;"
        "alter table study_trial add column bracket integer not null default 0;"
        "alter table study_trial add column until_epoch integer;"
        "alter table trial add column reached integer not null default 0;"
        "create table series(trial integer not null references trial(id), name text not null, "
        "first integer not null, stride integer not null, rows integer not null, primary key "
        "(trial, name)) strict, without rowid;"
        "create index worker_up on worker(id) where state = 'up';"
        "alter table trial add column study integer not null default 0;"
        "alter table study add column share integer not null default 1;"
        "update trial set study = coalesce((select st.study from study_trial st join study s on "
        "s.id = st.study where st.trial = trial.id and st.wanted order by s.state <> 'active', "
        "st.study limit 1), 0);"
        "drop index trial_worker; create index trial_worker on trial(worker, study, ask) where "
        "state = 'leased';"
        "create index study_due on study(id) where due = 1 and cursor < total; create index "
        "study_judge on study(id) where judge = 1; create index study_news on study(id) where "
        "news = 1; create index study_share on study(id, share);"
        "drop index trial_ready; create index trial_ready on trial(study, ask, priority desc, "
        "reached desc, id, not_before_ms) where state = 'ready' and held = 0;"
        "create table rung(study integer not null references study(id), bracket integer not null, "
        "epoch integer not null, trial integer not null references trial(id), value real, score "
        "real, verdict text, primary key (study, bracket, epoch, trial)) strict, without rowid;"
        "create index rung_trial on rung(trial);"
        "create index rung_score on rung(study, bracket, epoch, score desc, trial);"
        "create index rung_waiting on rung(study, bracket, epoch, score desc, trial) where verdict "
        "is "
        "null;"
        "create table new_ask(id integer primary key, ranks integer not null, threads integer not "
        "null, gpus integer not null, memory_mb integer not null, data_digest text not null, "
        "labels "
        "text not null default '[]', minutes integer not null default 0, unique (ranks, threads, "
        "gpus, memory_mb, data_digest, labels, minutes)) strict;"
        "insert into new_ask(id, ranks, threads, gpus, memory_mb, data_digest) select id, ranks, "
        "threads, gpus, memory_mb, data_digest from ask;"
        "drop table ask; alter table new_ask rename to ask;"
        "alter table coordinator add column curve text; alter table coordinator add column uuid "
        "text not null default ''; alter table coordinator add column generation integer not null "
        "default 1; alter table coordinator add column copied integer not null default 0; alter "
        "table coordinator add column disk_low integer not null default 0; alter "
        "table coordinator add column superseded integer; "
        "update coordinator set uuid = lower(hex(randomblob(16)));"
        "alter table refusal add column until_ms integer not null default 0; alter table refusal "
        "add column times integer not null default 1; alter table worker add column key "
        "text;alter table worker add column until_ms integer;"
        "create table key(public text primary key, role text not null check (role in ('owner', "
        "'user', 'agent')), name text not null, created_ms integer not null, revoked_ms integer) "
        "strict, without rowid;"
        "alter table coordinator add column stored_bytes integer not null default 0;"
        "alter table coordinator add column quota_bytes integer;"
        "alter table coordinator add column full_ms integer;"
        "update coordinator set stored_bytes = (select coalesce(sum(bytes), 0) from upload);"
        "create index artifact_spare on artifact(trial) where name = 'checkpoint' and state = "
        "'present' and not final;"
        "create trigger upload_came after insert on upload begin update coordinator set "
        "stored_bytes = stored_bytes + new.bytes; end;"
        "create trigger upload_went after delete on upload begin update coordinator set "
        "stored_bytes = stored_bytes - old.bytes; end;"
        "create trigger upload_changed after update of bytes on upload begin update coordinator "
        "set stored_bytes = stored_bytes + new.bytes - old.bytes; end;",
        "create table specification(trial integer primary key references trial(id), epochs integer "
        "not null, checkpoints integer not null, retries integer not null, spec text not null) "
        "strict; insert into specification select id, iif(coalesce(spec ->> '$.action', 'train') = "
        "'train', coalesce(spec ->> '$.train.epochs', 1), 0), coalesce(spec ->> "
        "'$.checkpoint.keep', 2), coalesce(spec ->> '$.retry.limit', 3), spec from trial;"
        "drop index if exists trial_state;"
        /* Views name the column: ours are made anew, those of users say so when they are read. */
        "pragma legacy_alter_table = on; alter table trial drop column spec; pragma "
        "legacy_alter_table = off;",
};

static int failed(struct store *s, struct error *e, const char *doing)
{
	return error_set(e, "%s: %s: %s", s->path, doing, s->db.error.text);
}

static int open_handle(struct store *s, int flags, struct error *e)
{
	sqlite3 *handle = NULL;

	if (sqlite3_open_v2(s->path, &handle, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
		error_set(e, "%s: cannot be opened: %s", s->path, sqlite3_errmsg(handle));
		sqlite3_close(handle);
		return -1;
	}
	sql_init(&s->db, handle);
	sqlite3_busy_timeout(handle, 5000);
	return 0;
}

int store_readable(const char *path, int64_t version, struct error *e)
{
	if (version > STORE_SCHEMA)
		return error_set(e,
		                 "%s: has schema %ld, this trawl knows schemas up to %d: use the "
		                 "newer trawl that wrote it",
		                 path, (long)version, STORE_SCHEMA);
	if (version < STORE_SCHEMA)
		return error_set(e,
		                 "%s: has schema %ld, this trawl reads %d: `trawl serve` brings it "
		                 "up to date",
		                 path, (long)version, STORE_SCHEMA);
	return 0;
}

static int check_version(struct store *s, int64_t *version, struct error *e)
{
	int64_t application = sql_get_int(&s->db, 0, "pragma application_id");
	int64_t tables = sql_get_int(&s->db, 0, "select count(*) from sqlite_schema");

	*version = sql_get_int(&s->db, 0, "pragma user_version");
	if (s->db.failure)
		return failed(s, e, "cannot be read");
	if (tables && application != STORE_APPLICATION)
		return error_set(e, "%s: is not a database of trawl", s->path);
	return *version > STORE_SCHEMA ? store_readable(s->path, *version, e) : 0;
}

static int create(struct store *s)
{
	size_t bytes = (size_t)(_binary_schemas_store_sql_end - _binary_schemas_store_sql_start);
	struct text script = {0};

	text_add_bytes(&script, _binary_schemas_store_sql_start, bytes);
	text_add(&script,
	         "insert into coordinator(one, uuid) values(1, lower(hex(randomblob(16))));"
	         "pragma application_id = %d; pragma user_version = %d;",
	         STORE_APPLICATION, STORE_SCHEMA);
	int status = sql_script(&s->db, script.data);
	text_release(&script);
	return status;
}

static int migrate(struct store *s, int64_t version)
{
	for (; version < STORE_SCHEMA; version++) {
		char *mark = xformat("pragma user_version = %ld", (long)version + 1);
		sql_script(&s->db, migrations[version - 1]);
		sql_script(&s->db, mark);
		free(mark);
	}
	return s->db.failure ? -1 : 0;
}

static int set_up(struct store *s, struct error *e)
{
	int64_t version = 0;

	if (check_version(s, &version, e) != 0)
		return -1;
	/* Debian's SQLite would write zeros over all that is changed or deleted. */
	sql_script(&s->db, "pragma journal_mode = wal; pragma synchronous = full;"
	                   "pragma temp_store = memory; pragma secure_delete = off");
	sql_script(&s->db, "begin immediate"); /* foreign keys later: migrations replace tables */
	if (version == 0)
		create(s);
	else
		migrate(s, version);
	view_create_all(&s->db);
	sql_script(&s->db, "commit; pragma foreign_keys = on");
	return s->db.failure ? failed(s, e, "cannot be set up") : 0;
}

/* PATH.lock is held by flock, which ends with the process, and says in one line by whom. */
static int take_lock(struct store *s, struct error *e)
{
	char *path = xformat("%s.lock", s->path), *holder = NULL;
	int status = 0;

	s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (s->lock < 0) {
		status = error_errno(e, "%s: cannot be opened", path);
	} else if (flock(s->lock, LOCK_EX | LOCK_NB) != 0) {
		holder = file_read(path, NULL, NULL);
		if (holder)
			holder[strcspn(holder, "\n")] = 0;
		status = error_set(e, "%s: another coordinator holds it: %s", s->path,
		                   holder && *holder ? holder : "it does not say which");
	}
	free(holder);
	free(path);
	return status;
}

int store_announce(struct store *s, const char *endpoint, const char *url, const char *curve,
                   struct error *e)
{
	char host[256] = "";

	gethostname(host, sizeof host - 1);
	sql_run(&s->db,
	        "update coordinator set endpoint = ?, url = ?, host = ?, pid = ?, started_ms = ?, "
	        "curve = ?",
	        endpoint, url, (const char *)host, getpid(), clock_wall_ms(), curve);
	if (s->db.failure)
		return failed(s, e, "cannot be written");
	if (s->lock < 0)
		return 0;
	char *line = xformat("host %s, pid %d, endpoint %s\n", host, (int)getpid(),
	                     endpoint ? endpoint : "none");
	int status = ftruncate(s->lock, 0) != 0 || pwrite(s->lock, line, strlen(line), 0) < 0
	                     ? error_errno(e, "%s.lock: cannot be written", s->path)
	                     : 0;
	free(line);
	return status;
}

static int check_network(const char *path, struct error *e)
{
	const char *type = file_network_type(path);

	return type ? error_set(e,
	                        "%s: lies on a network file system (%s), where SQLite loses data "
	                        "when a machine dies: use a local path, or --allow-network",
	                        path, type)
	            : 0;
}

int store_open(struct store *s, const char *path, bool allow_network, struct error *e)
{
	bool memory = strcmp(path, ":memory:") == 0;

	*s = (struct store){.path = xstrdup(path), .lock = -1};
	if ((!memory && !allow_network && check_network(path, e) != 0) ||
	    (!memory && take_lock(s, e) != 0) ||
	    open_handle(s, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, e) != 0 ||
	    set_up(s, e) != 0) {
		store_close(s);
		return -1;
	}
	return 0;
}

int store_open_reader(struct store *s, const char *path, struct error *e)
{
	int64_t version = 0;

	*s = (struct store){.path = xstrdup(path), .lock = -1};
	if (!file_exists(path)) {
		error_set(e, "%s: no such database; `trawl serve` or `trawl run` makes one", path);
		store_close(s);
		return -1;
	}
	if (open_handle(s, SQLITE_OPEN_READWRITE, NULL) != 0 &&
	    open_handle(s, SQLITE_OPEN_READONLY, e) != 0) {
		store_close(s);
		return -1;
	}
	sql_script(&s->db, "pragma query_only = on");
	if (check_version(s, &version, e) != 0 || store_readable(path, version, e) != 0) {
		store_close(s);
		return -1;
	}
	return 0;
}

void store_close(struct store *s)
{
	if (s->db.handle)
		sql_release(&s->db);
	if (s->lock >= 0)
		close(s->lock);
	free(s->path);
	*s = (struct store){.lock = -1};
}

char *store_endpoint(struct store *s)
{
	return sql_get_text(&s->db, "select endpoint from coordinator");
}
