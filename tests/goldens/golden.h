/* Golden cases: what a case expects, and how far from it a run comes. */
#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/tensor/safetensors.h"
#include "core/tensor/tape.h"

/* One of the two runs that each case gets. */
struct precision {
	const char *name; /* "double" "float" */
	enum dtype type;
	const struct backend *backend;
};

struct family;
struct golden {
	const char *name; /* of the case: its folder */
	const cJSON *manifest;
	const struct safetensors *tensors;
	const struct precision *precision;
	struct family *family;
	int family_count;
	bool *checked; /* (tensors) */
	int bad;       /* families beyond their limit, arrays nobody computed */
};

/* A kind of case, one row each; run computes everything and hands it to golden_check. */
struct golden_kind {
	const char *name;
	int (*run)(struct golden *g, struct error *e);
	bool json_only; /* there is no tensors.safetensors: g->tensors is null */
};
int bit_allocation_run(struct golden *g, struct error *e);
int classifier_run(struct golden *g, struct error *e);
int ood_metrics_run(struct golden *g, struct error *e);
int optimizer_run(struct golden *g, struct error *e);
int split_ensemble_run(struct golden *g, struct error *e);

/* Everything is borrowed until golden_release. */
void golden_init(struct golden *g, const char *name, const cJSON *manifest,
                 const struct safetensors *tensors, const struct precision *precision);
/* Prints a line per family and per array that is expected but was not computed. */
void golden_report(struct golden *g);
void golden_release(struct golden *g);

/* Whether any array of this family ("fisher", "quant_*") is expected. */
bool golden_wants(const struct golden *g, const char *family_pattern);

/* Compares with expect/<family>[/<member>]; what is not expected is passed over.  member may be
 * null. */
void golden_check(struct golden *g, const char *family, const char *member, const double *got,
                  int64_t count);
void golden_check_tensor(struct golden *g, const char *family, const char *member,
                         struct tensor *got);

/* Compares with a number that the manifest itself gives: |got - expect| / max(|expect|, least),
 * held to the manifest's tolerance in either precision. */
void golden_check_number(struct golden *g, const char *family, const char *member, double got,
                         double expect, double least);

/* The named stream of goldens/README.md: FNV-1a of "<seed>:<name>", then SplitMix64. */
struct stream {
	uint64_t state;
};
struct stream stream_named(int64_t seed, const char *name);
double stream_next(struct stream *s); /* in [0, 1), exact in float */

/* float32(offset + scale (2 u_i - 1)), row-major, into a tensor of either float type. */
void stream_fill(struct tensor *t, int64_t seed, const char *name, double scale, double offset);

/* A shape from a JSON array; false when it is none. */
bool shape_parse(const cJSON *array, struct shape *s);
#endif
