/* Finds classes by name or number. */
#include "core/data/class.h"
#include <stdlib.h>
#include <string.h>

int class_named(const struct dataset *d, const char *name, struct error *e)
{
	size_t classes = (size_t)d->classes;

	for (int k = 0; k < d->classes; k++)
		if (strcmp(d->class_name[k], name) == 0)
			return k;
	const char **known = xcalloc(classes, sizeof *known);
	for (size_t k = 0; k < classes; k++)
		known[k] = d->class_name[k];
	const char *near = nearest_name(name, known, classes);
	free(known);
	return error_set(e, "%s has no category \"%s\"%s%s%s", d->name, name,
	                 near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

int class_of_json(const struct dataset *d, const cJSON *item, struct error *e)
{
	if (cJSON_IsString(item))
		return class_named(d, item->valuestring, e);
	if (!cJSON_IsNumber(item) || item->valuedouble != item->valueint || item->valueint < 0 ||
	    item->valueint >= d->classes)
		return error_set(e, "elements are names, or indices from 0 to %d", d->classes - 1);
	return item->valueint;
}

void class_add_name(struct text *to, const struct dataset *d, int class)
{
	if (d && d->class_name)
		text_add(to, "%s", d->class_name[class]);
	else
		text_add(to, "class %d", class);
}

int class_add_list(struct text *to, const struct dataset *d, const bool *listed, int classes)
{
	enum { NAMED = 3 };
	int count = 0;

	for (int k = 0; k < classes; k++) {
		if (!listed[k] || ++count > NAMED)
			continue;
		text_add(to, "%s", count > 1 ? ", " : "");
		class_add_name(to, d, k);
	}
	if (count > NAMED)
		text_add(to, " and %d more", count - NAMED);
	return count;
}
