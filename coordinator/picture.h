/* Pictures of what trials measured: `trawl plot KIND TRIAL …`. */
#ifndef COORDINATOR_PICTURE_H
#define COORDINATOR_PICTURE_H
#include "coordinator/database.h"
#include "coordinator/options.h"
#include "coordinator/plot/figure.h"

enum { PICTURE_TRIALS = 8 };

/* What is to be drawn of which trials. */
struct picture {
	const struct options *o;
	struct database *d;
	const char *kind; /* "landscape" */
	char id[PICTURE_TRIALS][24];
	char *label[PICTURE_TRIALS]; /* "trial 17: lambda=0.1": what it has that the others have not
	                              */
	int trials;
	char *ids;    /* "[17,23]", for json_each */
	cJSON *files; /* those written */
};

/* Writes a figure to --output, or as SVG and PNG here, named after kind, trials and part (null:
 * none). */
int picture_save(struct picture *p, const struct figure *f, const char *part, struct error *e);

/* "<what> of trial 17 (bits-c10/3)"; the caller's to free. */
char *picture_title(struct picture *p, const char *what);

/* The kinds: each draws all of the trials and saves what it drew. */
int picture_landscapes(struct picture *p, struct error *e); /* the first slice alone to --output */
int picture_tree(struct picture *p, struct error *e);       /* of one trial */
int picture_roc(struct picture *p, struct error *e);
int picture_scores(struct picture *p, struct error *e); /* of one trial */
#endif
