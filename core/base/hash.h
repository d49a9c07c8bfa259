/* SHA-256 and MD5 (libcrypto) and FNV-1a, of bytes and of files. */
#ifndef BASE_HASH_H
#define BASE_HASH_H
#include "core/base/error.h"
#include <stddef.h>
#include <stdint.h>

enum { SHA256_HEX = 65, MD5_HEX = 33 }; /* with the NUL */

struct hash;                                  /* a running digest */
struct hash *hash_new(const char *algorithm); /* "sha256" | "md5" */
void hash_add(struct hash *h, const void *bytes, size_t length);
void hash_end(struct hash *h, char *hex); /* writes lower-case hex, frees h */

/* In one go, as lower-case hex. */
void sha256_hex(const void *bytes, size_t length, char hex[SHA256_HEX]);
int sha256_file(const char *path, char hex[SHA256_HEX], struct error *e);
int md5_file(const char *path, char hex[MD5_HEX], struct error *e);
uint64_t fnv1a(const void *bytes, size_t length); /* 64 bits, the usual offset and prime */
#endif
