/* Matrix products through oneDNN's sgemm. */
#include "core/tensor/onednn/column.h"
#include "core/tensor/onednn/engine.h"

bool onednn_matmul(struct tape *t, struct node *n)
{
	struct tensor *a = n->in[0], *b = n->in[1], *y = n->out[0];
	bool ta = n->attr.flag[0], tb = n->attr.flag[1];
	int64_t rows = y->shape.d[0], columns = y->shape.d[1], inner = a->shape.d[ta ? 0 : 1];

	if (!rows || !columns || !inner)
		return false;
	const float *pa = tensor_f32(a), *pb = tensor_f32(b);
	onednn_must(dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', rows, columns, inner, 1, pa,
	                       ta ? rows : inner, pb, tb ? inner : columns, 0, tensor_new_plain(y),
	                       columns),
	            "sgemm");
	return true;
}
