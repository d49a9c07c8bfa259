/* What a trial needs before it can begin: data, model, quantization, optimizer, and their state. */
#ifndef TRAIN_SETUP_H
#define TRAIN_SETUP_H
#include "core/train/trainer.h"

/* The rest of trainer_init, from t's specification, files and ranks. */
enum outcome setup(struct trainer *t, struct error *e);
#endif
