/* Command lines: one table of options per verb parses them and prints their help. */
#include "coordinator/options.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int find(const struct option_row *row, const char *name, size_t length)
{
	for (int i = 0; row[i].name; i++) {
		if (strlen(row[i].name) == length && !strncmp(row[i].name, name, length))
			return i;
		if (row[i].letter && strlen(row[i].letter) == length &&
		    !strncmp(row[i].letter, name, length))
			return i;
	}
	return -1;
}

static int unknown(const struct option_row *row, const char *name, struct error *e)
{
	const char *known[OPTIONS_MAX];
	size_t count = 0;
	for (; row[count].name; count++)
		known[count] = row[count].name;
	const char *near = nearest_name(name, known, count);
	return near ? error_set(e, "unknown option %s; did you mean %s?", name, near)
	            : error_set(e, "unknown option %s; --help lists the options", name);
}

static int take(struct options *o, int argc, char **argv, int *at, struct error *e)
{
	const char *name = argv[*at], *equals = strchr(name, '=');
	size_t length = equals ? (size_t)(equals - name) : strlen(name);
	int i = find(o->row, name, length);
	if (i < 0)
		return unknown(o->row, name, e);
	if (!o->row[i].argument) {
		if (equals)
			return error_set(e, "%s takes no value", o->row[i].name);
		o->value[i] = "";
		return 0;
	}
	if (!equals && *at + 1 >= argc)
		return error_set(e, "%s needs a value: %s %s", o->row[i].name, o->row[i].name,
		                 o->row[i].argument);
	o->value[i] = equals ? equals + 1 : argv[++*at];
	return 0;
}

int options_parse(struct options *o, const struct option_row *row, int argc, char **argv,
                  struct error *e)
{
	*o = (struct options){.row = row};
	bool ended = false;
	for (int i = 0; i < argc; i++) {
		if (!ended && !strcmp(argv[i], "--")) {
			ended = true;
		} else if (!ended && argv[i][0] == '-' && argv[i][1]) {
			if (take(o, argc, argv, &i, e))
				return -1;
		} else if (o->words == WORDS_MAX) {
			return error_set(e, "more than %d arguments", WORDS_MAX);
		} else {
			o->word[o->words++] = argv[i];
		}
	}
	return 0;
}

const char *option_text(const struct options *o, const char *name, const char *otherwise)
{
	int i = find(o->row, name, strlen(name));
	assert(i >= 0);
	return o->value[i] ? o->value[i] : otherwise;
}

bool option_given(const struct options *o, const char *name)
{
	return option_text(o, name, NULL) != NULL;
}

int option_int(const struct options *o, const char *name, int64_t least, int64_t most,
               int64_t otherwise, int64_t *value, struct error *e)
{
	const char *text = option_text(o, name, NULL);
	*value = otherwise;
	if (!text)
		return 0;
	char *end;
	errno = 0;
	*value = strtoll(text, &end, 10);
	if (errno || end == text || *end || *value < least || *value > most)
		return error_set(e, "%s %s: wants a whole number from %" PRId64 " to %" PRId64,
		                 name, text, least, most);
	return 0;
}

int option_bytes(const struct options *o, const char *name, int64_t otherwise, int64_t *bytes,
                 struct error *e)
{
	static const char units[] = "KMGT";
	const char *text = option_text(o, name, NULL), *unit = NULL;
	char *end = NULL;
	*bytes = otherwise;
	if (!text)
		return 0;
	double size = strtod(text, &end);
	bool number = end != text && strspn(text, "0123456789.") == (size_t)(end - text);
	if (number && *end && (unit = strchr(units, toupper((unsigned char)*end)))) {
		size = ldexp(size, 10 * (int)(unit - units + 1));
		end++;
	}
	if (!number || *end || size < 1 || size >= 0x1p62)
		return error_set(e, "%s %s: wants a size such as 500M, 20G or 1.5T", name, text);
	*bytes = (int64_t)size;
	return 0;
}

void options_print(const struct option_row *row)
{
	for (; row->name; row++) {
		char left[64];
		snprintf(left, sizeof left, "%s%s%s%s%s", row->letter ? row->letter : "",
		         row->letter ? ", " : "", row->name, row->argument ? " " : "",
		         row->argument ? row->argument : "");
		printf("  %s%*s %s\n", left, 26 - text_columns(left), "", row->meaning);
	}
}
