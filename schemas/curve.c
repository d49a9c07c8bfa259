/* CURVE keys in files and sockets. */
#include "schemas/curve.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

int curve_new(const char *path, struct curve_pair *pair, struct error *e)
{
	char text[128];

	if (zmq_curve_keypair(pair->public, pair->secret))
		return error_set(e, "this ZeroMQ makes no keys: %s", zmq_strerror(errno));
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(e, "%s", path);
	int length =
	        snprintf(text, sizeof text, "public %s\nsecret %s\n", pair->public, pair->secret);
	bool written = write(fd, text, (size_t)length) == length && fsync(fd) == 0;
	if (close(fd) || !written) {
		unlink(path);
		return error_errno(e, "%s: cannot be written", path);
	}
	return 0;
}

int curve_read(const char *path, struct curve_pair *pair, struct error *e)
{
	struct stat s;
	char *text = file_read(path, NULL, e);

	if (!text)
		return -1;
	bool fine = sscanf(text, "public %40s secret %40s", pair->public, pair->secret) == 2 &&
	            strlen(pair->public) == 40 && strlen(pair->secret) == 40;
	free(text);
	if (!fine)
		return error_set(e, "%s: no key file (`trawl keys new FILE` makes one)", path);
	if (stat(path, &s) == 0 && (s.st_mode & 077))
		return error_set(e, "%s: others may read this secret: chmod 600 %s", path, path);
	return 0;
}

static bool is_key(const char *text)
{
	uint8_t bytes[32];

	return strlen(text) == 40 && zmq_z85_decode(bytes, text) != NULL;
}

int curve_public(const char *text, char public[CURVE_KEY], struct error *e)
{
	char *file = NULL;

	if (is_key(text) && !file_exists(text)) { /* the name of a file may look like one */
		memcpy(public, text, CURVE_KEY);
		return 0;
	}
	if (!file_exists(text) || !(file = file_read(text, NULL, e)))
		return error_set(e, "\"%.60s\" is no key (40 characters) and no key file", text);
	bool found =
	        (sscanf(file, "public %40s", public) == 1 || sscanf(file, "%40s", public) == 1) &&
	        is_key(public);
	free(file);
	return found ? 0 : error_set(e, "%s: holds no public key", text);
}

/* Makes it speak to the server of that public key only, as the owner of a pair. */
static int connect_as(void *socket, const char *server, const struct curve_pair *own,
                      struct error *e)
{
	if (zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server, CURVE_KEY) ||
	    zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, own->public, CURVE_KEY) ||
	    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, own->secret, CURVE_KEY))
		return error_set(e, "the keys are not taken: %s", zmq_strerror(errno));
	return 0;
}

static const char *or_environment(const char *given, const char *name)
{
	const char *value =
	        given ? given : getenv(name); /* given as "": none, whatever that says */

	return value && *value ? value : NULL;
}

int curve_connect_as_told(void *socket, const char *key, const char *server_key, struct error *e)
{
	const char *own = or_environment(key, "TRAWL_KEY");
	const char *server = or_environment(server_key, "TRAWL_SERVER_KEY");
	char public[CURVE_KEY];
	struct curve_pair pair;

	if (!own && !server)
		return 0;
	if (!own || !server)
		return error_set(e, "%s is missing: a key and the server's key go together",
		                 own ? "--server-key ($TRAWL_SERVER_KEY)" : "--key ($TRAWL_KEY)");
	return curve_public(server, public, e) || curve_read(own, &pair, e) ||
	                       connect_as(socket, public, &pair, e)
	               ? -1
	               : 1;
}
