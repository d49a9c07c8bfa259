/* Subtasks: a classification task cut into groups of classes, one for each submodel (methods.md
 * B1).
 *
 * Whatever way they are made, every class is in exactly one group, every group has two classes at
 * least (with one there is nothing to tell apart), and there are 2 to SUBTASKS_MAX groups.  Errors
 * are one line, to which the caller adds the field or file. */
#ifndef SPLIT_SUBTASKS_H
#define SPLIT_SUBTASKS_H
#include "core/base/error.h"
#include "core/base/json.h"
#include "core/data/dataset.h"

enum { SUBTASKS_MAX = 32 }; /* sets of submodels are masks of 32 bits */
enum { CLASSES_LEAST = 2 }; /* of a group */

struct subtasks {
	int classes, count; /* N, n */
	int *group;         /* (classes) the submodel that a class belongs to */
	int *place;         /* (classes) the class's index in its group */
	int *size;          /* (count) K_i */
	int *member; /* (classes) the classes of group 0, of group 1, …: rising in each, or as
	                listed */
};
void subtasks_release(struct subtasks *s);
const int *subtasks_members(const struct subtasks *s, int submodel); /* (K_i) its classes */
int subtasks_check_count(int classes, int count, struct error *e);   /* can so many be made? */
cJSON *subtasks_to_json(const struct subtasks *s); /* lists of indices, for subtasks_from_lists */

/* From the group of each class; groups are numbered anew, by their first class.  Names in errors
 * are d's; null: numbers. */
int subtasks_from_groups(struct subtasks *s, const int *group, int classes, int count,
                         const struct dataset *d, struct error *e);

/* From a list of lists of d's class names and indices, in that order, each of `least` at least:
 * CLASSES_LEAST (the equations hold for 1 too).  Errors: a class that d has not (with the nearest),
 * one in two groups, classes in none (names three), an empty group. */
int subtasks_from_lists(struct subtasks *s, const cJSON *lists, int least, const struct dataset *d,
                        struct error *e);

/* From the superclass of each class, such as d->group_name: `count` groups of whole superclasses,
 * their sizes as even as can be (least sum of squares, by complete search, which ends after a
 * million steps with the best so far); 0: a group for each superclass.  Groups are numbered by
 * their first class.  Errors: fewer superclasses than groups, no superclasses at all (null). */
int subtasks_from_superclasses(struct subtasks *s, const char *const *superclass, int count,
                               const struct dataset *d, struct error *e);

/* The superclass of each of d's classes, from {"superclass": ["class", …], …} or
 * {"class": "superclass", …}.  The array is the caller's to free, its names are json's; null on
 * failure: errors as of subtasks_from_lists. */
const char **superclasses_of_json(const cJSON *json, const struct dataset *d, struct error *e);

/* `count` groups at random, a function of seed and the two numbers.  Sizes differ by one at most;
 * groups are numbered by their first class. */
int subtasks_random(struct subtasks *s, int classes, int count, int64_t seed, struct error *e);

/* `count` groups of classes that are alike: balanced k-means of `feature` (classes, dims), such as
 * each class's mean of the pooled features of a pretrained model.  Sizes differ by one at most;
 * groups are numbered by their first class.
 *
 * Features are taken as they are, not standardised: in that space the model's own classifier
 * measures, and dimensions that hardly vary should not count as much as those that do.  From each
 * of 32 starts (k-means++, then all classes to their nearest centre that has room, nearest pair
 * first), moves of a class and exchanges of two, priced with the centres' own movement (Hartigan),
 * go on until none lowers the sum of squares within groups; the lowest of the 32 is the result.  A
 * function of seed and features alone.  Errors: a feature that is no finite number. */
int subtasks_cluster(struct subtasks *s, const double *feature, int classes, int64_t dims,
                     int count, int64_t seed, struct error *e);

/* What subtasks_cluster minimises: squared distances to the centres of the groups, summed. */
double subtasks_spread(const struct subtasks *s, const double *feature, int64_t dims);
#endif
