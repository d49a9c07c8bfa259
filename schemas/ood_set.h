/* A set of images from outside of the distribution, as ood.sets lists it. */
#ifndef SCHEMAS_OOD_SET_H
#define SCHEMAS_OOD_SET_H
#include "core/base/json.h"

/* Texts belong to the JSON; null where absent. */
struct ood_set {
	const char *data; /* data set, or "uniform", "gaussian" */
	const char *name; /* how it is reported */
	const char *path, *digest;
	bool crops; /* else it is resized */
};

/* Reads an element of ood.sets.  Fails on unknown data sets and members, with the nearest;
 * where idx or folder has no path; and on names of other than letters, digits and _ . + -. */
int ood_set_read(const cJSON *item, struct ood_set *set, struct error *e);
bool ood_set_is_noise(const struct ood_set *set);

/* Reads all, and that no two have one name; where: "ood.sets".  Each problem is a line of e, how
 * many there are is returned. */
int ood_sets_check(const cJSON *list, const char *where, struct error *e);
#endif
