/* Makes convolution primitives and keeps the ones used last. */
#include "core/base/text.h"
#include "core/tensor/onednn/conv.h"
#include "core/tensor/onednn/engine.h"
#include "core/tensor/onednn/onednn.h"
#include <stdlib.h>
#include <string.h>

enum { CACHE_MOST = 512 };

static struct {
	struct conv_primitive *newest, *oldest;
	int count;
} cache;

/* ---- descriptions ---- */
struct description {
	dnnl_memory_desc_t image, weight, weight_plain, result;
	dnnl_primitive_desc_t primitive; /* null: oneDNN has no fast kernel */
};

static dnnl_memory_desc_t image_description(int64_t n, int64_t c, const int64_t size[2],
                                            bool blocked)
{
	dnnl_memory_desc_t d;
	dnnl_dims_t dims = {n, c, size[0], size[1]};
	dnnl_format_tag_t tag = !blocked              ? dnnl_nchw
	                        : onednn_block() == 8 ? dnnl_nChw8c
	                                              : dnnl_nChw16c;

	onednn_must(dnnl_memory_desc_init_by_tag(&d, 4, dims, dnnl_f32, tag), "image layout");
	return d;
}

static dnnl_memory_desc_t weight_description(const struct conv_key *k, bool plain)
{
	dnnl_memory_desc_t d;
	int64_t o = k->channels_out, c = k->channels_in / k->groups;
	dnnl_dims_t dims = {o, c, k->window[0], k->window[1]};
	dnnl_dims_t grouped = {k->groups, o / k->groups, c, k->window[0], k->window[1]};
	bool g = k->groups > 1;
	dnnl_format_tag_t tag = !plain ? dnnl_format_tag_any : g ? dnnl_goihw : dnnl_oihw;

	onednn_must(dnnl_memory_desc_init_by_tag(&d, g ? 5 : 4, g ? grouped : dims, dnnl_f32, tag),
	            "weight layout");
	return d;
}

static bool is_reference(dnnl_primitive_desc_t d)
{
	const char *name = "";

	dnnl_primitive_desc_query(d, dnnl_query_impl_info_str, 0, &name);
	return !strncmp(name, "ref", 3);
}

static dnnl_primitive_desc_t describe_direction(const struct conv_key *k, struct description *d,
                                                dnnl_alg_kind_t a, dnnl_primitive_attr_t attr)
{
	dnnl_convolution_desc_t c;
	dnnl_primitive_desc_t forward = NULL, backward = NULL;
	dnnl_dims_t stride = {k->stride, k->stride}, pad = {k->pad, k->pad};
	dnnl_engine_t engine = onednn_engine();

	if (dnnl_convolution_forward_desc_init(&c, dnnl_forward_training, a, &d->image, &d->weight,
	                                       NULL, &d->result, stride, pad, pad) ||
	    dnnl_primitive_desc_create(&forward, &c, attr, engine, NULL))
		return NULL;
	if (k->direction == CONV_FORWARD)
		return forward;
	dnnl_status_t status =
	        k->direction == CONV_GRAD_INPUT
	                ? dnnl_convolution_backward_data_desc_init(&c, a, &d->image, &d->weight,
	                                                           &d->result, stride, pad, pad)
	                : dnnl_convolution_backward_weights_desc_init(
	                          &c, a, &d->image, &d->weight, NULL, &d->result, stride, pad, pad);
	if (!status)
		dnnl_primitive_desc_create(&backward, &c, attr, engine, forward);
	dnnl_primitive_desc_destroy(forward);
	return backward;
}

/* One try with given layouts; d->primitive stays null when oneDNN has no fast kernel for it. */
static void describe(const struct conv_key *k, bool image_blocked, bool result_blocked,
                     struct description *d)
{
	dnnl_primitive_attr_t attr;

	d->image = image_description(k->images, k->channels_in, k->in, image_blocked);
	d->result = image_description(k->images, k->channels_out, k->out, result_blocked);
	d->weight = weight_description(k, false);
	d->weight_plain = weight_description(k, true);
	onednn_must(dnnl_primitive_attr_create(&attr), "attributes");
	onednn_must(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user),
	            "scratch mode");
	d->primitive = describe_direction(k, d, dnnl_convolution_direct, attr);
	dnnl_primitive_attr_destroy(attr);
	if (d->primitive && is_reference(d->primitive)) {
		dnnl_primitive_desc_destroy(d->primitive);
		d->primitive = NULL;
	}
}

