/* Laws of the tape and its gradients, and fused ops against what they stand for. */
#include "tests/values.h"

/* ---- plain ops for what is fused ---- */
static T *channels(struct tape *t, T *c)
{
	return op_reshape(t, c, SHAPE(c->shape.d[0], 1, 1));
}

static T *channel_mean(struct tape *t, T *x)
{
	struct shape s = x->shape;
	T *sum = op_sum_to(t, x, SHAPE(s.d[1], 1, 1));

	return op_scale(t, sum, 1.0 / (double)(s.d[0] * s.d[2] * s.d[3]));
}

/* The residual's sum, if there is one, and ReLU. */
static T *plain_join(struct tape *t, T *y, T *residual, bool relu)
{
	y = residual ? op_add(t, y, residual) : y;
	return relu ? op_relu(t, y) : y;
}

static T *plain_batch_norm(struct tape *t, T *x, T *gamma, T *beta, T *residual, double eps,
                           bool relu)
{
	T *centred = op_sub(t, x, channel_mean(t, x));
	T *variance = channel_mean(t, op_mul(t, centred, centred));
	T *r = op_recip(t, op_sqrt(t, op_shift(t, variance, eps)));
	T *y = op_mul(t, centred, op_mul(t, r, channels(t, gamma)));

	return plain_join(t, op_add(t, y, channels(t, beta)), residual, relu);
}

static T *plain_softmax(struct tape *t, T *x)
{
	struct shape rows = x->shape;
	T *e = op_exp(t, x);

	rows.d[rows.n - 1] = 1;
	return op_mul(t, e, op_recip(t, op_sum_to(t, e, rows)));
}

static T *plain_cross_entropy(struct tape *t, T *z, T *label)
{
	T *hot = op_one_hot(t, label, z->shape.d[1], z->type);
	T *log_p = op_log(t, plain_softmax(t, z));

	T *loss = op_sum_to(t, op_mul(t, op_scale(t, log_p, -1), hot), SHAPE(z->shape.d[0], 1));
	return op_reshape(t, loss, SHAPE(z->shape.d[0]));
}

static T *plain_affine(struct tape *t, T *x, T *a, T *b, T *residual, bool relu)
{
	T *y = op_add(t, op_mul(t, x, channels(t, a)), channels(t, b));

	return plain_join(t, y, residual, relu);
}

/* Batch norm with a residual (may be null) and ReLU, fused or not; the same of the affine map. */
static T *norm(struct tape *t, bool fused, T *x, T **p, T *residual)
{
	return fused ? op_batch_norm(t, x, p[0], p[1], residual, 0.01, true, NULL, NULL)
	             : plain_batch_norm(t, x, p[0], p[1], residual, 0.01, true);
}

static T *affine(struct tape *t, bool fused, T *x, T **p, T *residual, bool relu)
{
	return fused ? op_channel_affine(t, x, p[0], p[1], residual, relu)
	             : plain_affine(t, x, p[0], p[1], residual, relu);
}

/* ---- a small residual network, of fused ops or of plain ones ---- */
enum { PARAMETERS = 7 };
static struct shape parameter_shape(int i)
{
	const struct shape s[PARAMETERS] = {SHAPE(4, 3, 3, 3), SHAPE(4), SHAPE(4),
	                                    SHAPE(4, 4, 3, 3), SHAPE(4), SHAPE(4),
	                                    SHAPE(4, 5)};

	return s[i];
}

static void parameters(struct tape *t, enum dtype type, T **p)
{
	for (int i = 0; i < PARAMETERS; i++)
		p[i] = random_leaf(t, type, parameter_shape(i), 100 + (uint64_t)i);
}

