/* How a launch reads files and data sets, and brings files into the artifact store. */
#include "coordinator/import.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/data/source.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int data_digest(void *context, const char *name, const char *path, char digest[SHA256_HEX],
                       struct error *e)
{
	char *roots = source_roots(), *found = source_find(name, path, roots, e);
	int status = found ? source_digest(name, found, digest, e) : -1;

	free(found);
	free(roots);
	return status;
}

char *import_path(const char *folder, const char *sha256)
{
	return xformat("%s/%.2s/%s", folder, sha256, sha256);
}

/* Copies, checks what was copied, and gives it its name. */
static int import(const char *folder, const char *path, const char *digest, struct error *e)
{
	char *target = import_path(folder, digest), *temporary = xformat("%s.import", target);
	char *parent = xformat("%s/%.2s", folder, digest), copied[SHA256_HEX] = "";
	int status = folder_make(parent, e);

	if (status == 0)
		status = file_copy(path, temporary, e);
	if (status == 0)
		status = sha256_file(temporary, copied, e);
	if (status == 0 && strcmp(copied, digest) != 0)
		status = error_set(e, "%s: changed while it was read", path);
	if (status == 0)
		status = file_publish(temporary, target, e);
	if (status != 0)
		unlink(temporary);
	free(parent);
	free(temporary);
	free(target);
	return status;
}

/* Where the last tensor ends, counted from behind the header. */
static double tensors_end(const cJSON *header)
{
	const cJSON *tensor = NULL;
	double end = 0;

	cJSON_ArrayForEach (tensor, header) {
		const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(tensor, "data_offsets");
		const cJSON *last = cJSON_GetArrayItem(offsets, 1);
		if (cJSON_IsNumber(last) && last->valuedouble > end)
			end = last->valuedouble;
	}
	return end;
}

/* As far as its header tells: 8 bytes of length, JSON, and as many bytes as the tensors take. */
static int check_safetensors(const char *path, struct error *e)
{
	enum { HEADER_MAX = 100000000 };
	uint64_t length = 0;
	double bytes = (double)file_bytes(path), named = 0;
	char *text = NULL;
	cJSON *header = NULL;
	FILE *f = fopen(path, "re");

	if (!f)
		return error_errno(e, "%s: cannot be opened", path);
	if (fread(&length, sizeof length, 1, f) == 1 && length <= HEADER_MAX) {
		text = xmalloc(length);
		if (fread(text, 1, length, f) == length)
			header = json_parse(text, length, path, NULL);
	}
	named = 8 + (double)length + tensors_end(header);
	int status = 0;
	if (!cJSON_IsObject(header))
		status = error_set(e, "%s: is not a safetensors file, or cut short", path);
	else if (bytes != named)
		status = error_set(e, "%s: has %.0f bytes, its header tells of %.0f", path, bytes,
		                   named);
	cJSON_Delete(header);
	free(text);
	fclose(f);
	return status;
}

static int file_digest(void *context, const char *path, bool bring, char digest[SHA256_HEX],
                       int64_t *bytes, struct error *e)
{
	if (sha256_file(path, digest, e) != 0 || check_safetensors(path, e) != 0)
		return -1;
	*bytes = file_bytes(path);
	return bring ? import(context, path, digest, e) : 0;
}

struct study_files import_files(const char *folder)
{
	return (struct study_files){data_digest, file_digest, (void *)folder};
}
