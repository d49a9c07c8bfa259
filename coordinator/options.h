/* Command lines: one table of options per verb parses them and prints their help. */
#ifndef COORDINATOR_OPTIONS_H
#define COORDINATOR_OPTIONS_H
#include "core/base/error.h"
#include <stdbool.h>
#include <stdint.h>

enum { OPTIONS_MAX = 32, WORDS_MAX = 64 };

struct option_row {
	const char *name;     /* "--workers" */
	const char *letter;   /* "-w", or null */
	const char *argument; /* what follows, "N"; null for a flag */
	const char *meaning;  /* one line */
};

/* A command line that was read.  Strings point into argv. */
struct options {
	const struct option_row *row; /* ends with a null name */
	const char *value[OPTIONS_MAX];
	const char *word[WORDS_MAX]; /* what was no option */
	int words;
};

/* Reads argv[0 … argc-1].  "--" ends the options.  Unknown ones are an error that names the
 * nearest. */
int options_parse(struct options *o, const struct option_row *row, int argc, char **argv,
                  struct error *e);

/* The value given to an option, or `otherwise`; a flag that was given has the value "". */
const char *option_text(const struct options *o, const char *name, const char *otherwise);
bool option_given(const struct options *o, const char *name);

/* A whole number within [least, most]; -1 and a message when it is none. */
int option_int(const struct options *o, const char *name, int64_t least, int64_t most,
               int64_t otherwise, int64_t *value, struct error *e);

/* Bytes: a number, and K, M, G or T behind it for powers of 1024; -1 and a message when it is none.
 */
int option_bytes(const struct options *o, const char *name, int64_t otherwise, int64_t *bytes,
                 struct error *e);

/* Prints "  -f, --follow          meaning" for each row to stdout. */
void options_print(const struct option_row *row);
#endif
