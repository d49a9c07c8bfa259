/* Fetching data sets and other files over HTTP: resumed when cut, checked before they get their
 * name. */
#ifndef DATA_FETCH_H
#define DATA_FETCH_H
#include "core/base/error.h"
#include <stdint.h>

struct fetch_options {
	const char *base_url; /* instead of the official one; without the file's name */
	int tries;            /* attempts without progress before giving up; 0: 5 */
	int64_t wait_ms;      /* before the second attempt, doubled for each further one; 0: 1000 */
	/* Called about once a second and at the end; total_bytes is 0 while unknown.  Anything but
	 * 0 ends the transfer, which goes on from there the next time. */
	int (*progress)(void *context, int64_t got_bytes, int64_t total_bytes);
	void *context;
};

/* Fetches data set "cifar10" or "cifar100" as its official archive into the folder, which is made
 * when it is not there.  One line on failure; what has arrived stays as NAME.part and is gone on
 * from.  *path, when not null, is where the archive then lies, the caller's to free. */
int fetch_data(const char *name, const char *folder, const struct fetch_options *options,
               char **path, struct error *e);

/* The same for one file with a known MD5.  A target with that MD5 is left alone. */
int fetch_file(const char *url, const char *md5, const char *target,
               const struct fetch_options *options, struct error *e);
#endif
