/* A sweep's specification, and the trials that it stands for. */
#ifndef SCHEMAS_SWEEP_SPEC_H
#define SCHEMAS_SWEEP_SPEC_H
#include "schemas/constraint.h"
#include "schemas/fields.h"

enum { SWEEP_TRIALS_MAX = 10000000, SWEEP_NAME_MAX = 64 };

/* One swept field.  A range holds min, min + step … when step > 0, else all between. */
struct sweep_axis {
	const struct field *field; /* of the trial's table */
	const cJSON *values;       /* a list, or null for a range */
	double min, max, step;
	bool log;          /* drawn evenly in the logarithm */
	int64_t count;     /* of values or steps; 0 for a range without step */
	const cJSON *when; /* {field: [values]}: swept only where all hold; null: always */
};

struct sweep_spec {
#define FIELD(member, ...) FIELD_MEMBER(member, __VA_ARGS__)
#include "schemas/sweep_fields.def"
#undef FIELD
	struct sweep_axis *axes; /* in the order of the file; they point into space */
	int64_t axis_count;
	struct constraints *constraining; /* what `constraints` says; null: nothing */
};

extern const struct field_table sweep_fields;

/* The sweep, defaults filled in; every problem is a line of e with its JSON path.  The rules
 * between the fields of a trial are tried on the first `tried` combinations, and on until there is
 * one. Release with sweep_spec_release, also after a failure. */
int sweep_spec_parse(const cJSON *sweep, int64_t tried, struct sweep_spec *spec, struct error *e);
/* The same of a sweep that was parsed before: its trials are not tried. */
int sweep_spec_load(const cJSON *sweep, struct sweep_spec *spec, struct error *e);
void sweep_spec_release(struct sweep_spec *spec);

/* Whether trials are combinations that values tell apart, not draws that numbers do. */
bool sweep_is_grid(const struct sweep_spec *spec);

/* Trials have numbers from 0 up to this.  All but grids: search.trials; more can be drawn
 * later without changing those before.  A grid has no trial at numbers that differ from another's
 * only in fields that do not count there (`when`), nor where a constraint is broken; a Sobol search
 * leaves those points out. */
int64_t sweep_count(const struct sweep_spec *spec);

/* What trial `number` is given: {"quant.weight_bits": 4, …}, in the order of the file; null where
 * there is no trial.  Grid: the last field changes fastest.  Random: a function of search.seed,
 * number and field, drawn again where it breaks a constraint; Sobol: point `number`, an axis a
 * dimension.  An adaptive search's trials are not known beforehand: what is drawn stands for them.
 */
cJSON *sweep_assignment(const struct sweep_spec *spec, int64_t number);

/* The trial of an assignment, checked and filled, with the sweep's retry and resources where it has
 * none of its own.  Null when there is none, with a message when fields contradict each other. */
cJSON *sweep_trial_of(const struct sweep_spec *spec, const cJSON *assignment, struct error *e);
/* That of number `number`, the same way; null without a message where there is none. */
cJSON *sweep_trial(const struct sweep_spec *spec, int64_t number, struct error *e);

/* Of sweep_axis.c: reads one member of space, with a line in e for every problem. */
int sweep_axis_parse(const cJSON *member, bool grid, struct sweep_axis *axis, struct error *e);
cJSON *sweep_axis_value(const struct sweep_axis *axis, int64_t index);
cJSON *sweep_axis_draw(const struct sweep_axis *axis, int64_t seed, int64_t number, int again);

/* An axis as an interval: its values are equal parts of [0, 1) in their order, a range is spread
 * over it (evenly in the logarithm if so).  place is the inverse: the middle of a value's part; NaN
 * for what is none of its values. */
cJSON *sweep_axis_at(const struct sweep_axis *axis, double u);
double sweep_axis_place(const struct sweep_axis *axis, const cJSON *value);
bool sweep_axis_ordered(const struct sweep_axis *axis); /* a range, or numbers that rise or fall */

/* Whether its `when` holds, after what is assigned so far, for trials that have `trial` in common.
 */
bool sweep_axis_counts(const struct sweep_axis *axis, const cJSON *assignment, const cJSON *trial);
#endif
