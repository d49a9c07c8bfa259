/* Time: read at the edges only, passed as an argument everywhere else. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H
#include <stdint.h>

int64_t clock_wall_ms(void);      /* since 1970, CLOCK_REALTIME */
int64_t clock_monotonic_ms(void); /* CLOCK_MONOTONIC */
double clock_seconds(void);       /* CLOCK_MONOTONIC, for measuring */
#endif
