/* Partitions of the submodels, layer by layer, and one round of splits. */
#include "core/split/partition.h"
#include "core/split/overlap.h"
#include <string.h>

struct partition partition_whole(int submodels)
{
	assert(submodels > 0 && submodels <= SUBTASKS_MAX);
	return (struct partition){.submodels = submodels};
}

uint32_t partition_members(const struct partition *p, int submodel)
{
	uint32_t members = 0;

	for (int i = 0; i < p->submodels; i++)
		if (p->part[i] == p->part[submodel])
			members |= 1u << i;
	return members;
}

int partition_count(const struct partition *p)
{
	int count = 0;

	for (int i = 0; i < p->submodels; i++)
		count += p->part[i] == i;
	return count;
}

bool partition_equal(const struct partition *a, const struct partition *b)
{
	return a->submodels == b->submodels &&
	       memcmp(a->part, b->part, (size_t)a->submodels * sizeof *a->part) == 0;
}

bool partition_refines(const struct partition *fine, const struct partition *coarse)
{
	for (int i = 0; i < fine->submodels; i++)
		if (coarse->part[i] != coarse->part[fine->part[i]])
			return false;
	return fine->submodels == coarse->submodels;
}

void partition_divide(struct partition *p, uint32_t apart)
{
	struct partition before = *p;

	for (int i = 0; i < p->submodels; i++) {
		uint32_t side = apart >> i & 1 ? apart : ~apart;
		p->part[i] = __builtin_ctz(partition_members(&before, i) & side);
	}
}

void members_print(struct text *to, uint32_t members)
{
	const char *comma = "";

	for (int i = 0; i < SUBTASKS_MAX; i++)
		if (members >> i & 1) {
			text_add(to, "%s%d", comma, i);
			comma = ",";
		}
}

void partition_print(struct text *to, const struct partition *p)
{
	for (int i = 0; i < p->submodels; i++) {
		if (p->part[i] != i)
			continue;
		text_add(to, "%s{", i ? "," : "");
		members_print(to, partition_members(p, i));
		text_add(to, "}");
	}
}

void partition_log(struct text *to, const struct partition *layer, const char *const *name,
                   int layers)
{
	struct partition above = partition_whole(layers ? layer[0].submodels : 1);
	bool first = true;

	for (int l = 0; l < layers; above = layer[l++]) {
		if (partition_equal(&layer[l], &above))
			continue;
		text_add(to, "%s%s -> ", first ? "" : "; ", name[l]);
		partition_print(to, &layer[l]);
		first = false;
	}
}

/* Whether a split of this round, at this layer or above, parts some of these from the others. */
static bool is_divided(uint32_t members, const struct branch_split *found, int count)
{
	for (int i = 0; i < count; i++)
		if ((members & found[i].apart) && (members & ~found[i].apart))
			return true;
	return false;
}

int split_find(const struct partition *layer, int layers, const double *const *overlap,
               double threshold, struct branch_split *found)
{
	int count = 0;

	for (int l = 0; l < layers; l++) {
		int submodels = layer[l].submodels;
		assert(l == 0 || partition_refines(&layer[l], &layer[l - 1]));
		for (int i = 0; overlap[l] && i < submodels; i++) {
			uint32_t members = partition_members(&layer[l], i);
			if (layer[l].part[i] != i || is_divided(members, found, count))
				continue;
			struct cut cut = overlap_cut(overlap[l], submodels, members);
			if (cut.threshold < threshold)
				found[count++] =
				        (struct branch_split){l, members, cut.apart, cut.threshold};
		}
	}
	return count;
}

void split_apply(struct partition *layer, int layers, const struct branch_split *split)
{
	for (int l = split->layer; l < layers; l++)
		partition_divide(&layer[l], split->apart);
}
