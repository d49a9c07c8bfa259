/* oneDNN's engine and stream, what it says about this machine, and the numerics class. */
#include "core/tensor/onednn/engine.h"
#include "core/tensor/onednn/onednn.h"
#include "core/tensor/onednn/plan.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void onednn_must(dnnl_status_t status, const char *what)
{
	if (status == dnnl_success)
		return;
	fprintf(stderr, "oneDNN: %s: status %d\n", what, (int)status);
	abort();
}

dnnl_engine_t onednn_engine(void)
{
	static dnnl_engine_t engine;

	if (!engine) {
		onednn_must(dnnl_set_primitive_cache_capacity(0), "cache");
		onednn_must(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine");
	}
	return engine;
}

dnnl_stream_t onednn_stream(void)
{
	static dnnl_stream_t stream;

	if (!stream)
		onednn_must(dnnl_stream_create(&stream, onednn_engine(), dnnl_stream_default_flags),
		            "stream");
	return stream;
}

static bool has_avx512(void)
{
	dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();

	return (isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
}

int onednn_block(void)
{
	static int block;

	if (!block)
		block = has_avx512() ? 16 : 8;
	return block;
}

const char *onednn_numerics_class(int threads)
{
	static char text[120];
	const dnnl_version_t *v = dnnl_version();

	snprintf(text, sizeof text,
	         "onednn-%d.%d.%d isa-%x l1-%ldk l2-%ldk l3-%ldk plan-%d threads-%d", v->major,
	         v->minor, v->patch, (unsigned)dnnl_get_effective_cpu_isa(),
	         sysconf(_SC_LEVEL1_DCACHE_SIZE) >> 10, sysconf(_SC_LEVEL2_CACHE_SIZE) >> 10,
	         sysconf(_SC_LEVEL3_CACHE_SIZE) >> 10, PLAN_VERSION, threads);
	return text;
}
