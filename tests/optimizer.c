/* Laws of optimizers and schedules. */
#include "core/train/optimizer.h"
#include "core/base/random.h"
#include "core/base/text.h"
#include "core/train/schedule.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FIRST = 700, SECOND = 5 }; /* elements: more than a chunk, less than one */

static void fill(struct tensor *t, uint64_t what)
{
	struct random_stream r = random_stream(9, "optimizer", what, 0);

	for (int64_t i = 0; i < shape_count(t->shape); i++) {
		double v = (float)random_normal(&r, (uint64_t)i);

		if (t->type == F64)
			((double *)tensor_write(t))[i] = v;
		else
			((float *)tensor_write(t))[i] = (float)v;
	}
}

static struct parameter_set parameters(enum dtype type)
{
	struct parameter_set p = {0};

	parameter_add(&p, xstrdup("a"), PARAMETER_BIAS, type, SHAPE(FIRST));
	parameter_add(&p, xstrdup("b"), PARAMETER_BIAS, type, SHAPE(SECOND));
	for (int i = 0; i < 2; i++)
		fill(p.item[i].value, (uint64_t)i);
	return p;
}

static double step_with(struct optimizer *o, int step, double rate)
{
	struct tensor *g[2];
	double norm;

	for (int i = 0; i < 2; i++) {
		const struct tensor *value = o->parameters->item[i].value;

		g[i] = tensor_new(value->type, value->shape);
		fill(g[i], (uint64_t)(100 + 2 * step + i));
	}
	norm = optimizer_step(o, g, rate);
	tensor_free(g[0]);
	tensor_free(g[1]);
	return norm;
}

static struct optimizer made(const struct optimizer_settings *s, struct parameter_set *p)
{
	struct optimizer o;
	struct error e = {{0}};

	if (optimizer_init(&o, s, p, &e))
		fail_msg("%s", e.text);
	return o;
}

static const struct optimizer_settings variants[] = {
        {.kind = "sgd"},
        {.kind = "sgd", .momentum = 0.9, .weight_decay = 0.01},
        {.kind = "sgd", .momentum = 0.9, .nesterov = true, .clip_norm = 0.5},
        {.kind = "adamw", .beta = {0.9, 0.999}, .eps = 1e-8, .weight_decay = 0.1},
};
enum { VARIANTS = sizeof(variants) / sizeof(*variants) };

static void float_follows_double(void **state)
{
	for (int v = 0; v < VARIANTS; v++) {
		struct parameter_set f = parameters(F32), d = parameters(F64);
		struct optimizer of = made(&variants[v], &f), od = made(&variants[v], &d);

		for (int step = 0; step < 5; step++) {
			step_with(&of, step, 0.1);
			step_with(&od, step, 0.1);
		}
		for (int i = 0; i < 2; i++)
			for (int64_t k = 0; k < shape_count(f.item[i].value->shape); k++)
				assert_true(fabs(tensor_at(f.item[i].value, k) -
				                 tensor_at(d.item[i].value, k)) < 2e-6);
		optimizer_release(&of);
		optimizer_release(&od);
		parameter_release(&f);
		parameter_release(&d);
	}
}

/* SGD with momentum and decay, element by element as PyTorch's documentation writes it. */
static void sgd_is_its_formula(void **state)
{
	struct parameter_set p = parameters(F64), old = parameters(F64);
	struct optimizer_settings s = variants[1];
	struct optimizer o = made(&s, &p);
	struct tensor *g = tensor_new(F64, SHAPE(FIRST));
	double w = tensor_at(old.item[0].value, 600), b = 0;

	for (int step = 0; step < 4; step++) {
		fill(g, (uint64_t)(100 + 2 * step));
		double d = tensor_at(g, 600) + s.weight_decay * w;
		b = step == 0 ? d : s.momentum * b + d;
		w -= 0.05 * b;
		step_with(&o, step, 0.05);
	}
	assert_true(fabs(tensor_at(p.item[0].value, 600) - w) < 1e-15);
	tensor_free(g);
	optimizer_release(&o);
	parameter_release(&p);
	parameter_release(&old);
}

