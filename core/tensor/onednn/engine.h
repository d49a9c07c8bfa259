/* The one engine and stream of oneDNN in this process. */
#ifndef ONEDNN_ENGINE_H
#define ONEDNN_ENGINE_H
#include <oneapi/dnnl/dnnl.h>

/* The one CPU engine of this process, and its stream. */
dnnl_engine_t onednn_engine(void);
dnnl_stream_t onednn_stream(void);

/* Ends the process with a message when oneDNN refuses what it must be able to do. */
void onednn_must(dnnl_status_t status, const char *what);
#endif
