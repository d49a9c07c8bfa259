/* The picture of a split model's tree. */
#include "coordinator/picture.h"
#include "coordinator/plot/branches.h"
#include "coordinator/verb.h"
#include <stdlib.h>

int picture_tree(struct picture *p, struct error *e)
{
	struct figure f;
	struct branches b;
	struct rows r;
	if (verb_query(p->d, &r, e,
	               "select node, parent, layer, members, channels, width, macs from split_node"
	               " where trial = ?1 order by node",
	               1, (const char *[]){p->id[0]}))
		return -1;
	if (!r.count) {
		rows_release(&r);
		return error_set(e,
		                 "%s has no tree: a trial with split.submodels has one, once it is "
		                 "done (`trawl help trial`)",
		                 p->label[0]);
	}
	char *title = picture_title(p, "Tree of submodels");
	branches_init(&b, &r);
	branches_plot(&f, &b, &r, title);
	int rc = picture_save(p, &f, NULL, e);
	figure_release(&f);
	branches_release(&b);
	rows_release(&r);
	free(title);
	return rc;
}
