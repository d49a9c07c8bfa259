/* Log lines to stderr: time, level, program, message. */
#ifndef BASE_LOG_H
#define BASE_LOG_H
void log_open(const char *program); /* the name that lines carry; default "trawl" */
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
#endif
