/* golden DIR…: runs golden cases in double on the reference back end and in float on the default
 * one.
 *
 * Prints "case precision family error limit ok|FAIL" lines.  Without arguments: every case below
 * $TRAWL_GOLDENS whose kind it knows. */
#include "tests/goldens/golden.h"
#include "core/base/text.h"
#include <glob.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct golden_kind kinds[] = {
        {"bit_allocation", bit_allocation_run, true},  {"classifier", classifier_run, false},
        {"ood_metrics", ood_metrics_run, false},       {"optimizer", optimizer_run, false},
        {"split_ensemble", split_ensemble_run, false},
};

static const struct precision precisions[] = {
        {"double", F64, &backend_ref},
        {"float", F32, &backend_onednn},
};

static const struct golden_kind *kind_named(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

static int run_precision(const struct golden_kind *kind, const char *name, const cJSON *manifest,
                         const struct safetensors *tensors, const struct precision *p)
{
	struct golden g;
	struct error e = {0};
	int bad;

	golden_init(&g, name, manifest, tensors, p);
	if (kind->run(&g, &e)) {
		printf("%-18s %-6s FAIL %s\n", name, p->name, e.text);
		bad = 1;
	} else {
		golden_report(&g);
		bad = g.bad;
	}
	golden_release(&g);
	fflush(stdout);
	return bad;
}

static int run_precisions(const struct golden_kind *kind, const char *name, const cJSON *manifest,
                          const struct safetensors *tensors)
{
	int bad = 0;

	for (size_t i = 0; i < sizeof(precisions) / sizeof(*precisions); i++)
		bad += run_precision(kind, name, manifest, tensors, &precisions[i]);
	return bad;
}

/* How much is wrong with a case.  A kind that is not known fails, unless `known_only`. */
static int run_case(const char *folder, bool known_only)
{
	char *manifest_path = xformat("%s/manifest.json", folder), *copy = xstrdup(folder);
	char *tensors_path = xformat("%s/tensors.safetensors", folder);
	const char *name = basename(copy);
	struct error e = {0};
	cJSON *manifest = json_read(manifest_path, &e);
	const char *kind_name = json_text(manifest, "kind", "");
	const struct golden_kind *kind = kind_named(kind_name);
	struct safetensors *tensors = NULL;
	int bad = 1;

	if (manifest && !kind && known_only)
		bad = 0;
	else if (manifest && !kind)
		printf("%-18s FAIL unknown kind \"%s\"\n", name, kind_name);
	else if (!manifest || (!kind->json_only && !(tensors = safetensors_open(tensors_path, &e))))
		printf("%-18s FAIL %s\n", name, e.text);
	else
		bad = run_precisions(kind, name, manifest, tensors);
	safetensors_close(tensors);
	cJSON_Delete(manifest);
	free(tensors_path);
	free(manifest_path);
	free(copy);
	return bad;
}

static int run_all(void)
{
	const char *folder = getenv("TRAWL_GOLDENS");
	char *pattern = xformat("%s/*/manifest.json", folder ? folder : "../shared/goldens");
	glob_t found;
	int bad = 0;

	if (glob(pattern, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++)
			bad += run_case(dirname(found.gl_pathv[i]), true);
		globfree(&found);
	} else {
		printf("SKIPPED golden: nothing at %s\n", pattern);
	}
	free(pattern);
	return bad;
}

/* The three numbers that goldens/README.md gives. */
static int check_stream(void)
{
	static const double expect[] = {0.48200613260269165, 0.6167577505111694,
	                                0.9571812748908997};
	struct stream s = stream_named(11, "conv");

	for (int i = 0; i < 3; i++) {
		double u = stream_next(&s);

		if (u != expect[i]) {
			printf("stream 11:conv FAIL u_%d = %.17g\n", i, u);
			return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	int bad = check_stream();

	for (int i = 1; i < argc; i++) {
		size_t n = strlen(argv[i]);

		while (n > 1 && argv[i][n - 1] == '/')
			argv[i][--n] = 0;
		bad += run_case(argv[i], false);
	}
	if (argc == 1)
		bad += run_all();
	return bad ? 1 : 0;
}
