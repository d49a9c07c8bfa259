/* What each submodel's loss says of the weights that it uses. */
#include "core/train/sensitivity.h"
#include "core/base/text.h"
#include "core/models/resnet.h"
#include "core/split/importance.h"
#include "core/train/loop.h"
#include <stdlib.h>

/* ---- room ---- */
static void find_weights(struct sensitivity *s, const struct model *m)
{
	struct resnet_place *place = xcalloc((size_t)model_items(m), sizeof *place);

	resnet_places(m->net, m->parameters.count, place);
	for (int i = 0; i < s->nodes; i++)
		s->shortcut[i] = -1;
	for (int i = 0; i < m->parameters.count; i++)
		if (place[i].slot == SLOT_CONV && place[i].node >= 0)
			s->conv[place[i].node] = i;
		else if (place[i].slot == SLOT_SHORTCUT_CONV)
			s->shortcut[place[i].node] = i;
	free(place);
}

static int64_t weights_of(const struct model *m, int parameter)
{
	return shape_count(m->parameters.item[parameter].value->shape);
}

/* How many figures a submodel has, one after the other: of each of its nodes the gradient, where it
 * is wanted, and the importance of the channels. */
static int64_t figures_of(const struct sensitivity *s, const struct model *m, int submodel)
{
	int64_t count = 0;

	for (int k = 0; k < s->nodes; k++) {
		const struct tree_node *n = &m->tree->node[k];
		if (!(n->members >> submodel & 1))
			continue;
		count += n->members & (n->members - 1) ? weights_of(m, s->conv[k]) : 0;
		count += n->channels;
	}
	return count;
}

static void place(struct sensitivity *s, const struct model *m, int submodel)
{
	double *at = s->figure[submodel];

	for (int k = 0; k < s->nodes; k++) {
		const struct tree_node *n = &m->tree->node[k];
		int of = submodel * s->nodes + k;
		if (!(n->members >> submodel & 1))
			continue;
		if (n->members & (n->members - 1)) {
			s->gradient[of] = at;
			at += weights_of(m, s->conv[k]);
		}
		s->importance[of] = at;
		at += n->channels;
	}
}

static void init(struct sensitivity *s, const struct model *m)
{
	const struct tree *tree = m->tree;
	size_t all = (size_t)tree->submodels * (size_t)tree->nodes;

	*s = (struct sensitivity){.submodels = tree->submodels, .nodes = tree->nodes};
	s->conv = xcalloc((size_t)s->nodes, sizeof *s->conv);
	s->shortcut = xcalloc((size_t)s->nodes, sizeof *s->shortcut);
	s->figure = xcalloc((size_t)s->submodels, sizeof *s->figure);
	s->gradient = xcalloc(all, sizeof *s->gradient);
	s->importance = xcalloc(all, sizeof *s->importance);
	find_weights(s, m);
	for (int i = 0; i < s->submodels; i++) {
		s->figure[i] = xcalloc((size_t)figures_of(s, m, i), sizeof **s->figure);
		place(s, m, i);
	}
}

void sensitivity_release(struct sensitivity *s)
{
	for (int i = 0; i < s->submodels; i++)
		free(s->figure[i]);
	free(s->figure);
	free(s->gradient);
	free(s->importance);
	free(s->conv);
	free(s->shortcut);
	*s = (struct sensitivity){0};
}

/* ---- one batch of one submodel ---- */
struct batch {
	struct tensor *images, *labels; /* null: the rank has none in this round */
};

/* Gradients of the submodel's loss to its convolutions and projections, by node. */
static void gradients(struct trainer *t, const struct sensitivity *s, int submodel,
                      const struct batch *b, struct tape *tape, struct forward *f,
                      struct tensor **conv, struct tensor **shortcut)
{
	struct tensor **wrt = xcalloc(4 * (size_t)s->nodes, sizeof *wrt), **g = wrt + 2 * s->nodes;
	struct tensor *heads[SUBTASKS_MAX];
	int count = 0, got = 0;

