/* The JSON Schema files that editors use, written from the tables of fields. */
#ifndef SCHEMAS_SCHEMAS_H
#define SCHEMAS_SCHEMAS_H
#include "core/base/error.h"
#include <cjson/cJSON.h>

/* JSON Schema, draft 2020-12; the caller's to delete. */
cJSON *trial_json_schema(void);
cJSON *sweep_json_schema(void);

/* Writes trial.schema.json and sweep.schema.json. */
int schemas_write(const char *folder, struct error *e);
#endif