static void clipping_bounds_the_total_norm_and_reports_the_true_one(void **state)
{
	struct parameter_set p = parameters(F64), before = parameters(F64);
	struct optimizer_settings s = {.kind = "sgd", .clip_norm = 0.25};
	struct optimizer o = made(&s, &p);
	double norm = step_with(&o, 0, 1), moved = 0;

	for (int i = 0; i < 2; i++)
		for (int64_t k = 0; k < shape_count(p.item[i].value->shape); k++)
			moved += pow(tensor_at(p.item[i].value, k) -
			                     tensor_at(before.item[i].value, k),
			             2);
	assert_true(norm > 20);
	assert_true(fabs(sqrt(moved) - 0.25 * norm / (norm + 1e-6)) < 1e-12);
	optimizer_release(&o);
	parameter_release(&p);
	parameter_release(&before);
}

static void frozen_parameters_stay(void **state)
{
	struct parameter_set p = parameters(F32), before = parameters(F32);
	struct optimizer o = made(&variants[1], &p);
	struct tensor *g = tensor_new(F32, SHAPE(FIRST));

	fill(g, 100);
	optimizer_step(&o, (struct tensor *[]){g, NULL}, 0.1);
	assert_memory_equal(tensor_plain(p.item[1].value), tensor_plain(before.item[1].value),
	                    SECOND * 4);
	assert_memory_not_equal(tensor_plain(p.item[0].value), tensor_plain(before.item[0].value),
	                        FIRST * 4);
	tensor_free(g);
	optimizer_release(&o);
	parameter_release(&p);
	parameter_release(&before);
}

/* Takes over parameters, state and step count, as a checkpoint does. */
static void resume(struct optimizer *to, const struct optimizer *from)
{
	for (int i = 0; i < 2; i++)
		memcpy(tensor_write(to->parameters->item[i].value),
		       tensor_plain(from->parameters->item[i].value),
		       (size_t)shape_count(from->parameters->item[i].value->shape) * 4);
	for (int i = 0; i < optimizer_state_count(from); i++) {
		char *name, *same;
		struct tensor *source = optimizer_state(from, i, &name);
		struct tensor *target = optimizer_state(to, i, &same);

		assert_string_equal(name, same);
		memcpy(tensor_write(target), tensor_plain(source),
		       (size_t)shape_count(source->shape) * 4);
		free(name);
		free(same);
	}
	to->steps = from->steps;
}

static void resumed_state_gives_the_same_bits(void **state)
{
	for (int v = 0; v < VARIANTS; v++) {
		struct parameter_set p = parameters(F32), q = parameters(F32);
		struct optimizer a = made(&variants[v], &p), b = made(&variants[v], &q);

		for (int step = 0; step < 6; step++) {
			if (step == 3)
				resume(&b, &a);
			step_with(&a, step, 0.1);
			if (step >= 3)
				step_with(&b, step, 0.1);
		}
		for (int i = 0; i < 2; i++)
			assert_memory_equal(tensor_plain(p.item[i].value),
			                    tensor_plain(q.item[i].value),
			                    (size_t)shape_count(p.item[i].value->shape) * 4);
		optimizer_release(&a);
		optimizer_release(&b);
		parameter_release(&p);
		parameter_release(&q);
	}
}

static void state_is_named_for_checkpoints(void **state)
{
	struct parameter_set p = parameters(F32);
	struct optimizer o = made(&variants[3], &p);
	static const char *const names[] = {"optimizer.exp_avg.a", "optimizer.exp_avg.b",
	                                    "optimizer.exp_avg_sq.a", "optimizer.exp_avg_sq.b"};

	assert_int_equal(optimizer_state_count(&o), 4);
	for (int i = 0; i < 4; i++) {
		char *name;
		struct tensor *t = optimizer_state(&o, i, &name);

		assert_string_equal(name, names[i]);
		assert_int_equal(shape_count(t->shape), i % 2 ? SECOND : FIRST);
		free(name);
	}
	optimizer_release(&o);
	parameter_release(&p);
}

