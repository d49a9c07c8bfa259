/* A study wants a trial: found by its identity, or made, with all that it starts from. */
#include "coordinator/artifact.h"
#include "coordinator/prune.h"
#include "coordinator/study.h"
#include "coordinator/turn.h"
#include "coordinator/view.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "schemas/ood_set.h"
#include "schemas/trial_spec.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Held: every study that wants the trial is paused.  Study: whose share its lease counts for. */
#define HOLD                                                                                       \
	"held = coalesce((select min(iif(s.state = 'paused', 1 + s.pause_now, 0)) from "           \
	"study_trial st join study s on s.id = st.study where st.trial = trial.id and "            \
	"st.wanted), "                                                                             \
	"0), study = coalesce((select st.study from study_trial st join study s on s.id = "        \
	"st.study where st.trial = trial.id and st.wanted order by s.state <> 'active', st.study " \
	"limit 1), 0)"

void study_hold(struct sql *db, int64_t study)
{
	sql_run(db,
	        "update trial set " HOLD
	        " where id in (select trial from study_trial where study = ?)",
	        study);
}

void trial_hold(struct sql *db, int64_t trial)
{
	sql_run(db, "update trial set " HOLD " where id = ?", trial);
}

/* The file's bytes have come into the store: those that wait for them look again. */
static void note_source(struct turn *t, const char *path, const char *digest, int64_t bytes)
{
	sql_run(t->db, "insert or ignore into source(sha256, path, created_ms) values(?, ?, ?)",
	        digest, path, t->now_ms);
	artifact_store(t->db, t->now_ms, digest, bytes);
	sql_run(t->db, "update trial set unsettled = 1 where source = ? and state = 'waiting'",
	        digest);
}

static const char *learn(struct study_digests *d, const char *key, const char *digest)
{
	cJSON_DeleteItemFromObjectCaseSensitive(d->known, key);
	cJSON_AddStringToObject(d->known, key, digest);
	return json_text(d->known, key, NULL);
}

static const char *data_digest(struct study_digests *d, const char *name, const char *path,
                               struct error *e)
{
	char *key = xformat("data %s%s%s", name, path ? " " : "", path ? path : "");
	const char *known = json_text(d->known, key, NULL);
	char digest[SHA256_HEX] = "";

	if (!known && !d->files->data)
		error_set(e, "the digest of data set \"%s\" is not known", name);
	else if (!known && d->files->data(d->files->context, name, path, digest, e) == 0)
		known = learn(d, key, digest);
	free(key);
	return known;
}

/* When importing, the file's bytes are in the store afterwards. */
static const char *file_digest(struct study_digests *d, const char *path, struct error *e)
{
	char *key = xformat("file %s", path);
	const char *known = json_text(d->known, key, NULL);
	char digest[SHA256_HEX] = "";
	int64_t bytes = 0;
	bool import = d->importing && !(known && artifact_stored(d->importing->db, known));

	if (!known && !d->files->file) {
		error_set(e, "the digest of \"%s\" is not known", path);
	} else if ((!known || import) && d->files->file) {
		int status = d->files->file(d->files->context, path, import, digest, &bytes, e);
		if (status == 0 && import)
			note_source(d->importing, path, digest, bytes);
		known = status == 0 ? learn(d, key, digest) : NULL;
	}
	free(key);
	return known;
}

/* Data sets from outside get their digests; a name alone becomes an object. */
static int resolve_outside(cJSON *sets, struct study_digests *digests, struct error *e)
{
	for (int i = 0; i < cJSON_GetArraySize(sets); i++) {
		cJSON *item = cJSON_GetArrayItem(sets, i);
		struct ood_set set;
		if (ood_set_read(item, &set, e))
			return -1;
		if (set.digest || ood_set_is_noise(&set))
			continue;
		const char *digest = data_digest(digests, set.data, set.path, e);
		if (!digest)
			return -1;
		cJSON *object =
		        cJSON_IsObject(item) ? cJSON_Duplicate(item, true) : cJSON_CreateObject();
		if (!cJSON_IsObject(item))
			cJSON_AddStringToObject(object, "data", set.data);
		cJSON_AddStringToObject(object, "digest", digest);
		cJSON_ReplaceItemInArray(sets, i, object);
	}
	return 0;
}

/* What a patch leads to is resolved as well, and noted in the patch, which makes it part of the
 * identity. */
static int resolve_patch(cJSON *patch, cJSON *input, struct study_digests *digests, struct error *e)
{
	static const char *const noted[] = {"ood.sets", "start_from", "ensemble.members"};
	bool digested = json_at(input, "data.digest") != NULL;

	if (trial_resolve(input, digests, e))
		return -1;
	if (!digested)
		json_put(patch, "data.digest",
		         cJSON_Duplicate(json_at(input, "data.digest"), true));
	for (size_t i = 0; i < sizeof noted / sizeof *noted; i++)
		if (json_at(patch, noted[i]) && json_at(input, noted[i]))
			json_put(patch, noted[i], cJSON_Duplicate(json_at(input, noted[i]), true));
	return 0;
}

