/* Verbs that wait and look: watch and wait. */
#include "coordinator/watch.h"
#include "coordinator/verb.h"
#include "core/base/clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { DRAW_MS = 500, PLAIN_MS = 1000, WAIT_MS = 300, WIDTH = 100, HEIGHT = 40, YEAR = 31536000 };

static void pause_ms(int64_t ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&t, NULL); /* a signal ends it early, which is meant */
}

static void terminal_size(int *width, int *height)
{
	struct winsize size;
	*width = WIDTH, *height = HEIGHT;
	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col && size.ws_row)
		*width = size.ws_col, *height = size.ws_row;
	if (*width > 140)
		*width = 140;
}

static int lines_in(const struct text *t)
{
	int n = 0;
	for (size_t i = 0; i < t->length; i++)
		n += t->data[i] == '\n';
	return n;
}

/* Draws over what was drawn last: cursor up, each line cleared to its end, the rest below too. */
static void redraw(const struct screen *v, int *drawn)
{
	struct text picture = {0};
	int width, height;
	terminal_size(&width, &height);
	screen_draw(v, width, height - 1, true, &picture);
	if (*drawn)
		printf("\033[%dA", *drawn);
	for (size_t i = 0; i < picture.length; i++) {
		if (picture.data[i] == '\n')
			fputs("\033[K", stdout);
		putchar(picture.data[i]);
	}
	fputs("\033[J", stdout);
	fflush(stdout);
	*drawn = lines_in(&picture);
	text_release(&picture);
}

static void print_changes(const struct screen *v, const struct screen *before)
{
	struct text lines = {0};
	screen_changes(v, before, &lines);
	if (lines.length)
		fputs(lines.data, stdout);
	fflush(stdout);
	text_release(&lines);
}

int watch_until(struct database *d, const char *study, bool plain, watch_stop_fn *stop,
                void *context, struct error *e)
{
	struct screen before = {0}, now;
	int drawn = 0, rc = 0;
	bool ended = false;
	for (;;) {
		if (screen_read(&now, d, study, clock_wall_ms(), e)) {
			screen_release(&now);
			rc = -1;
			break;
		}
		if (plain)
			print_changes(&now, &before);
		else
			redraw(&now, &drawn);
		ended = screen_ended(&now);
		screen_release(&before);
		before = now;
		if (ended || stop(context))
			break;
		pause_ms(plain ? PLAIN_MS : DRAW_MS);
	}
	screen_release(&before);
	return rc ? rc : !ended;
}

static bool once(void *given)
{
	return *(bool *)given;
}

/* The snapshot behind the picture. */
static int print_json(struct database *d, const char *study, struct error *e)
{
	struct screen v;
	if (screen_read(&v, d, study, clock_wall_ms(), e)) {
		screen_release(&v);
		return -1;
	}
	const struct {
		const char *key;
		const struct rows *rows;
	} part[] = {{"studies", &v.study}, {"trials", &v.trial}, {"workers", &v.worker}};
	cJSON *json = cJSON_CreateObject();
	for (int i = 0; i < 3; i++) {
		struct text t = {0};
		rows_format(part[i].rows, ROWS_JSON, false, &t);
		cJSON_AddItemToObject(json, part[i].key, cJSON_Parse(t.data));
		text_release(&t);
	}
	screen_release(&v);
	return verb_print_json(json);
}

int verb_watch(const struct options *o, struct error *e)
{
	struct database *d = verb_database(o, e);
	char *study = NULL;
	bool plain = option_given(o, "--plain") || !isatty(STDOUT_FILENO);
	bool only_once = option_given(o, "--once");
	int rc = -1;
	if (!d || (o->words && !(study = verb_find_study(d, o, e))))
		goto out;
	if (option_given(o, "--json")) {
		rc = print_json(d, study, e);
	} else if (only_once && plain) {
		struct text picture = {0};
		struct screen v;
		rc = screen_read(&v, d, study, clock_wall_ms(), e);
		if (!rc)
			screen_draw(&v, WIDTH, 10000, false, &picture);
		if (picture.length)
			fputs(picture.data, stdout);
		text_release(&picture);
		screen_release(&v);
	} else {
		rc = watch_until(d, study, plain, once, &only_once, e) < 0 ? -1 : 0;
	}
out:
	free(study);
	database_close(d);
	return rc;
}

static void print_counts(const struct screen *v, const char *study)
{
	static const char *const count[] = {"total", "done", "running", "waiting", "failed"};
	cJSON *json = cJSON_CreateObject();
	cJSON_AddStringToObject(json, "study", study);
	for (size_t i = 0; i < sizeof count / sizeof *count; i++)
		cJSON_AddNumberToObject(json, count[i], (double)screen_count(v, count[i]));
	verb_print_json(json);
}

int verb_wait(const struct options *o, struct error *e)
{
	struct database *d = verb_database(o, e);
	char *study = d ? verb_find_study(d, o, e) : NULL;
	int64_t timeout, start = clock_monotonic_ms();
	int rc = -1;
	if (!study || option_int(o, "--timeout", 0, YEAR, 0, &timeout, e))
		goto out;
	for (;;) {
		struct screen v;
		rc = screen_read(&v, d, study, clock_wall_ms(), e);
		bool ended = !rc && screen_ended(&v);
		if (ended && option_given(o, "--json"))
			print_counts(&v, study);
		if (ended)
			rc = screen_verdict(&v, study, e);
		screen_release(&v);
		if (rc || ended)
			break;
		if (timeout && clock_monotonic_ms() - start > 1000 * timeout) {
			rc = error_set(e, "%s has not ended after %lld s", study,
			               (long long)timeout);
			break;
		}
		pause_ms(WAIT_MS);
	}
out:
	free(study);
	database_close(d);
	return rc;
}
