/* Models in files: reading weights made anywhere, and the quantized export. */
#ifndef MODELS_WEIGHTS_H
#define MODELS_WEIGHTS_H
#include "core/models/model.h"
#include "core/tensor/safetensors.h"

/* Parameters and buffers from a safetensors file (any floats, exact names and shapes; tensors named
 * *.num_batches_tracked, optimizer.* and trawl.* are passed over; a learned step that the file
 * lacks, or has in another shape, stays).  What wrappers put before all names ("module.", "model.",
 * "_orig_mod.") is left off.  On any mismatch nothing is changed and one message lists missing,
 * extra and misshapen tensors, or says that the file is a split model and m is not.  What
 * model_export wrote is read too: codes times scales. */
int model_load(struct model *m, const char *path, struct error *e);
int model_load_from(struct model *m, const struct safetensors *file, struct error *e);

/* Adds all parameters and buffers to a file that is being written, and how a split model is split.
 */
void model_save(const struct model *m, struct safetensors_writer *w);

/* The quantized model: "X.weight" of b bits becomes "X.weight.codes" (I8, whatever b is) and
 * "X.weight.scale" (F32, (1) or (O)); a layer X whose input is quantized has "X.input_scale" (F32)
 * and "X.input_zero_point" (I32); the rest stays.  Metadata: "model", "bits" (JSON: name to bits),
 * "granularity", "activation_bits", "model_bytes".  Of a folded model a
 * convolution X has "X.bias" in place of its norm, and metadata say "folded".  What model_load
 * reads back is bit for bit what was evaluated. */
int model_export(const struct model *m, const struct quantization *q, const char *path,
                 struct error *e);
#endif
