/* JSON helpers on cJSON: files, canonical form, dotted paths, merge patch. */
#ifndef BASE_JSON_H
#define BASE_JSON_H
#include "core/base/error.h"
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The parsed text; on failure null and "<where>: line L, column C: …".  Trailing garbage, duplicate
 * keys and nesting beyond 64 are errors.  `where` names the file or message. */
cJSON *json_parse(const char *text, size_t length, const char *where, struct error *e);
cJSON *json_read(const char *path, struct error *e);
int json_write(const char *path, const cJSON *value, struct error *e); /* atomically, indented */

/* Keys sorted by bytes, no white space, numbers in shortest round-trip form (1.0 and 1 and 1e0 are
 * the same), so that equal values give equal strings.  Free with free(). */
char *json_canonical(const cJSON *value);

/* Keys in their order; indented by two spaces a level, or on one line.  Numbers come back with the
 * same bits (cJSON's own printing loses the last one); NaN and infinities become null.  Free with
 * free(). */
char *json_print(const cJSON *value, bool indented);

/* Dotted paths, "quant.weight_bits".  json_at returns null when absent; json_put makes the objects
 * on the way and takes ownership of value (null removes). */
cJSON *json_at(const cJSON *object, const char *path);
void json_put(cJSON *object, const char *path, cJSON *value);

/* RFC 7386, null removes: `target` patched in place (ownership kept), result returned (may be a new
 * root). */
cJSON *json_merge_patch(cJSON *target, const cJSON *patch);

/* Typed reads with a default for absent or mistyped members; object may be null. */
const char *json_text(const cJSON *object, const char *key, const char *otherwise);
int64_t json_int(const cJSON *object, const char *key, int64_t otherwise); /* exact below 2^53 */
double json_real(const cJSON *object, const char *key, double otherwise);
bool json_bool(const cJSON *object, const char *key, bool otherwise);

/* Whether all items of a list, or members of an object, are of a kind (cJSON_IsString …); none are
 * too. */
bool json_all(const cJSON *list, cJSON_bool (*kind)(const cJSON *item));

/* The known name nearest to `name` by edit distance, or null when none is near. */
const char *nearest_name(const char *name, const char *const *known, size_t count);
#endif