enum kind { PLAIN, FUSED, DROPPED }; /* dropped: fused, and what can be made again is */
static T *network_loss(struct tape *t, enum dtype type, T **p, enum kind kind)
{
	bool fused = kind != PLAIN;
	T *x = random_leaf(t, type, SHAPE(6, 3, 7, 6), 5), *y, *z, *joined;
	T *label = tape_adopt(t, tensor_from(I32, SHAPE(6), (int32_t[]){0, 3, 1, 4, 4, 2}));

	x = op_conv(t, x, p[0], 2, 1, 1);
	y = norm(t, fused, x, p + 1, NULL);
	z = norm(t, fused, op_conv(t, y, p[3], 1, 1, 1), p + 4, y);
	if (kind == DROPPED)
		tape_drop(t, y);
	joined = z;
	y = affine(t, fused, op_conv(t, z, p[3], 1, 1, 1), p + 1, NULL, true);
	z = affine(t, fused, y, p + 4, z, false);
	if (kind == DROPPED)
		tape_drop(t, joined);
	z = fused ? op_add_relu(t, y, z) : op_relu(t, op_add(t, y, z));
	z = op_matmul(t, op_mean_pool(t, z), p[6], false, false);
	return op_mean(t, fused ? op_cross_entropy(t, z, label) : plain_cross_entropy(t, z, label));
}

static T *square_norm(struct tape *t, T **x, int count)
{
	T *sum = op_square_sum(t, x[0]);

	for (int i = 1; i < count; i++)
		sum = op_add(t, sum, op_square_sum(t, x[i]));
	return sum;
}

/* Gradients of the loss (order 1), or of the squared norm of its gradient (order 2), loose. */
static void network_gradients(enum dtype type, enum kind kind, int order, T **out)
{
	T *p[PARAMETERS], *d[PARAMETERS];
	struct tape t;

	tape_init(&t, &backend_ref);
	parameters(&t, type, p);
	T *y = network_loss(&t, type, p, kind);
	if (order == 2) {
		tape_grad(&t, y, p, PARAMETERS, d, GRAD_RECORD);
		y = square_norm(&t, d, PARAMETERS);
	}
	tape_grad(&t, y, p, PARAMETERS, d, GRAD_CONSUME);
	for (int i = 0; i < PARAMETERS; i++)
		out[i] = tensor_share(d[i]);
	tape_release(&t);
}

static void compare_networks(enum dtype a, enum kind kind_a, enum dtype b, enum kind kind_b,
                             int order, double tolerance)
{
	T *x[PARAMETERS], *y[PARAMETERS];

	network_gradients(a, kind_a, order, x);
	network_gradients(b, kind_b, order, y);
	for (int i = 0; i < PARAMETERS; i++) {
		if (tolerance == 0)
			assert_same_bits(x[i], y[i]);
		else
			assert_close(x[i], y[i], tolerance);
		tensor_free(x[i]);
		tensor_free(y[i]);
	}
}

static void fused_equals_composite(void **state)
{
	compare_networks(F64, FUSED, F64, PLAIN, 1, 1e-12);
	compare_networks(F64, FUSED, F64, PLAIN, 2, 1e-11);
}

static void float_follows_double(void **state)
{
	compare_networks(F64, FUSED, F32, FUSED, 1, 2e-5);
	compare_networks(F64, FUSED, F32, FUSED, 2, 1e-4);
}

static void the_same_bits_twice(void **state)
{
	compare_networks(F32, FUSED, F32, FUSED, 1, 0);
	compare_networks(F32, FUSED, F32, FUSED, 2, 0);
}

static void dropped_values_come_again_with_the_same_bits(void **state)
{
	for (int order = 1; order <= 2; order++) {
		compare_networks(F32, DROPPED, F32, FUSED, order, 0);
		compare_networks(F64, DROPPED, F64, FUSED, order, 0);
	}
}

static int64_t norms_ran(void)
{
	return backend_ref.ran[OP_batch_norm];
}

