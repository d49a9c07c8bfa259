/* Data parallelism over MPI whose sums do not depend on the number of ranks. */
#include "core/train/parallel.h"
#include "core/base/text.h"
#include <assert.h>
#include <mpi.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum {
	PIECE_BYTES = 1 << 20, /* exchanged and added at a time, so that it stays in cache */
	SPINS = 200,           /* polls before a waiting rank offers its core to others */
};

int parallel_begin(struct parallel *p, int expected, struct error *e)
{
	int provided, started;

	*p = (struct parallel){.ranks = 1};
	MPI_Initialized(&started);
	if (!started && MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided))
		return error_set(e, "cannot start MPI");
	MPI_Comm_rank(MPI_COMM_WORLD, &p->rank);
	MPI_Comm_size(MPI_COMM_WORLD, &p->ranks);
	if (p->ranks & (p->ranks - 1))
		return error_set(e,
		                 "%d ranks: a power of two is needed (mpiexec.mpich -n 1, 2, 4 …)",
		                 p->ranks);
	if (expected && expected != p->ranks)
		return error_set(
		        e,
		        "--ranks %d, but MPI started %d: was it launched by the mpiexec of "
		        "another MPI? use mpiexec.mpich -n %d",
		        expected, p->ranks, expected);
	return 0;
}

void parallel_end(void)
{
	int ended;

	MPI_Finalized(&ended);
	if (!ended)
		MPI_Finalize();
}

void parallel_abort(int status)
{
	MPI_Abort(MPI_COMM_WORLD, status);
	abort();
}

int parallel_divide(struct parallel *p, int shards, struct error *e)
{
	if (shards < 1 || shards > 1 << (SHARD_LEVELS - 1) || (shards & (shards - 1)))
		return error_set(e, "train.shards is %d: it must be a power of two", shards);
	if (shards % p->ranks)
		return error_set(
		        e,
		        "%d ranks do not divide train.shards = %d: use a power of two of at "
		        "most %d ranks",
		        p->ranks, shards, shards);
	p->shards = shards;
	p->count = shards / p->ranks;
	p->first_shard = p->rank * p->count;
	return 0;
}

void shard_samples(int64_t samples, int shards, int shard, int64_t *first, int64_t *count)
{
	assert(shard >= 0 && shard < shards);
	*first = samples * shard / shards;
	*count = samples * (shard + 1) / shards - *first;
}

/* Blocks, but gives the core away meanwhile: MPICH alone would spin, and with more ranks than cores
 * every exchange would cost a time slice. */
static void wait_for(MPI_Request *request, int count)
{
	MPI_Status status[2];
	int done = 0;

	assert(count <= 2);
	for (int spin = 0; !done; spin++) {
		MPI_Testall(count, request, &done, status);
		if (spin > SPINS)
			sched_yield();
	}
}

typedef void combine_fn(void *mine, const void *other, int64_t count);

static void add_f32(void *mine, const void *other, int64_t count)
{
	float *a = mine;
	const float *b = other;

	for (int64_t i = 0; i < count; i++)
		a[i] += b[i];
}

static void add_f64(void *mine, const void *other, int64_t count)
{
	double *a = mine;
	const double *b = other;

	for (int64_t i = 0; i < count; i++)
		a[i] += b[i];
}

static void larger_int(void *mine, const void *other, int64_t count)
{
	int *a = mine;
	const int *b = other;

	for (int64_t i = 0; i < count; i++)
		a[i] = a[i] > b[i] ? a[i] : b[i];
}

/* Recursive doubling.  Both partners compute left + right of the same two numbers, and adding two
 * IEEE numbers commutes, so all ranks end with equal bits.  `other` has room for PIECE_BYTES. */
