/* The bit-widths of a model's weights as text, as files of weights carry them ("bits"). */
#ifndef MODELS_BITS_H
#define MODELS_BITS_H
#include "core/models/model.h"

/* {"layer1.0.conv1.weight": 4, …}: the quantized weights; canonical JSON, the caller's to free. */
char *bits_text(const struct model *m, const struct quantization *q);

/* The reverse: sets q->bits; weights that the text does not name are at full precision.  Fails on
 * text that is none of this, on unknown weights and on bit-widths out of range; q is then as it
 * was. */
int bits_parse(struct quantization *q, const struct model *m, const char *text, struct error *e);
#endif