/* x -> relu(batch norm) -> relu(batch norm + the first one) */
static void dropped_values_are_there_only_while_they_are_used(void **state)
{
	struct tape t;
	T *p[2], *d;

	tape_init(&t, &backend_ref);
	T *x = random_leaf(&t, F64, SHAPE(4, 8, 32, 32), 1);
	for (int i = 0; i < 2; i++)
		p[i] = random_leaf(&t, F64, SHAPE(8), 2);
	T *y = norm(&t, true, x, p, NULL), *z = norm(&t, true, y, p, y);
	T *loss = op_square_sum(&t, z);
	size_t all = storage_bytes_in_use(), one = z->plain->bytes;
	tape_drop(&t, y);
	tape_drop(&t, z);
	assert_true(storage_bytes_in_use() == all - 2 * one && tensor_is_clear(y));
	int64_t before = norms_ran();
	tape_grad(&t, loss, &x, 1, &d, GRAD_KEEP);
	assert_int_equal(norms_ran() - before, 2);
	assert_true(tensor_is_clear(y) && tensor_is_clear(z));
	tape_grad(&t, loss, &x, 1, &d, GRAD_RECORD);
	assert_true(tensor_is_clear(y) && tensor_is_clear(z) && !tensor_is_clear(d));
	tape_restore(&t, y);
	assert_false(tensor_is_clear(y));
	tape_drop(&t, x); /* a leaf: nothing happens */
	assert_false(tensor_is_clear(x));
	tape_release(&t);
}

/* The adjoint of a sum is that of both terms: the one that is asked for keeps it. */
static void what_is_asked_for_has_values(void **state)
{
	struct tape t;
	T *p[2], *d;

	tape_init(&t, &backend_ref);
	T *a = random_leaf(&t, F64, SHAPE(2, 4, 3, 3), 1), *b = random_leaf(&t, F64, a->shape, 2);
	p[0] = p[1] = random_leaf(&t, F64, SHAPE(4), 3);
	T *y = norm(&t, true, op_add(&t, a, b), p, NULL);
	tape_grad(&t, op_square_sum(&t, y), &b, 1, &d, GRAD_RECORD);
	assert_false(tensor_is_clear(d));
	tape_release(&t);
}

/* ---- the three modes ---- */
enum { LINKS = 40 };
static const size_t LINK_BYTES = 1 << 16;

/* y = exp(0.01 y) again and again: each link's value is needed by its own gradient */
static T *chain(struct tape *t, T *x)
{
	for (int i = 0; i < LINKS; i++)
		x = op_exp(t, op_scale(t, x, 0.01));
	return op_sum(t, x);
}

static void consume_frees_as_it_goes(void **state)
{
	struct tape t;
	T *d;

	tape_init(&t, &backend_ref);
	T *x = random_leaf(&t, F64, SHAPE(1 << 13), 1), *y = chain(&t, x);
	size_t forward = storage_bytes_in_use();
	assert_true(forward >= 2 * LINKS * LINK_BYTES);
	storage_peak_clear();
	tape_grad(&t, y, &x, 1, &d, GRAD_CONSUME);
	assert_true(storage_bytes_peak() <= forward + 4 * LINK_BYTES);
	assert_true(storage_bytes_in_use() <= 2 * LINK_BYTES + 4096);
	tape_release(&t);
}

static void unrecorded_adjoints_are_freed(void **state)
{
	struct tape t;
	T *d;

	tape_init(&t, &backend_ref);
	T *x = random_leaf(&t, F64, SHAPE(1 << 13), 1), *y = chain(&t, x);
	size_t forward = storage_bytes_in_use();
	storage_peak_clear();
	tape_grad(&t, y, &x, 1, &d, GRAD_KEEP);
	assert_true(storage_bytes_peak() <= forward + 4 * LINK_BYTES);
	tape_grad(&t, y, &x, 1, &d, GRAD_RECORD);
	assert_true(storage_bytes_in_use() >= forward + 2 * LINKS * LINK_BYTES);
	tape_release(&t);
}

static void keep_allows_second_gradient(void **state)
{
	T *p[PARAMETERS], *a[PARAMETERS], *b[PARAMETERS], *c[PARAMETERS];
	struct tape t;

	tape_init(&t, &backend_ref);
	parameters(&t, F32, p);
	T *y = network_loss(&t, F32, p, DROPPED);
	tape_grad(&t, y, p, PARAMETERS, a, GRAD_KEEP);
	tape_grad(&t, y, p, PARAMETERS, b, GRAD_RECORD);
	for (int i = 0; i < PARAMETERS; i++)
		assert_same_bits(a[i], b[i]);
	tape_grad(&t, y, p, PARAMETERS, c, GRAD_CONSUME);
	for (int i = 0; i < PARAMETERS; i++)
		assert_same_bits(a[i], c[i]);
	tape_release(&t);
}

