/* Class probabilities of logits. */
#ifndef EVAL_SOFTMAX_H
#define EVAL_SOFTMAX_H

/* p[k] = exp(z[k]) / sum_j exp(z[j]), from the largest down so that nothing overflows; p may be z.
 */
void softmax(const double *z, int count, double *p);
#endif
