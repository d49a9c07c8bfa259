/* A sweep's specification, and the trials that it stands for. */
#ifndef SCHEMAS_SWEEP_SPEC_H
#define SCHEMAS_SWEEP_SPEC_H
#include "schemas/fields.h"

enum { SWEEP_TRIALS_MAX = 10000000, SWEEP_NAME_MAX = 64 };

/* One swept field.  A range holds min, min + step … when step > 0, else all between. */
struct sweep_axis {
	const struct field *field; /* of the trial's table */
	const cJSON *values;       /* a list, or null for a range */
	double min, max, step;
	bool log;      /* drawn evenly in the logarithm */
	int64_t count; /* of values or steps; 0 for a range without step */
};

struct sweep_spec {
#define FIELD(member, ...) FIELD_MEMBER(member, __VA_ARGS__)
#include "schemas/sweep_fields.def"
#undef FIELD
	struct sweep_axis *axes; /* in the order of the file; they point into space */
	int64_t axis_count;
};

extern const struct field_table sweep_fields;

/* The sweep, defaults filled in; every problem is a line of e with its JSON path.  Release with
 * sweep_spec_release, also after a failure. */
int sweep_spec_parse(const cJSON *sweep, struct sweep_spec *spec, struct error *e);
void sweep_spec_release(struct sweep_spec *spec);

/* How many trials it stands for.  For random search that is search.trials: more can be drawn later
 * without changing those before. */
int64_t sweep_count(const struct sweep_spec *spec);

/* What trial `number` (from 0) is given: {"quant.weight_bits": 4, …}, in the order of the file.
 * Grid: the last field changes fastest.  Random: a function of search.seed, number and field. */
cJSON *sweep_assignment(const struct sweep_spec *spec, int64_t number);

/* Trial `number`, checked and filled, with the sweep's retry and resources where it has none of its
 * own.  Null with a message when fields contradict each other. */
cJSON *sweep_trial(const struct sweep_spec *spec, int64_t number, struct error *e);

/* Of sweep_axis.c: reads one member of space, with a line in e for every problem. */
int sweep_axis_parse(const cJSON *member, bool grid, struct sweep_axis *axis, struct error *e);
cJSON *sweep_axis_value(const struct sweep_axis *axis, int64_t index);
cJSON *sweep_axis_draw(const struct sweep_axis *axis, int64_t seed, int64_t number);
#endif