static void gradient_of_unrelated_is_zero(void **state)
{
	struct tape t;
	T *d[2];

	tape_init(&t, &backend_ref);
	T *x = random_leaf(&t, F32, SHAPE(3), 1), *other = random_leaf(&t, F32, SHAPE(2, 2), 2);
	tape_grad(&t, op_sum(&t, x), (T *[]){other, x}, 2, d, GRAD_CONSUME);
	assert_true(shape_equal(d[0]->shape, other->shape));
	for (int i = 0; i < 4; i++)
		assert_true(tensor_at(d[0], i) == 0);
	for (int i = 0; i < 3; i++)
		assert_true(tensor_at(d[1], i) == 1);
	tape_release(&t);
}

static void one_tensor_may_be_asked_for_twice(void **state)
{
	struct tape t;
	T *d[2];

	tape_init(&t, &backend_ref);
	T *x = random_leaf(&t, F64, SHAPE(3), 1);
	tape_grad(&t, op_square_sum(&t, x), (T *[]){x, x}, 2, d, GRAD_CONSUME);
	assert_same_bits(d[0], d[1]);
	assert_true(tensor_at(d[0], 1) == 2 * tensor_at(x, 1));
	tape_release(&t);
}

/* d loss / d q in mid graph, then through what made q: the same as going all the way at once. */
static void gradients_chain_through_mid_graph(void **state)
{
	struct tape t;
	T *whole, *of_q, *w_again;

	tape_init(&t, &backend_ref);
	T *w = random_leaf(&t, F64, SHAPE(4, 3), 1), *other = random_leaf(&t, F64, SHAPE(4, 3), 2);
	T *q = op_mul(&t, op_exp(&t, w), other);
	T *y = op_square_sum(&t, op_exp(&t, q));
	tape_grad(&t, y, &w, 1, &whole, GRAD_KEEP);
	tape_grad(&t, y, &q, 1, &of_q, GRAD_CONSUME);
	tape_vjp(&t, q, of_q, &w, 1, &w_again, GRAD_CONSUME);
	assert_close(whole, w_again, 1e-14);
	tape_release(&t);
}

static void consume_spares_leaves_and_the_independent(void **state)
{
	struct tape t;
	T *d;

	tape_init(&t, &backend_ref);
	T *x = random_leaf(&t, F64, SHAPE(3), 1), *c = random_leaf(&t, F64, SHAPE(3), 2);
	T *twice = op_scale(&t, c, 2), *y = op_sum(&t, op_mul(&t, x, twice));
	tape_grad(&t, y, &x, 1, &d, GRAD_CONSUME);
	assert_true(tape_has(&t, x) && tape_has(&t, c) && tape_has(&t, twice) && tape_has(&t, d));
	assert_same_bits(d, twice);
	assert_true(tensor_at(twice, 2) == 2 * tensor_at(c, 2));
	tape_release(&t);
}

/* ---- rewinding, leaves, recording ---- */
static void rewind_keeps_what_is_named(void **state)
{
	struct tape t;

	tape_init(&t, &backend_ref);
	T *x = random_leaf(&t, F64, SHAPE(1000), 1);
	int mark = tape_mark(&t);
	size_t before = storage_bytes_in_use();
	T *a = op_exp(&t, x), *b = op_scale(&t, a, 3), *c = op_add(&t, a, b);
	double want = tensor_at(b, 7);
	tape_rewind(&t, mark, (T *[]){b, NULL, x}, 3);
	assert_int_equal(tape_mark(&t), mark + 1);
	assert_true(tape_has(&t, b) && b->node->op == OP_leaf && tensor_at(b, 7) == want);
	assert_true(storage_bytes_in_use() == before + b->plain->bytes);
	c = op_sum(&t, op_mul(&t, b, x));
	T *d;
	tape_grad(&t, c, &b, 1, &d, GRAD_CONSUME);
	assert_same_bits(d, x);
	tape_release(&t);
}

static void rewind_keeps_one_output_of_several(void **state)
{
	struct tape t;
	T *mean;

	tape_init(&t, &backend_ref);
	T *x = random_leaf(&t, F64, SHAPE(4, 2, 3, 3), 1), *g = random_leaf(&t, F64, SHAPE(2), 2);
	int mark = tape_mark(&t);
	op_batch_norm(&t, x, g, g, NULL, 0.1, false, &mean, NULL);
	double want = tensor_at(mean, 1);
	tape_rewind(&t, mark, &mean, 1);
	assert_true(tensor_at(mean, 1) == want);
	tape_release(&t);
}

