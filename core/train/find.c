/* Where a trial's data set lies: the path it names, or what is known by the set's name in a root.
 */
#include "core/train/find.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include <glob.h>
#include <stdlib.h>
#include <string.h>

/* Names that data sets have on disk, the official ones first; patterns as for the shell. */
static const struct {
	const char *name, *pattern;
} usual[] = {
        {"cifar10", "cifar-10-batches-bin"},
        {"cifar10", "cifar-10-binary.tar.gz"},
        {"cifar10", "cifar10"},
        {"cifar10", "cifar10*.tar*"},
        {"cifar10", "cifar10*.zip"},
        {"cifar100", "cifar-100-binary"},
        {"cifar100", "cifar-100-binary.tar.gz"},
        {"cifar100", "cifar100"},
        {"cifar100", "cifar100*.tar*"},
        {"cifar100", "cifar100*.zip"},
};

/* The first match of a pattern below a folder, or null. */
static char *match(const char *root, const char *pattern)
{
	char *whole = path_join(root, pattern), *first = NULL;
	glob_t g;

	if (glob(whole, 0, NULL, &g) == 0) {
		first = xstrdup(g.gl_pathv[0]);
		globfree(&g);
	}
	free(whole);
	return first;
}

static char *find_below(const char *root, const char *name, const char *path)
{
	char *found = path ? path_join(root, path) : NULL;

	if (found && !file_exists(found)) {
		free(found);
		found = NULL;
	}
	for (size_t i = 0; !path && !found && i < sizeof usual / sizeof *usual; i++)
		if (!strcmp(usual[i].name, name))
			found = match(root, usual[i].pattern);
	return found;
}

int data_find(const char *name, const char *path, const char *roots, char **found, struct error *e)
{
	*found = NULL;
	if (!strcmp(name, "shapes"))
		return 0;
	if (path && file_exists(path)) {
		*found = xstrdup(path);
		return 0;
	}
	roots = roots ? roots : getenv("TRAWL_DATA");
	char *list = xstrdup(roots ? roots : ""), *rest = list, *root;
	while (!*found && (root = strsep(&rest, ":")))
		if (*root)
			*found = find_below(root, name, path);
	free(list);
	if (*found)
		return 0;
	if (path)
		return error_set(e, "data.path: %s does not exist%s%s", path,
		                 roots ? ", nor does it below " : "", roots ? roots : "");
	return error_set(e,
	                 "data set %s not found %s%s: give data.path, set TRAWL_DATA to the folder "
	                 "where it lies, or fetch it with `trawl data fetch %s`",
	                 name, roots ? "in " : "(TRAWL_DATA is not set)", roots ? roots : "", name);
}
