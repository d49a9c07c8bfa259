/* The input of training: the next shard is filled by a thread while this one is computed. */
#include "core/train/input.h"
#include "core/base/clock.h"
#include "core/base/cores.h"
#include "core/base/log.h"
#include <signal.h>
#include <string.h>

static void fill(const struct input *in, const struct input_shard *s)
{
	batch_fill(in->data, s->index, s->n, in->augment, s->epoch, s->pixels, s->labels);
}

static void *thread_run(void *self)
{
	struct input *in = self;

	cores_roam(); /* a rank keeps to its cores, this may use an idle one */
	pthread_mutex_lock(&in->lock);
	while (!in->over) {
		if (!in->ordered || in->filled) {
			pthread_cond_wait(&in->changed, &in->lock);
			continue;
		}
		struct input_shard shard = in->next;
		pthread_mutex_unlock(&in->lock);
		fill(in, &shard);
		pthread_mutex_lock(&in->lock);
		in->filled = true;
		pthread_cond_broadcast(&in->changed);
	}
	pthread_mutex_unlock(&in->lock);
	return NULL;
}

/* Signals are for the main thread. */
static bool thread_start(struct input *in)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int status = pthread_create(&in->thread, NULL, thread_run, in);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (status)
		log_warn("no thread for input (%s): slower, not different", strerror(status));
	return status == 0;
}

void input_init(struct input *in, const struct dataset *d, const struct augment *a)
{
	*in = (struct input){.data = d, .augment = a};
	pthread_mutex_init(&in->lock, NULL);
	pthread_cond_init(&in->changed, NULL);
	in->threaded = thread_start(in);
}

static void wait_filled(struct input *in)
{
	double began = clock_seconds();

	if (in->threaded) {
		pthread_mutex_lock(&in->lock);
		while (!in->filled)
			pthread_cond_wait(&in->changed, &in->lock);
		in->ordered = in->filled = false;
		pthread_mutex_unlock(&in->lock);
	} else {
		fill(in, &in->next);
	}
	in->wait_seconds += clock_seconds() - began;
}

/* What was ordered and is not wanted any more. */
static void drop(struct input *in)
{
	if (!in->next.n)
		return;
	if (in->threaded)
		wait_filled(in);
	tensor_free(in->next.images);
	tensor_free(in->next.label);
	in->next = (struct input_shard){0};
}

void input_release(struct input *in)
{
	if (!in->data)
		return;
	drop(in);
	if (in->threaded) {
		pthread_mutex_lock(&in->lock);
		in->over = true;
		pthread_cond_broadcast(&in->changed);
		pthread_mutex_unlock(&in->lock);
		pthread_join(in->thread, NULL);
	}
	pthread_cond_destroy(&in->changed);
	pthread_mutex_destroy(&in->lock);
	*in = (struct input){0};
}

void input_order(struct input *in, const int64_t *index, int64_t n, int64_t epoch)
{
	const struct dataset *d = in->data;

	drop(in);
	if (!n)
		return;
	struct input_shard s = {.index = index, .n = n, .epoch = epoch};
	s.images = tensor_new(F32, SHAPE(n, d->channels, d->height, d->width));
	s.label = tensor_new(I32, SHAPE(n));
	s.pixels = tensor_write(s.images);
	s.labels = tensor_write(s.label);
	pthread_mutex_lock(&in->lock);
	in->next = s;
	in->ordered = true;
	pthread_cond_broadcast(&in->changed);
	pthread_mutex_unlock(&in->lock);
}

void input_take(struct input *in, const int64_t *index, int64_t n, int64_t epoch,
                struct tensor **images, struct tensor **label)
{
	const struct input_shard *s = &in->next;

	if (s->index != index || s->n != n || s->epoch != epoch)
		input_order(in, index, n, epoch);
	wait_filled(in);
	*images = s->images;
	*label = s->label;
	in->next = (struct input_shard){0};
}
