/* Tiny-ImageNet as Stanford packs it: wnids.txt, words.txt, train/<wnid>/images/, val/images/ with
 * their classes in val/val_annotations.txt.
 *
 * Labels number the WordNet identifiers in order, as torchvision's ImageFolder does; the names of
 * classes are the first words of words.txt.  Its test images have no labels: the test split is val.
 */
#include "core/base/text.h"
#include "core/data/bundle.h"
#include "core/data/listing.h"
#include "core/data/reader.h"
#include <stdlib.h>
#include <string.h>

enum { WNIDS, WORDS, ANNOTATIONS, TEXTS, LIMIT_BYTES = 1 << 24 };
static const char *const text_names[TEXTS] = {"wnids.txt", "words.txt", "val_annotations.txt"};

/* The text files beside the images; null while not seen. */
struct texts {
	char *text[TEXTS];
};

static int visit(void *context, struct bundle_file *file, struct error *e)
{
	struct texts *t = context;
	const char *base = bundle_base_name(file->name);
	size_t bytes;

	for (int i = 0; i < TEXTS; i++) {
		if (strcmp(base, text_names[i]) != 0)
			continue;
		char *read = bundle_read(file, LIMIT_BYTES, &bytes, e);
		if (!read)
			return -1;
		free(t->text[i]);
		t->text[i] = xformat("%.*s", (int)bytes, read);
		free(read);
	}
	return 0;
}

static int read_texts(const char *source, struct texts *t, struct error *e)
{
	int status = bundle_each(source, visit, t, e);

	for (int i = 0; i < TEXTS && status == 0; i++)
		if (!t->text[i])
			status = error_set(e, "%s: no %s: not Tiny-ImageNet as it is distributed",
			                   source, text_names[i]);
	return status;
}

/* Whether the text has a line that begins with the word; *rest is what follows it and a tab. */
static bool has_line(const char *text, const char *word, const char **rest)
{
	size_t length = strlen(word);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, word, length) == 0 && strchr("\t\r\n", line[length])) {
			*rest = line + length + (line[length] == '\t');
			return true;
		}
	}
	return false;
}

static int check_classes(const char *source, const struct texts *t, const struct listing *l,
                         struct error *e)
{
	const char *rest;
	int named = 0;

	for (int i = 0; i < l->classes; i++)
		if (!has_line(t->text[WNIDS], l->class_name[i], &rest))
			return error_set(e, "%s: train/%s is no class of wnids.txt", source,
			                 l->class_name[i]);
	for (const char *at = t->text[WNIDS]; *(at += strspn(at, "\r\n")); named++)
		at += strcspn(at, "\r\n");
	if (named != l->classes)
		return error_set(e, "%s: wnids.txt names %d classes, train/ has images of %d",
		                 source, named, l->classes);
	return 0;
}

/* "Egyptian cat"; the identifier where words.txt says nothing. */
static char *first_words(const char *words, const char *wnid)
{
	const char *rest;

	if (!has_line(words, wnid, &rest) || !strcspn(rest, ",\r\n"))
		return xstrdup(wnid);
	return xformat("%.*s", (int)strcspn(rest, ",\r\n"), rest);
}

/* Names by class; two classes of the same words (a crane, a crane) get their identifiers too. */
static char **class_names(const char *words, const struct listing *l)
{
	char **name = xcalloc((size_t)l->classes, sizeof *name);
	bool *shared = xcalloc((size_t)l->classes, sizeof *shared);

	for (int i = 0; i < l->classes; i++)
		name[i] = first_words(words, l->class_name[i]);
	for (int i = 0; i < l->classes; i++)
		for (int k = 0; k < l->classes; k++)
			shared[i] |= k != i && strcmp(name[i], name[k]) == 0;
	for (int i = 0; i < l->classes; i++) {
		if (!shared[i])
			continue;
		char *words_alone = name[i];
		name[i] = xformat("%s (%s)", words_alone, l->class_name[i]);
		free(words_alone);
	}
	free(shared);
	return name;
}

static int size_of(const struct dataset_request *request)
{
	return request->image_size_px ? request->image_size_px : TINY_IMAGENET_SIZE_PX;
}

static int fill_listed(const struct dataset_request *r, const struct texts *t,
                       const struct listing *l, struct cache_draft *draft, struct error *e)
{
	if (check_classes(r->source, t, l, e) != 0)
		return -1;
	char **name = class_names(t->text[WORDS], l);
	int status = folder_decode(r->source, l, (const char *const *)name, size_of(r), draft, e);

	for (int i = 0; i < l->classes; i++)
		free(name[i]);
	free(name);
	return status;
}

static int fill(const struct dataset_kind *kind, const struct dataset_request *request,
                struct cache_draft *draft, struct error *e)
{
	struct texts t = {{NULL}};
	struct listing listing = {0};
	int status = read_texts(request->source, &t, e);

	(void)kind;
	if (status == 0)
		status = listing_read(request->source, request->split, false, &listing, e);
	if (status == 0)
		status = fill_listed(request, &t, &listing, draft, e);
	listing_release(&listing);
	for (int i = 0; i < TEXTS; i++)
		free(t.text[i]);
	return status;
}

static char *variant(const struct dataset_request *request)
{
	return xformat("%d px", size_of(request));
}

const struct reader tiny_imagenet_reader = {1, fill, variant};