	model_heads(t->model, f, tape_leaf(tape, b->images), 1u << submodel, heads);
	struct tensor *loss = subtask_loss_of(tape, &t->subtasks, submodel, &t->objective.subtask,
	                                      heads[submodel], b->labels);
	for (int k = 0; k < s->nodes; k++) {
		if (!s->importance[submodel * s->nodes + k])
			continue;
		wrt[count++] = f->raw[s->conv[k]];
		if (s->shortcut[k] >= 0)
			wrt[count++] = f->raw[s->shortcut[k]];
	}
	tape_grad(tape, loss, wrt, count, g, GRAD_CONSUME);
	for (int k = 0; k < s->nodes; k++) {
		if (!s->importance[submodel * s->nodes + k])
			continue;
		conv[k] = g[got++];
		if (s->shortcut[k] >= 0)
			shortcut[k] = g[got++];
	}
	free(wrt);
}

static void figure_batch(struct trainer *t, const struct sensitivity *s, int submodel,
                         const struct batch *b, double *figure)
{
	const struct parameter *item = t->model->parameters.item;
	struct tensor **conv = xcalloc(2 * (size_t)s->nodes, sizeof *conv);
	struct tensor **shortcut = conv + s->nodes;
	struct tape tape;
	struct forward f;

	tape_init(&tape, &backend_onednn);
	model_begin(&f, &tape, t->model, FORWARD_TRAINING, NULL);
	gradients(t, s, submodel, b, &tape, &f, conv, shortcut);
	for (int k = 0; k < s->nodes; k++) {
		int at = submodel * s->nodes + k;
		int64_t weights = s->gradient[at] ? weights_of(t->model, s->conv[k]) : 0;
		for (int64_t j = 0; j < weights; j++)
			*figure++ = (double)tensor_f32(conv[k])[j];
		if (!s->importance[at])
			continue;
		importance_add(figure, item[s->conv[k]].value, conv[k]);
		if (shortcut[k])
			importance_add(figure, item[s->shortcut[k]].value, shortcut[k]);
		figure += t->model->tree->node[k].channels;
	}
	forward_release(&f);
	tape_release(&tape);
	free(conv);
}

/* All ranks' figures of a submodel, added to its sums in the order of their batches. */
static void add_round(struct trainer *t, struct sensitivity *s, int submodel, const struct batch *b)
{
	int64_t count = figures_of(s, t->model, submodel);
	double *mine = xcalloc((size_t)count, sizeof *mine);

	if (b->images)
		figure_batch(t, s, submodel, b, mine);
	parallel_add_in_turn(&t->parallel, s->figure[submodel], mine, count);
	free(mine);
}

/* ---- all ---- */
/* Images of a batch: a shard's. */
static int64_t batch_size(const struct trainer *t)
{
	return t->spec->train_batch / t->spec->train_shards;
}

/* split.batches, or as many as there are. */
static int64_t batches_of(const struct trainer *t)
{
	int64_t there = (t->train->count + batch_size(t) - 1) / batch_size(t);

	return there < t->spec->split_batches ? there : t->spec->split_batches;
}

static struct batch read_batch(const struct trainer *t, int64_t index)
{
	const struct dataset *d = t->train;
	int64_t size = batch_size(t), left = d->count - index * size;
	int64_t n = left < size ? left : size;
	struct batch b = {0};

	if (index >= batches_of(t))
		return b;
	trainer_read_samples(t, d, t->sample + index * size, n, &b.images, &b.labels);
	return b;
}

int sensitivity_measure(struct sensitivity *s, struct trainer *t, struct error *e)
{
	int64_t ranks = t->parallel.ranks, rounds = (batches_of(t) + ranks - 1) / ranks;
	int ended = LOOP_GOES_ON;

	init(s, t->model);
	for (int64_t r = 0; r < rounds && ended == LOOP_GOES_ON; r++) {
		struct batch b = read_batch(t, r * ranks + t->parallel.rank);
		for (int i = 0; i < s->submodels && ended == LOOP_GOES_ON; i++) {
			ended = loop_obey(t, trainer_order(t), e);
			if (ended == LOOP_GOES_ON)
				add_round(t, s, i, &b);
			trainer_tell(t, "split");
		}
		tensor_free(b.images);
		tensor_free(b.labels);
	}
	return ended;
}
