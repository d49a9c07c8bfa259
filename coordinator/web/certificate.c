/* The artifact store's TLS key: made once beside the database, known to agents by its pin. */
#include "coordinator/web/certificate.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Signed by itself, without an end (RFC 5280, 4.1.2.5). */
static bool fill(X509 *x, EVP_PKEY *key)
{
	uint64_t serial = 0;
	X509_NAME *name = X509_get_subject_name(x);

	return RAND_bytes((unsigned char *)&serial, sizeof serial) == 1 &&
	       X509_set_version(x, X509_VERSION_3) &&
	       ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1 | 1) &&
	       X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"trawl",
	                                  -1, -1, 0) &&
	       X509_set_issuer_name(x, name) &&
	       ASN1_TIME_set_string_X509(X509_getm_notBefore(x), "20200101000000Z") &&
	       ASN1_TIME_set_string_X509(X509_getm_notAfter(x), "99991231235959Z") &&
	       X509_set_pubkey(x, key) && X509_sign(x, key, EVP_sha256());
}

static int make(const char *path, struct error *e)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	BIO *out = BIO_new(BIO_s_mem());
	char *pem = NULL;
	int status = -1;

	if (!key || !x || !out || !fill(x, key) ||
	    !PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) ||
	    !PEM_write_bio_X509(out, x)) {
		error_set(e, "%s: libcrypto makes no key of P-256", path);
	} else {
		long length = BIO_get_mem_data(out, &pem);
		status = file_write_private(path, pem, (size_t)length, e);
	}
	BIO_free(out);
	X509_free(x);
	EVP_PKEY_free(key);
	return status;
}

/* SHA-256 of the SubjectPublicKeyInfo (RFC 7469, 2.4). */
static bool pin_of(X509 *x, char pin[64])
{
	unsigned char *der = NULL, digest[SHA256_DIGEST_LENGTH];
	int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
	bool fine = length > 0 && SHA256(der, (size_t)length, digest);

	OPENSSL_free(der);
	if (fine)
		EVP_EncodeBlock((unsigned char *)pin + sprintf(pin, "sha256//"), digest,
		                sizeof digest);
	return fine;
}

/* A private key, and its certificate. */
static bool parse(const char *pem, char pin[64])
{
	BIO *in = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, NULL) : NULL;
	X509 *x = key ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
	bool fine = x && X509_check_private_key(x, key) == 1 && pin_of(x, pin);

	X509_free(x);
	EVP_PKEY_free(key);
	BIO_free(in);
	return fine;
}

int certificate_open(const char *path, struct certificate *c, struct error *e)
{
	struct stat s;

	*c = (struct certificate){0};
	if (!file_exists(path) && make(path, e))
		return -1;
	c->pem = file_read(path, NULL, e);
	if (!c->pem)
		return -1;
	if (stat(path, &s) == 0 && (s.st_mode & 077))
		error_set(e, "%s: others may read this secret: chmod 600 %s", path, path);
	else if (!parse(c->pem, c->pin))
		error_set(e,
		          "%s: holds no key with its certificate: remove it, and another is made",
		          path);
	else
		return 0;
	certificate_release(c);
	return -1;
}

void certificate_release(struct certificate *c)
{
	free(c->pem);
	*c = (struct certificate){0};
}