static void writing_leaves_the_tape_its_values(void **state)
{
	struct tape t;
	T *mine = values(F32, SHAPE(4), 1);
	float old = tensor_f32(mine)[0];

	tape_init(&t, &backend_ref);
	T *leaf = tape_leaf(&t, mine);
	((float *)tensor_write(mine))[0] = 9;
	assert_true(tensor_f32(leaf)[0] == old && tensor_f32(mine)[0] == 9);
	const void *own = tensor_plain(mine);
	assert_ptr_equal(tensor_write(mine), own);
	tape_release(&t);
	tensor_free(mine);
}

static void shared_values_outlive_the_tape(void **state)
{
	struct tape t;

	tape_init(&t, &backend_ref);
	T *x = op_exp(&t, random_leaf(&t, F32, SHAPE(4), 1)), *kept = tensor_share(x);
	double want = tensor_at(x, 2);
	tape_release(&t);
	assert_true(tensor_at(kept, 2) == want);
	tensor_free(kept);
}

static void nothing_is_recorded_when_off(void **state)
{
	struct tape t;
	T *d;

	tape_init(&t, &backend_ref);
	t.recording = false;
	T *x = random_leaf(&t, F32, SHAPE(4), 1), *y = op_square_sum(&t, x);
	assert_int_equal(y->node->in_count, 0);
	tape_grad(&t, y, &x, 1, &d, GRAD_KEEP);
	assert_true(tensor_at(d, 0) == 0);
	tape_release(&t);
}

/* ---- back ends ---- */
static int64_t scale_ran[OP_COUNT];

static bool positive_scale(struct tape *t, struct node *n)
{
	float *y;

	if (n->attr.alpha < 0)
		return false;
	y = tensor_new_plain(n->out[0]);
	for (int64_t i = 0; i < shape_count(n->out[0]->shape); i++)
		y[i] = 42;
	return true;
}

static void what_a_back_end_lacks_falls_through(void **state)
{
	static const struct backend mine = {.name = "mine",
	                                    .kernel = {[OP_scale] = positive_scale},
	                                    .float_only = true,
	                                    .ran = scale_ran,
	                                    .next = &backend_ref};
	int64_t before = backend_ref.ran[OP_scale];
	struct tape t;

	tape_init(&t, &mine);
	T *x = random_leaf(&t, F32, SHAPE(2), 1), *wide = random_leaf(&t, F64, SHAPE(2), 1);
	assert_true(tensor_at(op_scale(&t, x, 2), 0) == 42);
	assert_true(tensor_at(op_scale(&t, x, -1), 0) == -tensor_at(x, 0));
	assert_true(tensor_at(op_scale(&t, wide, 2), 0) == 2 * tensor_at(wide, 0));
	assert_true(scale_ran[OP_scale] == 1 && backend_ref.ran[OP_scale] == before + 2);
	tape_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        LAW(fused_equals_composite),
	        LAW(float_follows_double),
	        LAW(the_same_bits_twice),
	        LAW(dropped_values_come_again_with_the_same_bits),
	        LAW(dropped_values_are_there_only_while_they_are_used),
	        LAW(what_is_asked_for_has_values),
	        LAW(consume_frees_as_it_goes),
	        LAW(unrecorded_adjoints_are_freed),
	        LAW(keep_allows_second_gradient),
	        LAW(gradient_of_unrelated_is_zero),
	        LAW(one_tensor_may_be_asked_for_twice),
	        LAW(gradients_chain_through_mid_graph),
	        LAW(consume_spares_leaves_and_the_independent),
	        LAW(rewind_keeps_what_is_named),
	        LAW(rewind_keeps_one_output_of_several),
	        LAW(writing_leaves_the_tape_its_values),
	        LAW(shared_values_outlive_the_tape),
	        LAW(nothing_is_recorded_when_off),
	        LAW(what_a_back_end_lacks_falls_through),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
