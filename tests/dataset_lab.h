/* What tests of data sets share: a place for source and cache, opening, and being refused. */
#ifndef TESTS_DATASET_LAB_H
#define TESTS_DATASET_LAB_H
#include "tests/fixture.h"
/* cmocka wants these first */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct place {
	char *folder, *source, *cache;
};

static inline struct place place_new(void)
{
	struct place p = {scratch_new(), NULL, NULL};

	p.source = xformat("%s/source", p.folder);
	p.cache = xformat("%s/cache", p.folder);
	return p;
}

static inline void place_remove(struct place *p)
{
	scratch_remove(p->folder);
	free(p->source);
	free(p->cache);
}

static inline struct dataset *open_split(const char *name, const char *source, const char *cache,
                                         enum split split)
{
	struct dataset_request r = {.name = name, .source = source, .cache = cache, .split = split};
	struct error e = {{0}};
	struct dataset *d;

	if (dataset_open(&r, &d, &e) != 0)
		fail_msg("%s", e.text);
	return d;
}

/* Opening fails with one line that has all the words. */
#define refused(request, ...) refused_with(request, (const char *[]){__VA_ARGS__, NULL})
static inline void refused_with(struct dataset_request r, const char *const *words)
{
	struct error e = {{0}};
	struct dataset *d;

	assert_int_equal(dataset_open(&r, &d, &e), -1);
	assert_null(d);
	assert_null(strchr(e.text, '\n'));
	for (; *words; words++)
		if (!strstr(e.text, *words))
			fail_msg("no \"%s\" in: %s", *words, e.text);
}

/* The archive that a law needs; where it is not there, the law is skipped. */
static inline char *real_data_or_skip(const char *law, const char *archive)
{
	char *path = real_data(law, archive);

	if (!path)
		skip();
	return path;
}
#endif
