/* A small residual network with weights, for the laws of quantization. */
#ifndef TESTS_SMALL_MODEL_H
#define TESTS_SMALL_MODEL_H
#include "core/models/model.h"
#include "tests/trial_run.h"

/* Four channels in the first stage, ten classes; weights by seed 5. */
static inline struct model *small_model(const char *name, const char *shortcut, enum dtype type)
{
	struct model_config c;
	struct error e;

	assert_int_equal(model_config_named(&c, name, 10, shortcut, &e), 0);
	c.width = 4;
	struct model *m = model_new(&c, type);
	parameter_start(&m->parameters, 5);
	return m;
}
#endif
