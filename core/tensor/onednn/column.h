/* What the kernels of this column share: the layout in numbers, chunks of work, and compilation for
 * several instruction sets. */
#ifndef ONEDNN_COLUMN_H
#define ONEDNN_COLUMN_H
#include "core/tensor/onednn/onednn.h"

#define KERNEL(op) kernel_fn onednn_##op;
#include "core/tensor/onednn/column.def"
#undef KERNEL

/* A function so marked is compiled for each of these, and the processor chooses at start.  None of
 * them contracts a * b + c, and each keeps one partial result per lane, so all give the same bits.
 */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CLONES
#endif
#define INLINE static inline __attribute__((always_inline))

enum {
	LANES_MAX = 16,
	CHUNK = 1 << 14,   /* elements that one thread takes at a time */
	SMALL = 1 << 15,   /* below so many elements one thread is faster */
	SEGMENT_PX = 1024, /* pixels summed in float before sums go on in double */
};

/* The blocked form in numbers: `planes` = images * groups planes of (pixels, block) floats each. */
struct layout {
	int64_t images, channels, height, width;
	int64_t groups; /* ceil(channels / block) */
	int64_t pixels; /* height * width */
	int64_t planes, count;
	int block;
};
struct layout layout_of(struct shape s);

/* Whether a node over 4-dimensional tensors of shape s computes on the blocked form: when an input
 * of that shape has it. */
bool node_is_blocked(const struct node *n, struct shape s);

/* The blocked form of a 4-dimensional input; made, and counted as a reorder, when it has none. */
const float *blocked_input(struct tensor *t);
float *blocked_output(struct tensor *t);

/* One value per channel, or one for all, as one value per lane of each group: (groups, block), zero
 * beyond the last channel.  Release with storage_free. */
struct storage *lanes_of(struct tensor *t, const struct layout *l);

/* Whether s holds one value for each channel of a 4-dimensional `full`, or one for all. */
bool is_per_channel(struct shape s, struct shape full);
#endif
