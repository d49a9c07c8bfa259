/* The model and quantizer that a classifier's manifest describes. */
#ifndef TESTS_GOLDEN_CLASSIFIER_MODEL_H
#define TESTS_GOLDEN_CLASSIFIER_MODEL_H
#include "core/models/model.h"
#include "tests/goldens/golden.h"

/* Parameters and buffers rebuilt from their streams.  Null when the manifest's list and the model's
 * differ, naming what. */
struct model *classifier_model(const struct golden *g, struct shape images, struct error *e);

/* quantizer.layers is a list of names, or words: "every parameter of two or more dimensions", with
 * "first" and "last" for those that stay. */
int classifier_quantization(const cJSON *quantizer, const struct model *m, struct quantization *q,
                            struct error *e);
#endif