static void exchange(const struct parallel *p, void *values, int64_t count, size_t size,
                     combine_fn *combine, void *other)
{
	int64_t piece = PIECE_BYTES / (int64_t)size;

	for (int distance = 1; distance < p->ranks; distance *= 2) {
		int partner = p->rank ^ distance;
		for (int64_t at = 0; at < count; at += piece) {
			int64_t n = count - at < piece ? count - at : piece;
			char *mine = (char *)values + at * (int64_t)size;
			int bytes = (int)(n * (int64_t)size);
			MPI_Request request[2];
			MPI_Irecv(other, bytes, MPI_BYTE, partner, distance, MPI_COMM_WORLD,
			          &request[0]);
			MPI_Isend(mine, bytes, MPI_BYTE, partner, distance, MPI_COMM_WORLD,
			          &request[1]);
			wait_for(request, 2);
			combine(mine, other, n);
		}
	}
}

void shard_sum_init(struct shard_sum *s, int64_t count)
{
	*s = (struct shard_sum){.count = count};
}

void shard_sum_release(struct shard_sum *s)
{
	for (int i = 0; i <= SHARD_LEVELS; i++)
		free(s->level[i]);
	free(s->other);
	*s = (struct shard_sum){0};
}

float *shard_sum_next(struct shard_sum *s)
{
	assert(s->depth < SHARD_LEVELS);
	if (!s->level[s->depth])
		s->level[s->depth] = xmalloc((size_t)s->count * sizeof(float));
	return s->level[s->depth];
}

/* Like counting in binary: two sums of equal width become one of twice the width. */
void shard_sum_push(struct shard_sum *s)
{
	s->height[s->depth++] = 0;
	s->pushed++;
	while (s->depth > 1 && s->height[s->depth - 1] == s->height[s->depth - 2]) {
		s->depth--;
		add_f32(s->level[s->depth - 1], s->level[s->depth], s->count);
		s->height[s->depth - 1]++;
	}
}

const float *shard_sum_total(struct shard_sum *s, const struct parallel *p)
{
	assert(s->pushed == p->count && s->depth == 1);
	if (p->ranks > 1 && !s->other)
		s->other = xmalloc(PIECE_BYTES);
	exchange(p, s->level[0], s->count, sizeof(float), add_f32, s->other);
	s->depth = s->pushed = 0;
	return s->level[0];
}

void parallel_merge(const struct parallel *p, double *figures, int64_t count)
{
	void *other;

	if (p->ranks == 1)
		return;
	other = xmalloc(PIECE_BYTES);
	exchange(p, figures, count, sizeof(double), add_f64, other);
	free(other);
}

void parallel_add_in_turn(const struct parallel *p, double *to, const double *mine, int64_t count)
{
	if (p->ranks == 1) {
		for (int64_t i = 0; i < count; i++)
			to[i] += mine[i];
		return;
	}
	double *one = xmalloc((size_t)count * sizeof *one);
	for (int r = 0; r < p->ranks; r++) {
		for (int64_t i = 0; i < count; i++)
			one[i] = r == p->rank ? mine[i] : 0;
		parallel_merge(p, one, count);
		for (int64_t i = 0; i < count; i++)
			to[i] += one[i];
	}
	free(one);
}

int parallel_agree(const struct parallel *p, int mine)
{
	int other;

	exchange(p, &mine, 1, sizeof mine, larger_int, &other);
	return mine;
}

void parallel_broadcast(const struct parallel *p, void *bytes, size_t length)
{
	for (size_t at = 0; p->ranks > 1 && at < length; at += PIECE_BYTES) {
		size_t n = length - at < PIECE_BYTES ? length - at : PIECE_BYTES;
		MPI_Request request;
		MPI_Ibcast((char *)bytes + at, (int)n, MPI_BYTE, 0, MPI_COMM_WORLD, &request);
		wait_for(&request, 1);
	}
}

int parallel_outcome(const struct parallel *p, int status, struct error *e)
{
	/* the lowest failing rank has the largest value; 0 when none failed */
	int worst = parallel_agree(p, status ? p->ranks - p->rank : 0);
	int root = p->ranks - worst;
	MPI_Request request;

	if (worst && p->ranks > 1) {
		MPI_Ibcast(e->text, sizeof e->text, MPI_BYTE, root, MPI_COMM_WORLD, &request);
		wait_for(&request, 1);
	}
	return worst ? -1 : 0;
}
