/* Tensors: a shape, a type, and values in reference-counted storage. */
#ifndef TENSOR_TENSOR_H
#define TENSOR_TENSOR_H
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TENSOR_DIMS = 6 };
enum dtype { F64, F32, I32, U8, DTYPE_COUNT };

struct shape {
	int n; /* number of dimensions; 0 is a scalar */
	int64_t d[TENSOR_DIMS];
};
#define SHAPE(...) \
	((struct shape){sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), {__VA_ARGS__}})
#define SCALAR ((struct shape){0})

/* Elements of a shape, equality, bytes of one element. */
int64_t shape_count(struct shape s);
bool shape_equal(struct shape a, struct shape b);
size_t dtype_bytes(enum dtype type);

/* Values in memory, counted by references, recycled (small ones in size classes, four per power of
 * two) and aligned to 64 bytes.  Not zeroed.  Only the main thread of a rank makes and frees
 * storage.  What is in use and what waits to be used again stay, together, within 5/4 of the most
 * ever in use (and 16 MiB). */
struct storage {
	size_t bytes;
	int references;
	void *data;
	struct span *span;    /* of large storage, which is part of one; else null */
	struct storage *next; /* only while waiting to be used again */
};
struct storage *storage_new(size_t bytes);
struct storage *storage_share(struct storage *s); /* one more reference; returns s */
void storage_free(struct storage *s);             /* one less; null is fine */
void storage_trim(void);                          /* gives recycled memory back to the system */
size_t storage_bytes_in_use(void);
size_t storage_bytes_waiting(void); /* recycled, not in use */
size_t storage_bytes_peak(void);    /* since the last storage_peak_clear */
void storage_peak_clear(void);

/* A value.  It has up to two forms: `plain` is row-major, and what every reference kernel reads;
 * `blocked` is (N, ceil(C / block), H, W, block) of a 4-dimensional (N, C, H, W), which convolution
 * kernels prefer: it stays so from convolution to convolution.  Lanes beyond C are zero, always.
 * At least one form is there, unless the tape dropped both; tensor_plain() makes the other on
 * demand and counts it as a reorder. Values never change once made, except through tensor_write()
 * on leaves. */
struct node;
struct tensor {
	enum dtype type;
	struct shape shape;
	struct storage *plain;
	struct storage *blocked;
	int block;              /* lanes of the blocked form: 8 or 16; 0 when there is none */
	struct node *node;      /* what made it; null for a tensor outside any tape */
	int output;             /* which of the node's outputs it is */
	struct tensor *adjoint; /* only inside tape_grad */
	bool repeatable;        /* tape_drop: it has values only while they are in use */
};

/* Tensors outside any tape (parameters, batches, running statistics): the caller frees them. */
struct tensor *tensor_new(enum dtype type, struct shape shape); /* not zeroed */
struct tensor *tensor_from(enum dtype type, struct shape shape, const void *values);
struct tensor *tensor_zeros(enum dtype type, struct shape shape);
struct tensor *tensor_copy(struct tensor *t);        /* deep, plain */
struct tensor *tensor_share(const struct tensor *t); /* same storage: keeps a tape's value alive */
void tensor_free(struct tensor *t);                  /* null is fine */
void tensor_clear(struct tensor *t);                 /* loses its values */
bool tensor_is_clear(const struct tensor *t);        /* it has none */

/* The values, row-major.  May reorder.  tensor_write also drops the blocked form, and copies first
 * when others share the storage. */
const void *tensor_plain(struct tensor *t);
void *tensor_write(struct tensor *t);
#define tensor_f32(t) ((const float *)tensor_plain(t))
#define tensor_f64(t) ((const double *)tensor_plain(t))
#define tensor_i32(t) ((const int32_t *)tensor_plain(t))

/* One element, or all of them, as double, whatever the type (F64, F32, I32, U8). */
double tensor_at(struct tensor *t, int64_t index);
void tensor_set(struct tensor *t, int64_t index, double value); /* F64 and F32, outside tapes */
void tensor_to_f64(struct tensor *t, double *out);
double tensor_square_sum(struct tensor *t); /* of all elements, in their order */

/* The values of an F32 (N, C, H, W) in blocks of `block` channels.  May reorder. */
const float *tensor_blocked(struct tensor *t, int block);
size_t shape_blocked_count(struct shape s, int block); /* elements of the blocked form */

int64_t tensor_reorders(void); /* reorders so far between plain and blocked, for tests and bench */
#endif
