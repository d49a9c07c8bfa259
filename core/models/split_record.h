/* What a file of a split model says of it besides its tensors: metadata "split". */
#ifndef MODELS_SPLIT_RECORD_H
#define MODELS_SPLIT_RECORD_H
#include "core/models/tree.h"
#include "core/tensor/safetensors.h"

/* {"groups": [[class, …], …], "tree": as tree_json}; of one network nothing. */
void split_record_put(const struct model *m, struct safetensors_writer *w);

/* How many submodels it tells of; 0: it is none. */
int split_record_count(const char *text);

/* Reads that: the subtasks of d's classes and the tree of c's backbone, the caller's to release.
 * Fails on anything else, with nothing to release. */
int split_record_parse(const char *text, const struct model_config *c, const struct dataset *d,
                       struct subtasks *subtasks, struct tree **tree, struct error *e);
#endif
