/* Which images a folder data set has, with their classes: from names alone, nothing is decoded. */
#ifndef DATA_LISTING_H
#define DATA_LISTING_H
#include "core/data/dataset.h"

struct listing_item {
	char *name; /* in the bundle */
	int label;
	int64_t position; /* in the data set */
};

/* The images of one split, sorted by name. */
struct listing {
	struct listing_item *item; /* (count) */
	int64_t count;
	char **class_name; /* (classes), sorted */
	int classes;
};

/* Reads the names below source.  With flat, classes are the folders that differ first; else they
 * are those below a folder train, and below test, val or validation (the first of these whose
 * classes are all known from train).  A file val_annotations.txt (image, tab, class, …:
 * Tiny-ImageNet) gives the classes of the images beside it.  Labels number the classes of train by
 * name.  Positions take the first image of every class, then the second of every class, and so on:
 * any number of first images is balanced. */
int listing_read(const char *source, enum split split, bool flat, struct listing *out,
                 struct error *e);
void listing_release(struct listing *l);
const struct listing_item *listing_find(const struct listing *l, const char *name);
#endif