static void unknown_kinds_are_refused(void **state)
{
	struct parameter_set p = parameters(F32);
	struct optimizer o;
	struct error e;
	struct schedule s = {.kind = "linear", .rate = 0.1};

	assert_int_equal(
	        optimizer_init(&o, &(struct optimizer_settings){.kind = "adagrad"}, &p, &e), -1);
	assert_non_null(strstr(e.text, "adagrad"));
	optimizer_release(&o);
	assert_int_equal(schedule_check(&s, &e), -1);
	s.kind = "cosine";
	assert_int_equal(schedule_check(&s, &e), 0);
	s.rate = NAN;
	assert_int_equal(schedule_check(&s, &e), -1);
	parameter_release(&p);
}

static void near(double got, double expect)
{
	if (!(fabs(got - expect) <= 1e-12))
		fail_msg("%.17g instead of %.17g", got, expect);
}

static void steps_multiply_at_their_epochs(void **state)
{
	struct schedule s = {.kind = "step",
	                     .rate = 0.4,
	                     .milestone = {2, 3},
	                     .milestone_count = 2,
	                     .gamma = 0.1};

	near(schedule_rate(&s, 0, 10, 4), 0.4);
	near(schedule_rate(&s, 19, 10, 4), 0.4);
	near(schedule_rate(&s, 20, 10, 4), 0.04);
	near(schedule_rate(&s, 30, 10, 4), 0.004);
	s.kind = "constant";
	near(schedule_rate(&s, 39, 10, 4), 0.4);
}

static void cosine_falls_from_the_rate_to_the_final_one(void **state)
{
	struct schedule s = {.kind = "cosine", .rate = 1, .final_rate = 0.2};
	double before = INFINITY;

	near(schedule_rate(&s, 0, 10, 8), 1);
	near(schedule_rate(&s, 40, 10, 8), 0.6);
	near(schedule_rate(&s, 80, 10, 8), 0.2);
	near(schedule_rate(&s, 1000, 10, 8), 0.2);
	for (int step = 0; step < 80; step++) {
		assert_true(schedule_rate(&s, step, 10, 8) < before);
		before = schedule_rate(&s, step, 10, 8);
	}
}

static void warm_up_rises_linearly_then_joins_the_schedule(void **state)
{
	struct schedule s = {.kind = "cosine", .rate = 0.8, .warmup_epochs = 2};

	near(schedule_rate(&s, 0, 10, 6), 0.8 / 20);
	near(schedule_rate(&s, 9, 10, 6), 0.4);
	near(schedule_rate(&s, 19, 10, 6), 0.8);
	near(schedule_rate(&s, 20, 10, 6), 0.8);
	near(schedule_rate(&s, 40, 10, 6), 0.4);
	near(schedule_rate(&s, 60, 10, 6), 0);
	s.warmup_epochs = 6; /* as long as training: never beyond the rate, no division by zero */
	near(schedule_rate(&s, 58, 10, 6), 0.8 * 59 / 60);
	assert_true(isfinite(schedule_rate(&s, 59, 10, 6)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(float_follows_double),
	        cmocka_unit_test(sgd_is_its_formula),
	        cmocka_unit_test(clipping_bounds_the_total_norm_and_reports_the_true_one),
	        cmocka_unit_test(frozen_parameters_stay),
	        cmocka_unit_test(resumed_state_gives_the_same_bits),
	        cmocka_unit_test(state_is_named_for_checkpoints),
	        cmocka_unit_test(unknown_kinds_are_refused),
	        cmocka_unit_test(steps_multiply_at_their_epochs),
	        cmocka_unit_test(cosine_falls_from_the_rate_to_the_final_one),
	        cmocka_unit_test(warm_up_rises_linearly_then_joins_the_schedule),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
