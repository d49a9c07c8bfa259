/* The numerics class: what, besides the specification, decides the bits of a result. */
#ifndef TRAIN_NUMERICS_H
#define TRAIN_NUMERICS_H

/* "oneDNN 2.6.3; AVX-512 …; caches 48K 2M 32M; semantics 1; threads 1": equal specifications on
 * machines of equal class give equal bits.  threads 0 leaves the threads out: the class of the
 * machine.  Free with free(). */
char *numerics_class(int threads);
#endif
