/* What is to be done for holdings: a growing list. */
#include "worker/act.h"
#include "core/base/text.h"
#include <stdio.h>
#include <stdlib.h>

struct act *act_add(struct acts *a, enum act_kind kind, int64_t trial, int64_t attempt)
{
	if (a->count == a->capacity) {
		a->capacity = a->capacity * 2 + 8;
		a->items = xrealloc(a->items, a->capacity * sizeof *a->items);
	}
	struct act *act = &a->items[a->count++];
	*act = (struct act){.kind = kind, .trial = trial, .attempt = attempt};
	return act;
}

void act_add_file(struct acts *a, enum act_kind kind, int64_t trial, int64_t attempt,
                  const char *sha256, const char *path, int64_t bytes)
{
	struct act *act = act_add(a, kind, trial, attempt);
	snprintf(act->sha256, sizeof act->sha256, "%s", sha256);
	act->path = path ? xstrdup(path) : NULL;
	act->bytes = bytes;
}

void acts_release(struct acts *a)
{
	for (size_t i = 0; i < a->count; i++)
		free(a->items[i].path);
	free(a->items);
	*a = (struct acts){0};
}
