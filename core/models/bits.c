/* The bit-widths of a model's weights as text, as files of weights carry them ("bits"). */
#include "core/models/bits.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <stdlib.h>
#include <string.h>

char *bits_text(const struct model *m, const struct quantization *q)
{
	cJSON *bits = cJSON_CreateObject();

	for (int i = 0; q && i < m->parameters.count; i++)
		if (q->bits[i])
			cJSON_AddNumberToObject(bits, m->parameters.item[i].name, q->bits[i]);
	char *text = json_canonical(bits);
	cJSON_Delete(bits);
	return text;
}

static int parse_one(int *bits, const struct model *m, const cJSON *item, struct error *e)
{
	int i = parameter_find(&m->parameters, item->string);
	double value = cJSON_IsNumber(item) ? item->valuedouble : 0;

	if (i < 0 || !parameter_quantizable(&m->parameters.item[i]))
		return error_set(e, "its bits name %s, which is no weight of %s", item->string,
		                 m->config.name);
	if (value != (int)value || value < QUANT_BITS_MIN || value > QUANT_BITS_MAX)
		return error_set(e, "its bits of %s are not %d to %d", item->string, QUANT_BITS_MIN,
		                 QUANT_BITS_MAX);
	bits[i] = (int)value;
	return 0;
}

int bits_parse(struct quantization *q, const struct model *m, const char *text, struct error *e)
{
	cJSON *list = json_parse(text, strlen(text), "its bits", e);
	int *bits = xcalloc((size_t)q->count, sizeof(*bits)), status = list ? 0 : -1;
	const cJSON *item;

	if (list && !cJSON_IsObject(list))
		status = error_set(e, "its bits are not an object");
	for (item = status ? NULL : list->child; item && status == 0; item = item->next)
		status = parse_one(bits, m, item, e);
	if (status == 0)
		memcpy(q->bits, bits, (size_t)q->count * sizeof(*bits));
	cJSON_Delete(list);
	free(bits);
	return status;
}
