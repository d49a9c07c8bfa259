/* The fast CPU column: oneDNN's convolutions, and our own kernels on the same blocked layout. */
#ifndef ONEDNN_ONEDNN_H
#define ONEDNN_ONEDNN_H
#include "core/tensor/tape.h"

/* What the bits of this column depend on besides the specification, as one short string: oneDNN's
 * version, instruction set, cache sizes, version of plan.def, threads.  Lives until the next call
 * with another count of threads; main thread only. */
const char *onednn_numerics_class(int threads);

/* Lanes of the blocked form that this machine's kernels prefer: 8, or 16 with AVX-512. */
int onednn_block(void);

/* Nodes that this column took since the start, by op, for tests and bench. */
extern int64_t onednn_ran[OP_COUNT];
#endif
