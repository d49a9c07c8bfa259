/* What a file of a split model says of it besides its tensors. */
#include "core/models/split_record.h"
#include <stdlib.h>
#include <string.h>

void split_record_put(const struct model *m, struct safetensors_writer *w)
{
	struct backbone b;

	if (!m->config.subtasks)
		return;
	cJSON *all = cJSON_CreateObject();
	backbone_init(&b, &m->config);
	cJSON_AddItemToObject(all, "groups", subtasks_to_json(m->config.subtasks));
	cJSON_AddItemToObject(all, "tree", tree_json(m->tree, &b));
	char *text = json_canonical(all);
	safetensors_put_metadata(w, "split", text);
	free(text);
	backbone_release(&b);
	cJSON_Delete(all);
}

int split_record_count(const char *text)
{
	cJSON *all = cJSON_Parse(text);
	int count = cJSON_GetArraySize(json_at(all, "groups"));

	cJSON_Delete(all);
	return count;
}

static int parse(const cJSON *all, const struct model_config *c, const struct dataset *d,
                 struct subtasks *subtasks, struct tree **tree, struct error *e)
{
	struct backbone b;

	if (subtasks_from_lists(subtasks, json_at(all, "groups"), CLASSES_LEAST, d, e))
		return error_prefix(e, "groups");
	backbone_init(&b, c);
	*tree = tree_parse(json_at(all, "tree"), &b, subtasks->count, e);
	backbone_release(&b);
	if (!*tree)
		subtasks_release(subtasks);
	return *tree ? 0 : -1;
}

int split_record_parse(const char *text, const struct model_config *c, const struct dataset *d,
                       struct subtasks *subtasks, struct tree **tree, struct error *e)
{
	cJSON *all = json_parse(text, strlen(text), "split", e);
	int status = all ? parse(all, c, d, subtasks, tree, e) : -1;

	cJSON_Delete(all);
	return status;
}
