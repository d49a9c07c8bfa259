/* Building the one line that says what failed. */
#include "core/base/error.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *e, const char *format, ...)
{
	va_list arguments;

	if (!e)
		return -1;
	va_start(arguments, format);
	vsnprintf(e->text, sizeof e->text, format, arguments);
	va_end(arguments);
	return -1;
}

int error_errno(struct error *e, const char *format, ...)
{
	int number = errno;
	va_list arguments;

	if (!e)
		return -1;
	va_start(arguments, format);
	vsnprintf(e->text, sizeof e->text, format, arguments);
	va_end(arguments);
	size_t used = strlen(e->text);
	snprintf(e->text + used, sizeof e->text - used, ": %s", strerror(number));
	return -1;
}

int error_prefix(struct error *e, const char *format, ...)
{
	char before[ERROR_TEXT_BYTES];
	va_list arguments;

	if (!e)
		return -1;
	memcpy(before, e->text, sizeof before);
	va_start(arguments, format);
	vsnprintf(e->text, sizeof e->text, format, arguments);
	va_end(arguments);
	size_t used = strlen(e->text);
	snprintf(e->text + used, sizeof e->text - used, ": %s", before);
	return -1;
}

int error_append(struct error *e, const char *format, ...)
{
	va_list arguments;

	if (!e)
		return -1;
	size_t used = strlen(e->text);
	if (used && used + 1 < sizeof e->text)
		e->text[used++] = '\n';
	va_start(arguments, format);
	vsnprintf(e->text + used, sizeof e->text - used, format, arguments);
	va_end(arguments);
	return -1;
}
