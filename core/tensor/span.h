/* Large pieces of memory, cut from one range of addresses so that free neighbours join: what is in
 * use leaves few gaps, whatever sizes come and go.  On huge pages where the system has them. */
#ifndef TENSOR_SPAN_H
#define TENSOR_SPAN_H
#include <stdbool.h>
#include <stddef.h>

struct span {
	char *data; /* aligned to 64 bytes */
	size_t bytes;
	bool used, untouched; /* untouched: free, and given back to the system */
	struct span *before, *after;
};

/* At least `bytes` of memory, not zeroed; null when the system has no more. */
struct span *span_take(size_t bytes);
void span_give(struct span *s);  /* back, to be taken again */
size_t span_bytes_waiting(void); /* free, but not given back to the system */
void span_trim(size_t bytes);    /* gives back the largest that wait until at most `bytes` do */
#endif
