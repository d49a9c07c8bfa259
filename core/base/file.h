/* Files: read whole, replace atomically, make folders, tell what a path lies on. */
#ifndef BASE_FILE_H
#define BASE_FILE_H
#include "core/base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The whole file, NUL-terminated; *length may be null.  Null on failure.  Free with free(). */
char *file_read(const char *path, size_t *length, struct error *e);

/* Replaces path with the bytes: temporary file beside it, fsync, rename, fsync of the folder. */
int file_write(const char *path, const void *bytes, size_t length, struct error *e);

/* The same for a secret: only its owner may read it. */
int file_write_private(const char *path, const void *bytes, size_t length, struct error *e);

/* The bytes of one in the other, made or replaced, and fsynced; its name may still be lost. */
int file_copy(const char *from, const char *to, struct error *e);

/* rename(2) of a finished, already fsynced file, then fsync of the target's folder. */
int file_publish(const char *temporary, const char *path, struct error *e);

int file_sync(const char *path, struct error *e);     /* fsync of a file or folder by name */
int folder_make(const char *path, struct error *e);   /* with parents; fine if it exists */
int folder_remove(const char *path, struct error *e); /* with all below; fine if absent */
bool file_exists(const char *path);
int64_t file_bytes(const char *path);                  /* -1 when absent */
int64_t disk_free_bytes(const char *path);             /* for unprivileged users; -1 unknown */
const char *file_network_type(const char *path);       /* "nfs", "cifs", …; null when local */
char *path_join(const char *folder, const char *name); /* name alone when it is absolute */

/* A path may go on inside of an archive, as if that were a folder: "digits.tar/mnist".  Its leading
 * part that is a regular file, the caller's to free, and what follows that, from *inside on ("":
 * nothing); null when there is none. */
char *path_archive(const char *path, const char **inside);
bool path_leads(const char *path); /* file_exists, or it goes on inside of a file */
char *path_real(const char *path); /* realpath(3) of it, or of its file and then the rest */
#endif