static int resolve_change(cJSON *trial, struct study_digests *digests, struct error *e)
{
	cJSON *change = json_at(trial, "start_from.change"), *parent = trial_parent(trial);
	int status = parent ? resolve_patch(change, parent, digests, e) : 0;

	cJSON_Delete(parent);
	return status == 0 ? 0 : error_prefix(e, "start_from.change");
}

static int resolve_members(cJSON *trial, struct study_digests *digests, struct error *e)
{
	int status = 0;

	trial_list_members(trial);
	for (int i = 0, count = trial_members(trial); i < count && !status; i++) {
		cJSON *patch = cJSON_GetArrayItem(json_at(trial, "ensemble.members"), i);
		cJSON *member = trial_member(trial, i);
		status = resolve_patch(patch, member, digests, e);
		cJSON_Delete(member);
		if (status)
			error_prefix(e, "ensemble.members[%d]", i);
	}
	return status;
}

int trial_resolve(cJSON *trial, struct study_digests *digests, struct error *e)
{
	const cJSON *data = json_at(trial, "data"), *start = json_at(trial, "start_from");
	const char *file = json_text(start, "file", NULL), *digest = NULL;

	if (json_at(trial, "split.file"))
		return error_set(e, "split.file: cannot be swept: list the groups in split.groups");
	if (!json_text(data, "digest", NULL)) {
		digest = data_digest(digests, json_text(data, "name", ""),
		                     json_text(data, "path", NULL), e);
		if (!digest)
			return error_prefix(e, "data");
		json_put(trial, "data.digest", cJSON_CreateString(digest));
	}
	if (resolve_outside(json_at(trial, "ood.sets"), digests, e))
		return error_prefix(e, "ood.sets");
	if (file) {
		digest = file_digest(digests, file, e);
		if (!digest)
			return error_prefix(e, "start_from.file");
		json_put(trial, "start_from.digest", cJSON_CreateString(digest));
	}
	return resolve_change(trial, digests, e) ? -1 : resolve_members(trial, digests, e);
}

static int64_t ask_of(struct sql *db, const cJSON *trial)
{
	const cJSON *resources = json_at(trial, "resources");
	const char *digest = json_text(json_at(trial, "data"), "digest", "");
	const char *needed = strncmp(digest, "builtin:", 8) == 0 ? "" : digest;
	int64_t ranks = json_int(resources, "ranks", 1), gpus = json_int(resources, "gpus", 0);
	int64_t threads = json_int(json_at(trial, "train"), "threads", 1);
	int64_t memory_mb = json_int(resources, "memory_mb", 2000);
	int64_t minutes = json_int(resources, "minutes", 0);
	const cJSON *list = json_at(resources, "labels");
	char *labels = list ? json_canonical(list) : xstrdup("[]");

	sql_run(db,
	        "insert or ignore into ask(ranks, threads, gpus, memory_mb, data_digest, labels, "
	        "minutes) values(?, ?, ?, ?, ?, ?, ?)",
	        ranks, threads, gpus, memory_mb, needed, (const char *)labels, minutes);
	int64_t id = sql_get_int(
	        db, 0,
	        "select id from ask where ranks = ? and threads = ? and gpus = ? and memory_mb = ? "
	        "and data_digest = ? and labels = ? and minutes = ?",
	        ranks, threads, gpus, memory_mb, needed, (const char *)labels, minutes);
	free(labels);
	return id;
}

static void link_parent(struct sql *db, int64_t study, int64_t trial)
{
	/* What others start from is trained to its end, whatever rungs it stands at. */
	if (sql_run(db,
	            "update study_trial set wanted = 1, verdict = null, until_epoch = null where "
	            "study = ? and trial = ?",
	            study, trial)) {
		sql_run(db,
		        "update rung set verdict = 'promoted' where study = ? and trial = ? and "
		        "verdict is null",
		        study, trial);
	} else {
		sql_run(db,
		        "insert into study_trial(study, number, trial, role) select ?1, "
		        "min(coalesce(min(number), 0), 0) - 1, ?2, 'parent' from study_trial where "
		        "study = ?1",
		        study, trial);
	}
	trial_hold(db, trial);
}

static int64_t want_spec(struct turn *t, struct study_target *study, const cJSON *trial,
                         struct error *e);

/* The trials that another needs, by their roles. */
struct wanted {
	struct turn *t;
	struct study_target *study;
	struct error *e;
	struct {
		int64_t id;
		char role[16];
	} input[1 + MEMBERS_MAX];
	int count;
};

static void add_wanted(struct wanted *w, int64_t id, const char *role)
{
	w->input[w->count].id = id;
	snprintf(w->input[w->count].role, sizeof w->input->role, "%s", role);
	w->count++;
}

static int want_input(void *self, const char *role, const cJSON *input)
{
	struct wanted *w = self;
	int64_t id = want_spec(w->t, w->study, input, w->e);

	if (!id)
		return error_prefix(w->e, "%s",
		                    strcmp(role, "start_from") ? role : "start_from.change");
	link_parent(w->t->db, w->study->id, id);
	add_wanted(w, id, role);
	return 0;
}

