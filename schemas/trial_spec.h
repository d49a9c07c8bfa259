/* A trial's specification: the fields of trial_fields.def as a struct, and the trial's identity. */
#ifndef SCHEMAS_TRIAL_SPEC_H
#define SCHEMAS_TRIAL_SPEC_H
#include "core/base/hash.h"
#include "schemas/fields.h"

/* Enters every identity.  Raise it when the code changes results; old results are then not reused.
 */
enum { TRIAL_SEMANTICS = 2 };

struct trial_spec {
#define FIELD(member, ...) FIELD_MEMBER(member, __VA_ARGS__)
#include "schemas/trial_fields.def"
#undef FIELD
};

extern const struct field_table trial_fields;

/* The trial, defaults filled in.  Every problem is a line of e: JSON path, what was found, what is
 * allowed, the nearest known name.  Release with trial_spec_release, also after a failure. */
int trial_spec_parse(const cJSON *trial, struct trial_spec *spec, struct error *e);
void trial_spec_release(struct trial_spec *spec);

/* Appends every problem to e, with `where` ("trial." or "") in front of each path; returns how
 * many.  trial_check_values looks at the fields that are there, trial_check_whole at a trial whose
 * values are right: what is missing, rules between fields, and the parent that it makes. */
int trial_check(const cJSON *trial, const char *where, struct error *e);
int trial_check_values(const cJSON *trial, const char *where, struct error *e);
int trial_check_whole(const cJSON *trial, const char *where, struct error *e);

/* Fills in every default, in place; removes nulls; 32 weight bits become 0.  For checked trials. */
void trial_fill(cJSON *trial);
/* A copy so filled, or null: it is already. */
cJSON *trial_filled(const cJSON *trial);

/* What the field is of a trial that has these values ({path: value}), else those of `trial`, else
 * defaults.  The caller's to delete; null when there is none. */
cJSON *trial_value(const struct field *field, const cJSON *assignment, const cJSON *trial);

/* Of a filled trial: whether its action is train, and the epochs that it trains: none otherwise,
 * although train.epochs may say what a parent made of it trains. */
bool trial_trains(const cJSON *filled);
int64_t trial_epochs(const cJSON *filled);

/* SHA-256 of the canonical form: identity fields other than their default, and TRIAL_SEMANTICS.
 * start_from.change counts as start_from.trial with the identity of the trial that it makes; the
 * quant section not at all at full precision, nor train.epochs of what does not train.  Takes
 * filled and unfilled trials alike, which have passed trial_check. */
void trial_identity(const cJSON *trial, char hex[SHA256_HEX]);

/* What trial_identity digests, for people to look at: {"data.name": "cifar10", …}. */
cJSON *trial_identity_form(const cJSON *trial);

/* Of a filled trial: whether others can start from what it leaves.  An ensemble's weights are those
 * of its members. */
bool trial_leaves_weights(const cJSON *filled);

/* The trial that must come first: this one without its start_from, patched with start_from.change,
 * filled (it may have a start_from of its own, out of the patch); null when there is no change.
 * For checked trials.  The caller's to delete.  data.digest is dropped when the patch changes which
 * data it is. */
cJSON *trial_parent(const cJSON *trial);

/* The members of an action ensemble, from 0 (0 of them: it is none): this trial without its
 * start_from and ensemble, with action train, patched and filled.  For checked trials; the caller's
 * to delete. */
enum { MEMBERS_MAX = 64 };
int trial_members(const cJSON *trial);
cJSON *trial_member(const cJSON *trial, int member);

/* Writes ensemble.size out as ensemble.members, so that these can be changed. */
void trial_list_members(cJSON *trial);

/* All that must come first, parent and members alike: calls `each` with its role ("start_from",
 * "member0", …) and specification until one returns other than 0, and returns that. */
typedef int input_fn(void *self, const char *role, const cJSON *input);
int trial_each_input(const cJSON *trial, input_fn *each, void *self);
#endif
