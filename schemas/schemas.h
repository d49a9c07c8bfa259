/* The JSON Schema files that editors use, written from the tables of fields. */
#ifndef SCHEMAS_SCHEMAS_H
#define SCHEMAS_SCHEMAS_H
#include "core/base/error.h"
#include <cjson/cJSON.h>

cJSON *trial_json_schema(void);
cJSON *sweep_json_schema(void);

/* Writes trial.schema.json and sweep.schema.json. */
int schemas_write(const char *folder, struct error *e);
#endif
