/* Colours that the colour-blind tell apart, on white. */
#ifndef COORDINATOR_PLOT_PALETTE_H
#define COORDINATOR_PLOT_PALETTE_H
#include "coordinator/plot/figure.h"

/* Of quantities: dark violet at 0 to yellow at 1, of evenly growing lightness (matplotlib's
 * viridis). */
colour palette_scale(double part);

/* Of kinds: the i-th of eight (Okabe and Ito), then from the start. */
colour palette_kind(int i);

/* Whether white is better read on it than black. */
bool palette_dark(colour c);
#endif
