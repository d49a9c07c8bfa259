/* Where a coordinator may be: addresses of --connect. */
#include "schemas/endpoints.h"
#include "core/base/text.h"
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* tcp://HOST:PORT; other transports are ZeroMQ's to judge. */
static bool is_address(const char *text)
{
	const char *colon = strrchr(text, ':'), *at = colon + 1;

	if (strncmp(text, "tcp://", 6) != 0)
		return strncmp(text, "ipc://", 6) == 0 && text[6];
	if (colon <= text + 6 || !*at)
		return false;
	while (isdigit((unsigned char)*at))
		at++;
	long port = strtol(colon + 1, NULL, 10);
	return !*at && port > 0 && port < 65536;
}

static int check(const char *list, char *const *endpoint, int i, struct error *e)
{
	if (!is_address(endpoint[i]))
		return error_set(e,
		                 "--connect %s: \"%s\" is no address, which looks like "
		                 "tcp://host:5555; several stand with commas between them",
		                 list, endpoint[i]);
	for (int other = 0; other < i; other++)
		if (strcmp(endpoint[other], endpoint[i]) == 0)
			return error_set(e, "--connect %s: %s is there twice", list, endpoint[i]);
	return 0;
}

int endpoints_split(const char *list, char *endpoint[ENDPOINTS_MAX], struct error *e)
{
	int count = 0;

	for (const char *from = list; from;) {
		size_t length = strcspn(from, ",");
		int status = count == ENDPOINTS_MAX
		                     ? error_set(e, "--connect: more than %d addresses", count)
		                     : 0;
		if (status == 0) {
			endpoint[count] = xformat("%.*s", (int)length, from);
			status = check(list, endpoint, count++, e);
		}
		if (status) {
			while (count)
				free(endpoint[--count]);
			return -1;
		}
		from = from[length] ? from + length + 1 : NULL;
	}
	return count;
}
