/* Ensembles: several trained members that say one thing together. */
#ifndef TRAIN_ENSEMBLE_H
#define TRAIN_ENSEMBLE_H
#include "core/train/trainer.h"

/* Action ensemble: loads the members, each as its own specification makes it, and evaluates them
 * together (train_run).  Figures of cost are sums over members; there are no weights to leave. */
enum outcome ensemble_run(struct trainer *t, struct error *e);

/* What a trial's model costs, or all of its members' together. */
double ensemble_sum(const struct trainer *t, double of(const struct trainer *t));
const struct trainer *ensemble_member(const struct trainer *t, int i);
void ensemble_release(struct trainer *t);
#endif