/* Layouts in the order in which they are tried: images of few channels (photographs) stay plain. */
static bool describe_best(const struct conv_key *k, struct description *d, bool *image_blocked,
                          bool *result_blocked)
{
	bool few = k->channels_in < onednn_block();
	const bool tries[][2] = {{!few, true}, {true, true}, {false, true}, {false, false}};

	for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
		*image_blocked = tries[i][0];
		*result_blocked = tries[i][1];
		describe(k, *image_blocked, *result_blocked, d);
		if (d->primitive)
			return true;
	}
	return false;
}

/* ---- primitives ---- */
static dnnl_memory_t memory_new(const dnnl_memory_desc_t *d)
{
	dnnl_memory_t m;

	onednn_must(dnnl_memory_create(&m, d, onednn_engine(), DNNL_MEMORY_NONE), "memory");
	return m;
}

static void reorder_init(struct conv_primitive *p, const dnnl_memory_desc_t *preferred,
                         const dnnl_memory_desc_t *plain)
{
	dnnl_primitive_desc_t d;
	dnnl_engine_t e = onednn_engine();
	bool back = p->key.direction == CONV_GRAD_WEIGHT;

	p->weight_plain = memory_new(plain);
	if (dnnl_memory_desc_equal(preferred, plain))
		return;
	onednn_must(dnnl_reorder_primitive_desc_create(&d, back ? preferred : plain, e,
	                                               back ? plain : preferred, e, NULL),
	            "weight reorder");
	onednn_must(dnnl_primitive_create(&p->reorder, d), "weight reorder");
	dnnl_primitive_desc_destroy(d);
}

static struct conv_primitive *primitive_new(const struct conv_key *k)
{
	struct conv_primitive *p = xcalloc(1, sizeof *p);
	struct description d;

	p->key = *k;
	if (!describe_best(k, &d, &p->image_blocked, &p->result_blocked))
		return p;
	const dnnl_memory_desc_t *weight = dnnl_primitive_desc_query_md(
	        d.primitive,
	        k->direction == CONV_GRAD_WEIGHT ? dnnl_query_diff_weights_md
	                                         : dnnl_query_weights_md,
	        0);
	const dnnl_memory_desc_t *scratch =
	        dnnl_primitive_desc_query_md(d.primitive, dnnl_query_scratchpad_md, 0);
	p->image = memory_new(&d.image);
	p->result = memory_new(&d.result);
	p->weight = memory_new(weight);
	p->scratch = memory_new(scratch);
	p->weight_bytes = dnnl_memory_desc_get_size(weight);
	p->scratch_bytes = dnnl_memory_desc_get_size(scratch);
	reorder_init(p, weight, &d.weight_plain);
	onednn_must(dnnl_primitive_create(&p->primitive, d.primitive), "convolution");
	dnnl_primitive_desc_destroy(d.primitive);
	return p;
}

static void primitive_free(struct conv_primitive *p)
{
	dnnl_memory_t memory[] = {p->image, p->weight, p->result, p->scratch, p->weight_plain};

	for (size_t i = 0; i < sizeof memory / sizeof memory[0]; i++)
		if (memory[i])
			dnnl_memory_destroy(memory[i]);
	if (p->reorder)
		dnnl_primitive_destroy(p->reorder);
	if (p->primitive)
		dnnl_primitive_destroy(p->primitive);
	free(p);
}

/* ---- the cache ---- */
static void cache_take_out(struct conv_primitive *p)
{
	*(p->newer ? &p->newer->older : &cache.newest) = p->older;
	*(p->older ? &p->older->newer : &cache.oldest) = p->newer;
	cache.count--;
}

static void cache_put_first(struct conv_primitive *p)
{
	p->newer = NULL;
	p->older = cache.newest;
	*(p->older ? &p->older->newer : &cache.oldest) = p;
	cache.newest = p;
	cache.count++;
}

static void cache_drop_oldest(void)
{
	struct conv_primitive *p = cache.oldest;

	cache_take_out(p);
	primitive_free(p);
}

struct conv_primitive *conv_primitive(const struct conv_key *k)
{
	struct conv_primitive *p = cache.newest;

	while (p && memcmp(&p->key, k, sizeof *k))
		p = p->older;
	if (p) {
		cache_take_out(p);
	} else {
		if (cache.count == CACHE_MOST)
			cache_drop_oldest();
		p = primitive_new(k);
	}
	cache_put_first(p);
	return p->primitive ? p : NULL;
}

int conv_primitive_count(void)
{
	return cache.count;
}

void conv_primitive_clear(void)
{
	while (cache.count)
		cache_drop_oldest();
}
