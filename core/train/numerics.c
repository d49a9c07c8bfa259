/* The numerics class: what, besides the specification, decides the bits of a result. */
#include "core/train/numerics.h"
#include "core/base/text.h"
#include "schemas/trial_spec.h"
#include <dnnl.h>
#include <unistd.h>

/* oneDNN names its instruction sets by sums of bits; these are the ones it tells apart. */
static const struct {
	int isa;
	const char *name;
} isa_names[] = {
        {dnnl_cpu_isa_sse41, "SSE4.1"},
        {dnnl_cpu_isa_avx, "AVX"},
        {dnnl_cpu_isa_avx2, "AVX2"},
        {dnnl_cpu_isa_avx2_vnni, "AVX2-VNNI"},
        {dnnl_cpu_isa_avx512_core, "AVX-512"},
        {dnnl_cpu_isa_avx512_core_vnni, "AVX-512-VNNI"},
        {dnnl_cpu_isa_avx512_core_bf16, "AVX-512-BF16"},
        {dnnl_cpu_isa_avx512_core_amx, "AVX-512-AMX"},
};

static const char *isa_name(int isa)
{
	for (size_t i = 0; i < sizeof isa_names / sizeof *isa_names; i++)
		if (isa_names[i].isa == isa)
			return isa_names[i].name;
	return "unknown";
}

char *numerics_class(int threads)
{
	const dnnl_version_t *v = dnnl_version();
	struct text t = {0};

	text_add(&t, "oneDNN %d.%d.%d; %s; caches %ldK %ldK %ldK; semantics %d", v->major, v->minor,
	         v->patch, isa_name(dnnl_get_effective_cpu_isa()),
	         sysconf(_SC_LEVEL1_DCACHE_SIZE) >> 10, sysconf(_SC_LEVEL2_CACHE_SIZE) >> 10,
	         sysconf(_SC_LEVEL3_CACHE_SIZE) >> 10, TRIAL_SEMANTICS);
	if (threads)
		text_add(&t, "; threads %d", threads);
	return text_take(&t);
}
