/* The algorithm of each convolution, from plan.def. */
#ifndef ONEDNN_PLAN_H
#define ONEDNN_PLAN_H
#include "core/tensor/onednn/conv.h"

enum { PLAN_VERSION = 5 };
enum conv_algorithm {
	CONV_DIRECT,   /* oneDNN's */
	CONV_WINOGRAD, /* winograd.h */
};
enum conv_algorithm plan_algorithm(const struct conv_key *k);

/* Runs k by an algorithm that works for it, whatever plan.def says; image and result blocked,
 * weight plain. */
void plan_run(const struct conv_key *k, enum conv_algorithm algorithm, float *image, float *weight,
              float *result);
#endif
