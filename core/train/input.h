/* The input of training: a thread that gathers and augments the next shard's images while this one
 * is computed.
 *
 * What a shard holds is a function of (seed, epoch, sample) alone, so the bits are those of a loop
 * that fills each shard when it needs it.  The thread touches no tensors: it is given the memory.
 */
#ifndef TRAIN_INPUT_H
#define TRAIN_INPUT_H
#include "core/data/batch.h"
#include "core/tensor/tensor.h"
#include <pthread.h>

/* A shard of the training set: samples index[0 … n-1] in this epoch. */
struct input_shard {
	const int64_t *index; /* must stay as it is until the shard is taken */
	int64_t n, epoch;
	struct tensor *images; // (n, channels, height, width)
	struct tensor *label;  // (n), I32
	float *pixels;         /* where the two tensors keep their values */
	int32_t *labels;
};

struct input {
	const struct dataset *data;
	const struct augment *augment;
	double wait_seconds; /* that input_take spent without images */

	bool threaded, ordered, filled, over; /* the last three under the lock */
	struct input_shard next;              /* n 0: none */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
};

/* Shards of d, which stays the caller's.  Where no thread is to be had (a limit of the system's),
 * shards are filled when they are taken.  input_release waits for a shard that is being filled. */
void input_init(struct input *in, const struct dataset *d, const struct augment *a);
void input_release(struct input *in);

/* Makes index[0 … n-1] the shard that is filled next; n 0: none.  At most one is on order. */
void input_order(struct input *in, const int64_t *index, int64_t n, int64_t epoch);

/* The tensors of index[0 … n-1], which are the caller's from then on: what was ordered, or filled
 * now if it was something else. */
void input_take(struct input *in, const int64_t *index, int64_t n, int64_t epoch,
                struct tensor **images, struct tensor **label);
#endif
