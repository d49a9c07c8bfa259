/* The tape: what was computed, in order, so that gradients can be made of the same ops.
 *
 * A gradient is a graph like any other and can be differentiated again.  Ids only grow, so walking
 * the nodes downwards is a topological order. */
#ifndef TENSOR_TAPE_H
#define TENSOR_TAPE_H
#include "core/tensor/tensor.h"

enum { OP_INPUTS = 10, OP_OUTPUTS = 4 };

enum op {
#define OP(name, inputs, outputs, vjp) OP_##name,
#include "core/tensor/ops.def"
#undef OP
	OP_COUNT
};
extern const char *const op_name[OP_COUNT];

/* What an op is told besides its inputs: numbers, never tensors. */
struct attr {
	double alpha;            /* scale, shift, fill; eps of batch norm */
	int stride, pad, groups; /* convolution, pooling */
	int window;              /* pooling */
	int bits, zero;          /* of codes: fake_quantize, affine_quantize; its zero point */
	bool flag[2]; /* transposes of matmul; relu of batch_norm, channel_affine; per_channel;
	                 learned scale */
	int order[TENSOR_DIMS];                        /* permute */
	int64_t start[TENSOR_DIMS], step[TENSOR_DIMS]; /* slice, place */
};

struct node {
	enum op op;
	int id; /* place on the tape */
	int in_count, out_count;
	struct tensor *in[OP_INPUTS];
	struct tensor *out[OP_OUTPUTS]; /* null: not wanted (kernels skip it) */
	struct attr attr;
};

/* Ops whose outputs may lose their values: running one again costs about a pass over memory, and
 * gives the same bits. */
extern const bool op_repeats[OP_COUNT];

/* A back end is one column of kernels; a null entry falls through to `next`, as does a kernel that
 * returns false (this shape is not for it; it has changed nothing), as does every node that touches
 * F64 when the column is `float_only`.  A kernel finds inputs with their values in `n`, and outputs
 * with types and shapes set but without storage: it gives each wanted output its storage
 * (tensor_new_plain / tensor_new_blocked, or a share of an input's).  Unless `takes_blocked[op]`,
 * dispatch makes sure that every input has its plain form first.  The kernel of an op that repeats
 * may find outputs with their values, from which it makes those that were dropped. */
struct tape;
typedef bool kernel_fn(struct tape *t, struct node *n);
struct backend {
	const char *name;
	kernel_fn *kernel[OP_COUNT];
	bool takes_blocked[OP_COUNT];
	bool float_only;
	int64_t *ran; /* [OP_COUNT], may be null: counts the nodes that ran here, for tests and
	                 bench */
	const struct backend *next;
};
extern const struct backend backend_ref;    /* slow, obvious, float and double: the truth */
extern const struct backend backend_onednn; /* fast CPU, float only; double falls through */
void *tensor_new_plain(struct tensor *t);   /* gives an output its storage */
void *tensor_new_blocked(struct tensor *t, int block);

struct tape {
	const struct backend *backend;
	struct node **node; /* all live nodes, by id - first */
	int count, capacity;
	bool recording; /* off: nodes keep no inputs, nothing can be differentiated */
};
void tape_init(struct tape *t, const struct backend *backend);
void tape_release(struct tape *t);

/* A place to come back to: tape_rewind frees all nodes made since, except that `keep` (may be null)
 * stay readable as leaves, at the same addresses.  With recording off nothing else frees values, so
 * inference rewinds after each block of layers and keeps what the next one reads. */
int tape_mark(const struct tape *t);
void tape_rewind(struct tape *t, int mark, struct tensor **keep, int keep_count);

/* Puts a tensor of the caller's on the tape, sharing its storage (both forms).  If the caller
 * writes it before the tape is rewound, tensor_write copies: the tape keeps the old values. */
struct tensor *tape_leaf(struct tape *t, struct tensor *value);
struct tensor *tape_adopt(struct tape *t, struct tensor *value); /* the same; the tape's to free */
bool tape_has(const struct tape *t, const struct tensor *x);
/* Frees the values of x, a first output, until a kernel reads them and its node makes them again; a
 * gradient drops them anew once it has passed.  Nothing happens where the op does not repeat, or
 * with recording off.  The caller reads no values of x from then on. */
void tape_drop(struct tape *t, struct tensor *x);
void tape_restore(struct tape *t, struct tensor *x); /* makes its values again, to stay */
void tape_free_node(struct tape *t, int id); /* leaves a hole; nothing may read it any more */

/* The general constructor; op.h wraps it with names, shapes and checks.  wanted: a bit per output.
 * While recording, inputs must be on the tape; with recording off they may be any tensors. */
struct node *tape_emit(struct tape *t, enum op op, struct tensor *const in[], int in_count,
                       const struct shape out_shape[], const enum dtype out_type[], int out_count,
                       unsigned wanted, const struct attr *attr);

enum grad_mode {
	GRAD_CONSUME, /* frees what depends on wrt[] as soon as its adjoint is passed on */
	GRAD_KEEP,    /* values stay, the gradient itself is not recorded */
	GRAD_RECORD,  /* values stay and the gradient is recorded: it can be differentiated again */
};
/* Gradients of scalar y with respect to wrt[0 …] into out[]: zeros where y does not depend
 * on one.  They are tape tensors.  wrt may be leaves or values in mid graph.  After GRAD_CONSUME
 * all that depends on wrt is gone, y too (read the loss first; tensor_share what must outlive it);
 * leaves, wrt themselves, what does not depend on them and out[] stay until the tape is rewound. */
void tape_grad(struct tape *t, struct tensor *y, struct tensor **wrt, int count,
               struct tensor **out, enum grad_mode mode);

/* The same with a given adjoint of y (any shape): a vector-Jacobian product. */
void tape_vjp(struct tape *t, struct tensor *y, struct tensor *adjoint, struct tensor **wrt,
              int count, struct tensor **out, enum grad_mode mode);

/* A vector-Jacobian product: given adjoints g[] of the node's outputs (null: zero), sets d[i] for
 * each input with wanted[i] (null: zero).  Rows of ops.def name these. */
typedef void vjp_fn(struct tape *t, struct node *n, struct tensor *const g[OP_OUTPUTS],
                    const bool wanted[OP_INPUTS], struct tensor *d[OP_INPUTS]);
extern vjp_fn *const op_vjp[OP_COUNT];
#endif
