/* Data parallelism over MPI whose sums do not depend on the number of ranks.
 *
 * A global batch is cut into `shards`, a power of two that the specification fixes; ranks divide
 * them.  Whatever is summed over shards is summed in one binary tree:
 *
 *	shard     0   1   2   3   4   5   6   7
 *	           \ /     \ /     \ /     \ /        with 4 ranks: inside a rank
 *	            +       +       +       +
 *	             \     /         \     /          between ranks 0-1 and 2-3
 *	                +               +
 *	                 \             /              between ranks 0-2 and 1-3
 *	                        +
 *
 * The lower levels are added inside a rank and the upper ones between ranks, by recursive doubling;
 * which levels are which changes with the number of ranks, the additions do not.  So 1, 2 or 4
 *ranks give the same bits. */
#ifndef TRAIN_PARALLEL_H
#define TRAIN_PARALLEL_H
#include "core/base/error.h"
#include <stddef.h>
#include <stdint.h>

struct parallel {
	int rank, ranks;
	int shards;             /* of a global batch, all ranks together */
	int first_shard, count; /* this rank's: first_shard … first_shard + count - 1 */
};

/* Starts MPI; `expected` ranks (0: as many as there are).  On failure `*p` is still usable to say
 * so from rank 0 only, and parallel_end must be called. */
int parallel_begin(struct parallel *p, int expected, struct error *e);
void parallel_end(void);                   /* all ranks together */
_Noreturn void parallel_abort(int status); /* this rank alone gives up: ends the whole job */

/* Deals the shards out.  Fails unless shards is a power of two that the ranks divide. */
int parallel_divide(struct parallel *p, int shards, struct error *e);

/* The samples of a shard: *first … *first + *count - 1 of a batch of `samples`.  Sizes differ by
 * one at most; a batch of fewer samples than shards has empty ones. */
void shard_samples(int64_t samples, int shards, int shard, int64_t *first, int64_t *count);

/* Sums one vector per shard in the tree.  Fill shard_sum_next() and call shard_sum_push(), shard
 * after shard; when all of this rank's were pushed, shard_sum_total() adds the other ranks' and
 * returns the sum, equal on all ranks, valid until the next shard_sum_next(). */
enum { SHARD_LEVELS = 16 };
struct shard_sum {
	int64_t count;                  /* floats in a vector */
	int depth, pushed;              /* buffers in use; shards of this sum so far */
	float *level[SHARD_LEVELS + 1]; /* partial sums, widest first; the last is being filled */
	int height[SHARD_LEVELS + 1];   /* level[i] holds 2^height[i] shards */
	float *other;                   /* what came from the other rank */
};
void shard_sum_init(struct shard_sum *s, int64_t count);
void shard_sum_release(struct shard_sum *s);
float *shard_sum_next(struct shard_sum *s);
void shard_sum_push(struct shard_sum *s);
const float *shard_sum_total(struct shard_sum *s, const struct parallel *p);

/* Figures of which every element is set by one rank and zero on the others, brought to all ranks.
 * Exact.  Callers then add them up in the order of the elements, so any rank count gives the same.
 */
void parallel_merge(const struct parallel *p, double *figures, int64_t count);

/* to += every rank's `mine`, rank after rank: sums in the order in which ranks took their parts, so
 * that parts dealt out in turn are added in their own order whatever the ranks are. */
void parallel_add_in_turn(const struct parallel *p, double *to, const double *mine, int64_t count);

/* The largest of all ranks' values: decisions, ordered by how much they ask for. */
int parallel_agree(const struct parallel *p, int mine);

/* Rank 0's bytes to all. */
void parallel_broadcast(const struct parallel *p, void *bytes, size_t length);

/* 0 on all ranks when all passed 0, else -1 on all, with the text of the lowest rank that failed.
 */
int parallel_outcome(const struct parallel *p, int status, struct error *e);
#endif
