/* Finds the images of a split, their classes and their order. */
#include "core/data/listing.h"
#include "core/base/text.h"
#include "core/data/bundle.h"
#include <assert.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

static const char *const EXTENSIONS[] = {".jpg", ".jpeg", ".png"};
static const char ANNOTATIONS[] = "val_annotations.txt";

/* The folders that may hold each split, best first. */
enum { PLACE_TRAIN, PLACE_TEST, PLACE_VAL, PLACE_VALIDATION, PLACE_NONE };
static const char *const PLACES[] = {"train", "test", "val", "validation"};

struct candidate {
	char *name;
	int place;
	char *class_name;
};

struct survey {
	struct candidate *candidate;
	int64_t count, capacity;
	void *annotations; /* tree (tsearch) of "image\0class" */
	char *annotated;   /* the folder of the annotations file, with its '/' */
};

static bool is_image(const char *name)
{
	const char *dot = strrchr(bundle_base_name(name), '.');

	for (size_t i = 0; dot && i < sizeof EXTENSIONS / sizeof *EXTENSIONS; i++)
		if (strcasecmp(dot, EXTENSIONS[i]) == 0)
			return true;
	return false;
}

/* The first folder of the path that is a place; *rest is what follows it. */
static int place_of(const char *name, const char **rest)
{
	for (const char *slash; (slash = strchr(name, '/')); name = slash + 1)
		for (int p = 0; p < PLACE_NONE; p++)
			if (strlen(PLACES[p]) == (size_t)(slash - name) &&
			    strncmp(name, PLACES[p], (size_t)(slash - name)) == 0) {
				*rest = slash + 1;
				return p;
			}
	return PLACE_NONE;
}

static char *first_folder(const char *path)
{
	const char *slash = strchr(path, '/');

	return slash ? xformat("%.*s", (int)(slash - path), path) : NULL;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Lines "image<tab>class<tab>…" become keys "image" that are followed by their class. */
static int read_annotations(struct survey *s, struct bundle_file *file, struct error *e)
{
	size_t bytes;
	char *text = bundle_read(file, 1 << 24, &bytes, e);

	if (!text)
		return -1;
	text = xrealloc(text, bytes + 1);
	text[bytes] = 0;
	for (char *rest = text, *line; (line = strsep(&rest, "\r\n"));) {
		char *image = strsep(&line, "\t"), *class_name = line ? strsep(&line, "\t") : NULL;
		if (!class_name)
			continue;
		struct text key = {0};
		text_add_bytes(&key, image, strlen(image) + 1);
		text_add(&key, "%s", class_name);
		char *pair = text_take(&key);
		if (*(char **)tsearch(pair, &s->annotations, by_text) != pair)
			free(pair); /* there already */
	}
	free(text);
	free(s->annotated);
	s->annotated =
	        xformat("%.*s", (int)(bundle_base_name(file->name) - file->name), file->name);
	return 0;
}

static int visit(void *context, struct bundle_file *file, struct error *e)
{
	struct survey *s = context;
	const char *rest = NULL;

	if (strcmp(bundle_base_name(file->name), ANNOTATIONS) == 0)
		return read_annotations(s, file, e);
	if (!is_image(file->name))
		return 0;
	if (s->count == s->capacity) {
		s->capacity = s->capacity ? 2 * s->capacity : 1024;
		s->candidate = xrealloc(s->candidate, (size_t)s->capacity * sizeof *s->candidate);
	}
	int place = place_of(file->name, &rest);
	s->candidate[s->count++] =
	        (struct candidate){xstrdup(file->name), place, rest ? first_folder(rest) : NULL};
	return 0;
}

static void survey_release(struct survey *s)
{
	for (int64_t i = 0; i < s->count; i++) {
		free(s->candidate[i].name);
		free(s->candidate[i].class_name);
	}
	free(s->candidate);
	free(s->annotated);
	tdestroy(s->annotations, free);
}

static bool beside_annotations(const struct survey *s, const struct candidate *c)
{
	return s->annotated && strncmp(c->name, s->annotated, strlen(s->annotated)) == 0;
}

static void annotate(struct survey *s)
{
	for (int64_t i = 0; i < s->count; i++) {
		struct candidate *candidate = &s->candidate[i];
		if (!beside_annotations(s, candidate))
			continue;
		char **pair = tfind(bundle_base_name(candidate->name), &s->annotations, by_text);
		if (!pair)
			continue;
		free(candidate->class_name);
		candidate->class_name = xstrdup(*pair + strlen(*pair) + 1);
	}
}

/* Flat: the folders that all names begin with are left off; the next one is the class. */
static void classify_flat(struct survey *s)
{
	size_t skip = 0;

	for (bool shared = s->count > 0; shared;) {
		const char *first = s->candidate[0].name + skip, *slash = strchr(first, '/');
		size_t length = slash ? (size_t)(slash - first) + 1 : 0;
		shared = length > 0;
		for (int64_t i = 0; shared && i < s->count; i++)
			shared = strncmp(s->candidate[i].name + skip, first, length) == 0 &&
			         strchr(s->candidate[i].name + skip + length, '/');
		skip += shared ? length : 0;
	}
	for (int64_t i = 0; i < s->count; i++) {
		free(s->candidate[i].class_name);
		s->candidate[i].class_name = first_folder(s->candidate[i].name + skip);
		s->candidate[i].place = PLACE_NONE;
	}
}

static int by_pointed_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The distinct class names of a place, sorted; the listing owns copies. */
static void list_classes(const struct survey *s, int place, struct listing *out)
{
	const char **all = xcalloc((size_t)s->count, sizeof *all);
	size_t n = 0;

	for (int64_t i = 0; i < s->count; i++)
		if (s->candidate[i].place == place && s->candidate[i].class_name)
			all[n++] = s->candidate[i].class_name;
	qsort(all, n, sizeof *all, by_pointed_text);
	out->class_name = xcalloc(n, sizeof *out->class_name);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || strcmp(all[i], all[i - 1]) != 0)
			out->class_name[out->classes++] = xstrdup(all[i]);
	free(all);
}

