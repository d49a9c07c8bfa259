/* The known name that a mistyped one most likely means. */
#include "core/base/json.h"
#include "core/base/text.h"
#include <stdlib.h>
#include <string.h>

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Edit distance with neighbouring letters exchanged counting as one (optimal string alignment). */
static size_t distance(const char *a, const char *b)
{
	size_t rows = strlen(a) + 1, columns = strlen(b) + 1;
	size_t *d = xmalloc(rows * columns * sizeof *d);

	for (size_t i = 0; i < rows; i++) {
		for (size_t j = 0; j < columns; j++) {
			size_t *at = d + i * columns + j;
			*at = i ? i : j;
			if (!i || !j)
				continue;
			*at = least(at[-1], at[-(long)columns]) + 1;
			*at = least(*at, at[-(long)columns - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				*at = least(*at, at[-2 * (long)columns - 2] + 1);
		}
	}
	size_t result = d[rows * columns - 1];
	free(d);
	return result;
}

const char *nearest_name(const char *name, const char *const *known, size_t count)
{
	enum { LONGEST = 256 };
	size_t length = strlen(name), best = length / 3 > 2 ? length / 3 : 2;
	const char *found = NULL;

	if (length > LONGEST)
		return NULL;
	best = least(best, length > 1 ? length - 1 : 0);
	for (size_t i = 0; i < count; i++) {
		size_t far = distance(name, known[i]);
		if (far <= best && (!found || far < best)) {
			best = far;
			found = known[i];
		}
	}
	return found;
}
