/* What a trial prints for a person: progress lines, a line per epoch, the final table. */
#include "worker/trial_print.h"
#include "core/base/clock.h"
#include "core/base/text.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_SECONDS = 5 };

static void add_duration(struct text *t, double seconds)
{
	long s = lround(seconds);

	if (s >= 3600)
		text_add(t, "%ldh%02ldm", s / 3600, s / 60 % 60);
	else if (s >= 60)
		text_add(t, "%ldm%02lds", s / 60, s % 60);
	else
		text_add(t, "%lds", s);
}

void trial_print_progress(const struct progress *p)
{
	static double last;
	bool terminal = isatty(STDOUT_FILENO), rounds = !strcmp(p->phase, "hessian");
	const char *unit = p->epochs ? "step" : rounds ? "round" : "image";
	struct text t = {0};

	if (!p->steps || (!terminal && clock_seconds() - last < LINE_SECONDS))
		return;
	last = clock_seconds();
	if (p->epochs && p->epoch < p->epochs)
		text_add(&t, "epoch %lld/%lld  ", (long long)p->epoch + 1, (long long)p->epochs);
	text_add(&t, "%s", p->phase);
	text_add(&t, "  %s %lld/%lld", unit, (long long)p->step, (long long)p->steps);
	if (p->images_per_second > 0 && !rounds)
		text_add(&t, "  %.0f images/s", p->images_per_second);
	if (isfinite(p->loss))
		text_add(&t, "  loss %.4f", p->loss);
	if (isfinite(p->accuracy))
		text_add(&t, "  accuracy %.2f %%", 100 * p->accuracy);
	if (p->seconds_left > 0) {
		text_add(&t, "  left ");
		add_duration(&t, p->seconds_left);
	}
	printf(terminal ? "\r\033[K%s" : "%s\n", t.data);
	fflush(stdout);
	text_release(&t);
}

static double row_value(const struct result *r, int first, const char *name)
{
	for (int i = first; i < r->rows; i++)
		if (!strcmp(r->row[i].name, name))
			return r->row[i].value;
	return NAN;
}

void trial_print_epoch(const struct result *r, int first)
{
	const char *clear = isatty(STDOUT_FILENO) ? "\r\033[K" : "";

	if (r->row[first].epoch == 0)
		return; /* an evaluation alone: the final table says it all */
	printf("%sepoch %lld  loss %.4f  train %.2f %%  test %.2f %%  test loss %.4f  "
	       "%.0f images/s\n",
	       clear, (long long)r->row[first].epoch, row_value(r, first, "loss"),
	       100 * row_value(r, first, "train_accuracy"), 100 * row_value(r, first, "accuracy"),
	       row_value(r, first, "test_loss"), row_value(r, first, "images_per_second"));
	fflush(stdout);
}

/* Figures as a person reads them. */
static const struct {
	const char *metric;
	double factor;
	int decimals;
	const char *unit;
} figures[] = {
        {"accuracy", 100, 2, "%"},
        {"loss", 1, 4, ""},
        {"train_accuracy", 100, 2, "%"},
        {"train_loss", 1, 4, ""},
        {"epochs", 1, 0, ""},
        {"parameters", 1, 0, ""},
        {"model_bytes", 1, 0, "bytes"},
        {"bit_operations", 1e-9, 3, "billion per image"},
        {"seconds", 1, 1, "s"},
        {"images_per_second", 1, 0, "images/s"},
        {"input_wait_seconds", 1, 2, "s without images"},
        {"peak_memory_bytes", 1e-6, 0, "MB, all ranks"},
};

void trial_print_final(const struct trainer *t)
{
	const cJSON *item;

	printf("%s", isatty(STDOUT_FILENO) ? "\r\033[K" : "");
	for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
		const cJSON *value =
		        cJSON_GetObjectItemCaseSensitive(t->result.figures, figures[i].metric);
		if (cJSON_IsNumber(value))
			printf("  %-18s %14.*f %s\n", figures[i].metric, figures[i].decimals,
			       figures[i].factor * value->valuedouble, figures[i].unit);
	}
	printf("  per class:");
	cJSON_ArrayForEach (item, t->result.categories) {
		const cJSON *value = cJSON_GetObjectItemCaseSensitive(item, "value");
		bool accuracy = !strcmp(json_text(item, "metric", ""), "accuracy");
		if (accuracy && cJSON_IsNumber(value) && t->test->classes <= 20)
			printf(" %s %.1f %%", json_text(item, "name", "?"),
			       100 * value->valuedouble);
	}
	printf("%s\n", t->test->classes > 20 ? " in outcome.json" : "");
	for (int i = 0; i < t->artifacts; i++)
		printf("  %s  %s  %lld bytes, SHA-256 %.12s…\n", t->artifact[i].name,
		       t->artifact[i].path, (long long)t->artifact[i].bytes, t->artifact[i].sha256);
	fflush(stdout);
}