static int label_of(const struct listing *l, const char *class_name)
{
	char **found = class_name ? bsearch(&class_name, l->class_name, (size_t)l->classes,
	                                    sizeof *l->class_name, by_pointed_text)
	                          : NULL;

	return found ? (int)(found - l->class_name) : -1;
}

/* How many images a place has; *stranger is one whose class is not known, or null. */
static int64_t examine(const struct survey *s, int place, const struct listing *l,
                       const struct candidate **stranger)
{
	int64_t count = 0;

	*stranger = NULL;
	for (int64_t i = 0; i < s->count; i++) {
		if (s->candidate[i].place != place)
			continue;
		count++;
		if (label_of(l, s->candidate[i].class_name) < 0)
			*stranger = *stranger ? *stranger : &s->candidate[i];
	}
	return count;
}

static int fail_stranger(const char *source, const struct candidate *candidate,
                         const struct listing *l, struct error *e)
{
	if (!candidate->class_name)
		return error_set(e, "%s: %s lies in no class folder", source, candidate->name);
	return error_set(e, "%s: %s is of class %s, which is not among the %d classes of train/",
	                 source, candidate->name, candidate->class_name, l->classes);
}

static int fail_empty(const char *source, enum split split, const struct survey *s, struct error *e)
{
	struct text found = {0};

	for (int64_t i = 0; i < s->count && i < 3; i++)
		text_add(&found, "%s%s", i ? ", " : "", s->candidate[i].name);
	error_set(e, "%s: no images %s<class>/*.jpg, *.jpeg or *.png; %s%s%s", source,
	          split == SPLIT_TRAIN ? "train/" : "test/ or val/",
	          s->count ? "found " : "found no images at all", s->count ? found.data : "",
	          s->count > 3 ? ", …" : "");
	text_release(&found);
	return -1;
}

