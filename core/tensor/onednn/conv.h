/* Convolution primitives: made once for each shape, kept in a least-recently-used cache. */
#ifndef ONEDNN_CONV_H
#define ONEDNN_CONV_H
#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CONV_PHOTO_CHANNELS = 3 }; /* so few stay plain */
enum conv_direction { CONV_FORWARD, CONV_GRAD_INPUT, CONV_GRAD_WEIGHT };

/* All that a primitive depends on.  Compared as bytes: no padding, so all members are int64_t. */
struct conv_key {
	int64_t direction; /* enum conv_direction */
	int64_t images, channels_in, channels_out, groups;
	int64_t in[2], out[2], window[2]; /* height, width */
	int64_t stride, pad, threads;
};

/* One direction of one convolution.  `image` is the input or its gradient, `result` the output or
 * its gradient, `weight` in the format that oneDNN prefers; `reorder` goes between that and the
 * plain format (from it to plain for CONV_GRAD_WEIGHT), null when they are the same. */
struct conv_primitive {
	struct conv_key key;
	dnnl_primitive_t primitive, reorder;
	dnnl_memory_t image, weight, result, scratch, weight_plain;
	size_t weight_bytes, scratch_bytes;
	bool image_blocked, result_blocked;
	struct conv_primitive *newer, *older;
};

/* The primitive for k; null when oneDNN has only its slow reference for it.  Owned by the cache,
 * valid until the next call. */
struct conv_primitive *conv_primitive(const struct conv_key *k);
int conv_primitive_count(void); /* in the cache now */
void conv_primitive_clear(void);
#endif
