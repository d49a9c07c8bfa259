/* Log lines: one write each, so that lines of several processes do not mix. */
#include "core/base/log.h"
#include "core/base/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const char *log_program = "trawl";

void log_open(const char *program)
{
	log_program = program;
}

static void log_line(const char *level, const char *format, va_list arguments)
{
	char message[4096], when[32];
	struct timespec now;
	struct tm local;
	struct text line = {0};

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &local);
	strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &local);
	vsnprintf(message, sizeof message, format, arguments);
	text_add(&line, "%s.%03ld %s %s: %s\n", when, now.tv_nsec / 1000000, level, log_program,
	         message);
	fflush(stderr);
	ssize_t ignored = write(STDERR_FILENO, line.data, line.length);
	(void)ignored;
	text_release(&line);
}

void log_info(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_line("info", format, arguments);
	va_end(arguments);
}

void log_warn(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_line("warn", format, arguments);
	va_end(arguments);
}