/* The place that holds the split: the first with images whose classes are all known. */
static int choose_place(const char *source, enum split split, const struct survey *s,
                        const struct listing *l, struct error *e)
{
	int first = split == SPLIT_TRAIN ? PLACE_TRAIN : PLACE_TEST;
	int last = split == SPLIT_TRAIN ? PLACE_TRAIN : PLACE_VALIDATION;
	const struct candidate *stranger, *culprit = NULL;

	for (int place = first; place <= last; place++) {
		if (examine(s, place, l, &stranger) > 0 && !stranger)
			return place;
		if (!culprit || (stranger && beside_annotations(s, stranger)))
			culprit = stranger;
	}
	return culprit ? fail_stranger(source, culprit, l, e) : fail_empty(source, split, s, e);
}

static int by_item_name(const void *a, const void *b)
{
	return strcmp(((const struct listing_item *)a)->name,
	              ((const struct listing_item *)b)->name);
}

/* Round robin: position = images in all earlier rounds + classes before this one in its round. */
static void assign_positions(struct listing *l)
{
	int64_t *size = xcalloc((size_t)l->classes, sizeof *size), next = 0;
	struct listing_item **by_class = xcalloc((size_t)l->count, sizeof *by_class);
	int64_t *start = xcalloc((size_t)l->classes + 1, sizeof *start);

	for (int64_t i = 0; i < l->count; i++)
		start[l->item[i].label + 1]++;
	for (int c = 0; c < l->classes; c++)
		start[c + 1] += start[c];
	for (int64_t i = 0; i < l->count; i++) {
		int c = l->item[i].label;
		by_class[start[c] + size[c]++] = &l->item[i];
	}
	for (int64_t round = 0; next < l->count; round++)
		for (int c = 0; c < l->classes; c++)
			if (round < size[c])
				by_class[start[c] + round]->position = next++;
	free(size);
	free(by_class);
	free(start);
}

static int take_items(const char *source, const struct survey *s, int place, struct listing *out,
                      struct error *e)
{
	out->item = xcalloc((size_t)s->count, sizeof *out->item);
	for (int64_t i = 0; i < s->count; i++)
		if (s->candidate[i].place == place)
			out->item[out->count++] =
			        (struct listing_item){xstrdup(s->candidate[i].name),
			                              label_of(out, s->candidate[i].class_name), 0};
	qsort(out->item, (size_t)out->count, sizeof *out->item, by_item_name);
	for (int64_t i = 1; i < out->count; i++)
		if (strcmp(out->item[i].name, out->item[i - 1].name) == 0)
			return error_set(e, "%s: %s is there twice", source, out->item[i].name);
	assign_positions(out);
	return 0;
}

static int select_split(const char *source, enum split split, bool flat, struct survey *s,
                        struct listing *out, struct error *e)
{
	const struct candidate *stranger;
	int place = PLACE_NONE;

	if (flat)
		classify_flat(s);
	else
		annotate(s);
	for (int p = flat ? PLACE_NONE : PLACE_TRAIN; p <= PLACE_NONE && !out->classes; p++) {
		free(out->class_name);
		list_classes(s, p, out);
	}
	if (!flat)
		place = choose_place(source, split, s, out, e);
	else if (examine(s, place, out, &stranger) == 0)
		place = fail_empty(source, split, s, e);
	else if (stranger)
		place = fail_stranger(source, stranger, out, e);
	return place < 0 ? -1 : take_items(source, s, place, out, e);
}

int listing_read(const char *source, enum split split, bool flat, struct listing *out,
                 struct error *e)
{
	struct survey s = {0};

	*out = (struct listing){0};
	int status = bundle_each(source, visit, &s, e);
	if (status == 0)
		status = select_split(source, split, flat, &s, out, e);
	survey_release(&s);
	if (status != 0)
		listing_release(out);
	return status;
}

void listing_release(struct listing *l)
{
	for (int64_t i = 0; i < l->count; i++)
		free(l->item[i].name);
	for (int c = 0; c < l->classes; c++)
		free(l->class_name[c]);
	free(l->item);
	free(l->class_name);
	*l = (struct listing){0};
}

const struct listing_item *listing_find(const struct listing *l, const char *name)
{
	struct listing_item key = {.name = (char *)name};

	return bsearch(&key, l->item, (size_t)l->count, sizeof *l->item, by_item_name);
}