static bool leaves_weights(struct sql *db, int64_t id)
{
	char *text = sql_get_text(db, "select spec from specification where trial = ?", id);
	cJSON *trial = cJSON_Parse(text);
	bool leaves = trial_leaves_weights(trial);

	cJSON_Delete(trial);
	free(text);
	return leaves;
}

int trial_find_start(struct sql *db, const cJSON *trial, int64_t *id, struct error *e)
{
	const char *identity = json_text(json_at(trial, "start_from"), "trial", NULL);

	*id = 0;
	if (!identity)
		return 0;
	*id = sql_get_int(db, 0, "select id from trial where identity = ?", identity);
	if (!*id)
		return error_set(e, "start_from.trial: no trial has the identity %.64s", identity);
	if (!leaves_weights(db, *id))
		return error_set(
		        e, "start_from.trial: trial %ld is an ensemble, which leaves no weights",
		        (long)*id);
	return 0;
}

/* Makes sure of all that the trial needs; -1 with a message when some of it cannot be had. */
static int want_inputs(struct wanted *w, const cJSON *trial)
{
	int64_t id;

	if (trial_each_input(trial, want_input, w) || trial_find_start(w->t->db, trial, &id, w->e))
		return -1;
	if (id)
		add_wanted(w, id, "start_from");
	return 0;
}

static void save_spec(struct sql *db, int64_t id, const cJSON *trial)
{
	char *text = json_print(trial, false);

	sql_run(db,
	        "insert or replace into specification(trial, epochs, checkpoints, retries, spec) "
	        "values(?, ?, ?, ?, ?)",
	        id, trial_epochs(trial), json_int(json_at(trial, "checkpoint"), "keep", 0),
	        json_int(json_at(trial, "retry"), "limit", 0), text);
	free(text);
}

static int64_t make(struct turn *t, const char *identity, const cJSON *trial,
                    const struct wanted *w)
{
	const char *source = json_text(json_at(trial, "start_from"), "digest", NULL);
	int64_t id = trial_create(t->db, t->now_ms, identity, ask_of(t->db, trial),
	                          json_int(trial, "priority", 0));

	save_spec(t->db, id, trial);
	if (source)
		sql_run(t->db, "update trial set source = ? where id = ?", source, id);
	for (int i = 0; i < w->count; i++)
		sql_run(t->db, "insert into trial_input(trial, input, role) values(?, ?, ?)", id,
		        w->input[i].id, (const char *)w->input[i].role);
	return id;
}

/* One that ended without a result is begun anew, asking for what is asked now. */
static void revive(struct turn *t, const struct trial *old, const cJSON *trial)
{
	int64_t memory_mb = sql_get_int(
	        t->db, 0,
	        "select memory_mb from ask where id = (select ask from trial where id = ?)",
	        old->id);
	bool more = json_int(json_at(trial, "resources"), "memory_mb", 2000) > memory_mb;

	if (old->state == TRIAL_INFEASIBLE && !more)
		return;
	if (!trial_move(t->db, t->now_ms, old->id, old->attempt, ON_WANT, NULL))
		return;
	save_spec(t->db, old->id, trial);
	sql_run(t->db, "update trial set ask = ?, errors = 0, losses = 0 where id = ?",
	        ask_of(t->db, trial), old->id);
}

/* The id of a resolved trial, or 0 with a message. */
static int64_t want_spec(struct turn *t, struct study_target *study, const cJSON *trial,
                         struct error *e)
{
	char identity[SHA256_HEX];
	struct wanted w = {t, study, e, {{0}}, 0};
	struct trial old;

	trial_identity(trial, identity);
	int64_t id = sql_get_int(t->db, 0, "select id from trial where identity = ?",
	                         (const char *)identity);
	if (id && trial_load(t->db, id, &old) && old.state == TRIAL_DONE)
		return id;
	if (want_inputs(&w, trial) != 0)
		return 0;
	if (!id)
		return make(t, identity, trial, &w);
	sql_run(t->db, "update trial set priority = max(priority, ?) where id = ?",
	        json_int(trial, "priority", 0), id);
	revive(t, &old, trial);
	return id;
}

int64_t trial_want(struct turn *t, struct study_target *study, cJSON *trial, int64_t number,
                   const char *assignment, struct error *e)
{
	int64_t id = 0;

	if (trial_resolve(trial, &study->digests, e) == 0)
		id = want_spec(t, study, trial, e);
	if (!id)
		return 0;
	sql_run(t->db,
	        "insert into study_trial(study, number, trial, role, assignment) "
	        "values(?, ?, ?, 'trial', ?)",
	        study->id, number, id, assignment);
	trial_hold(t->db, id);
	prune_joined(t, study->id, id);
	t->wants = true;
	if (t->options->views)
		view_note_metrics(t->db, id); /* it may be done already */
	return id;
}
