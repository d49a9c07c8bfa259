/* How far the tree of a Split-Ensemble has grown, as text. */
#include "core/train/growth.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <math.h>
#include <stdlib.h>

void growth_init(struct growth *g)
{
	*g = (struct growth){.least = NAN};
}

void growth_release(struct growth *g)
{
	free(g->least_layer);
	growth_init(g);
}

char *growth_text(const struct growth *g)
{
	cJSON *all = cJSON_CreateObject();

	cJSON_AddNumberToObject(all, "looked", (double)g->looked);
	cJSON_AddNumberToObject(all, "splits", g->splits);
	cJSON_AddNumberToObject(all, "pruned", g->pruned);
	cJSON_AddNumberToObject(all, "unpaid", g->unpaid);
	cJSON_AddNumberToObject(all, "least_epoch", (double)g->least_epoch);
	if (isfinite(g->least))
		cJSON_AddNumberToObject(all, "least", g->least);
	if (g->least_layer)
		cJSON_AddStringToObject(all, "least_layer", g->least_layer);
	char *text = json_canonical(all);
	cJSON_Delete(all);
	return text;
}

void growth_read(struct growth *g, const char *text)
{
	cJSON *all = cJSON_Parse(text);
	const char *layer = json_text(all, "least_layer", NULL);

	g->looked = json_int(all, "looked", g->looked);
	g->splits = (int)json_int(all, "splits", g->splits);
	g->pruned = (int)json_int(all, "pruned", g->pruned);
	g->unpaid = (int)json_int(all, "unpaid", g->unpaid);
	g->least = json_real(all, "least", g->least);
	g->least_epoch = json_int(all, "least_epoch", g->least_epoch);
	if (layer) {
		free(g->least_layer);
		g->least_layer = xstrdup(layer);
	}
	cJSON_Delete(all);
}
