/* Bytes in the artifact store's folder that the database does not know. */
#include "coordinator/orphan.h"
#include "coordinator/artifact.h"
#include "core/base/text.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DAY_MS = 24 * 3600 * 1000 };

static bool is_orphan(struct sql *db, const char *path, const char *name, int64_t now_ms)
{
	struct stat s;
	char sha256[SHA256_HEX] = "";

	snprintf(sha256, sizeof sha256, "%.64s", name);
	if (stat(path, &s) != 0 || !S_ISREG(s.st_mode) || !sha256_valid(sha256) ||
	    (int64_t)s.st_mtim.tv_sec * 1000 > now_ms - DAY_MS)
		return false;
	/* <64 hex>.part and the like are never named. */
	return name[SHA256_HEX - 1] || !artifact_stored(db, sha256);
}

static int sweep_folder(struct sql *db, const char *folder, int64_t now_ms)
{
	DIR *entries = opendir(folder);
	struct dirent *entry = NULL;
	int count = 0;

	while (entries && (entry = readdir(entries))) {
		char *path = xformat("%s/%s", folder, entry->d_name);
		if (is_orphan(db, path, entry->d_name, now_ms) && !db->failure)
			count += unlink(path) == 0;
		free(path);
	}
	if (entries)
		closedir(entries);
	return count;
}

int orphan_sweep(struct sql *db, const char *folder, int64_t now_ms)
{
	int count = 0;

	for (int i = 0; i < 256; i++) {
		char *below = xformat("%s/%02x", folder, i);
		count += sweep_folder(db, below, now_ms);
		free(below);
	}
	return count;
}
