/* Digests through libcrypto, and FNV-1a. */
#include "core/base/hash.h"
#include "core/base/text.h"
#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

struct hash {
	EVP_MD_CTX *context;
};

struct hash *hash_new(const char *algorithm)
{
	struct hash *h = xcalloc(1, sizeof *h);
	EVP_MD *method = EVP_MD_fetch(NULL, algorithm, NULL);

	h->context = EVP_MD_CTX_new();
	assert(method && h->context);
	int ok = EVP_DigestInit_ex(h->context, method, NULL);
	assert(ok == 1);
	EVP_MD_free(method);
	return h;
}

void hash_add(struct hash *h, const void *bytes, size_t length)
{
	int ok = EVP_DigestUpdate(h->context, bytes, length);

	assert(ok == 1);
}

void hash_end(struct hash *h, char *hex)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int length = 0;
	int ok = EVP_DigestFinal_ex(h->context, digest, &length);

	assert(ok == 1);
	for (unsigned int i = 0; i < length; i++) {
		hex[2 * i] = digits[digest[i] >> 4];
		hex[2 * i + 1] = digits[digest[i] & 15];
	}
	hex[2 * length] = 0;
	EVP_MD_CTX_free(h->context);
	free(h);
}

void sha256_hex(const void *bytes, size_t length, char hex[SHA256_HEX])
{
	struct hash *h = hash_new("sha256");

	hash_add(h, bytes, length);
	hash_end(h, hex);
}

static int hash_file(const char *algorithm, const char *path, char *hex, struct error *e)
{
	enum { CHUNK_BYTES = 1 << 20 };
	FILE *file = fopen(path, "rb");
	size_t got = 0;

	if (!file)
		return error_errno(e, "%s: cannot be opened", path);
	struct hash *h = hash_new(algorithm);
	char *chunk = xmalloc(CHUNK_BYTES);
	while ((got = fread(chunk, 1, CHUNK_BYTES, file)) > 0)
		hash_add(h, chunk, got);
	int status = ferror(file) ? error_errno(e, "%s: cannot be read", path) : 0;
	hash_end(h, hex);
	free(chunk);
	fclose(file);
	return status;
}

int sha256_file(const char *path, char hex[SHA256_HEX], struct error *e)
{
	return hash_file("sha256", path, hex, e);
}

int md5_file(const char *path, char hex[MD5_HEX], struct error *e)
{
	return hash_file("md5", path, hex, e);
}

uint64_t fnv1a(const void *bytes, size_t length)
{
	const unsigned char *b = bytes;
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < length; i++)
		h = (h ^ b[i]) * 0x100000001b3u;
	return h;
}
