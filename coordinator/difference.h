/* What differs between specifications. */
#ifndef COORDINATOR_DIFFERENCE_H
#define COORDINATOR_DIFFERENCE_H
#include <cjson/cJSON.h>

/* The paths at which `count` specifications have different values, in the order in which they come:
 * [{"path": "quant.weight_bits", "values": [4, null]}], null where one says nothing.  Lists count
 * as one value.  The caller's to delete. */
cJSON *difference_of(const cJSON *const spec[], int count);

/* One of them as a label: "weight_bits=4 lambda=0.1".  The caller's to free. */
char *difference_label(const cJSON *difference, int which);

/* A value as a person reads it: text without quotes, long hex digits cut short, "–" for null.  The
 * caller's to free. */
char *difference_shown(const cJSON *value);
#endif
