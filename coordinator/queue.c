/* Ready trials as queues, one for each study and each thing that its trials ask of an agent; and
 * who comes first. */
#include "coordinator/queue.h"
#include <stdlib.h>

bool place_before(const struct place_in_line *a, const struct place_in_line *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority;
	if (a->cores * b->share != b->cores * a->share)
		return a->cores * b->share < b->cores * a->share;
	if (a->study != b->study)
		return a->study < b->study;
	if (a->reached != b->reached)
		return a->reached > b->reached;
	return a->trial < b->trial;
}

/* First trials with all that is to be known of their queues: ask and study are looked up by key. */
#define FIRST_WHERE                                                                                \
	"select t.study, t.ask, t.priority, t.reached, t.id, a.ranks, a.threads, a.memory_mb, "    \
	"a.gpus, a.minutes, a.data_digest <> '' or a.labels <> '[]', coalesce(s.share, 1), "       \
	"exists (select 1 from trial o indexed by trial_ready where o.state = 'ready' and o.held " \
	"= 0 and o.study = t.study and o.ask > t.ask) from trial t indexed by trial_ready cross "  \
	"join ask a on a.id = t.ask left join study s "                                            \
	"indexed by study_share on s.id = t.study where t.state = 'ready' and t.held = 0 and "     \
	"t.not_before_ms <= ?1 and "
#define FIRST_ORDER " order by t.study, t.ask, t.priority desc, t.reached desc, t.id limit 1"

static bool read_queue(struct sql_rows *rows, struct queue *q)
{
	if (!sql_next(rows))
		return false;
	*q = (struct queue){.study = sql_int(rows, 0),
	                    .ask = sql_int(rows, 1),
	                    .ranks = sql_int(rows, 5),
	                    .threads = sql_int(rows, 6),
	                    .memory_mb = sql_int(rows, 7),
	                    .gpus = sql_int(rows, 8),
	                    .minutes = sql_int(rows, 9),
	                    .picky = sql_int(rows, 10) != 0,
	                    .more = sql_int(rows, 12) != 0};
	q->first = (struct place_in_line){.priority = sql_int(rows, 2),
	                                  .share = sql_int(rows, 11),
	                                  .study = q->study,
	                                  .reached = sql_int(rows, 3),
	                                  .trial = sql_int(rows, 4)};
	sql_end(rows);
	return true;
}

/* The queue behind another: the index leads either query to its row. */
static bool next_queue(struct sql *db, int64_t now_ms, struct queue *q)
{
	int64_t study = q->study;

	return (q->more &&
	        read_queue(sql_query(db, FIRST_WHERE "t.study = ?2 and t.ask > ?3" FIRST_ORDER,
	                             now_ms, study, q->ask),
	                   q)) ||
	       read_queue(sql_query(db, FIRST_WHERE "t.study > ?2" FIRST_ORDER, now_ms, study), q);
}

/* What each study holds; one that is alone is not asked. */
static void read_shares(struct queues *q, struct sql *db)
{
	if (!q->count || q->list[0].study == q->list[q->count - 1].study)
		return;
	struct sql_rows *rows = sql_query(
	        db, "select t.study, sum(a.ranks * a.threads) from trial t indexed by trial_worker "
	            "join ask a on a.id = t.ask where t.state = 'leased' group by t.study");

	while (sql_next(rows))
		for (size_t i = 0; i < q->count; i++)
			if (q->list[i].study == sql_int(rows, 0))
				q->list[i].first.cores = sql_int(rows, 1);
}

void queues_load(struct queues *q, struct sql *db, int64_t now_ms)
{
	struct queue one = {.study = -1};

	*q = (struct queues){0};
	while (next_queue(db, now_ms, &one)) {
		q->list = xrealloc(q->list, (q->count + 1) * sizeof *q->list);
		q->list[q->count++] = one;
	}
	read_shares(q, db);
}

void queues_release(struct queues *q)
{
	free(q->list);
	*q = (struct queues){0};
}

void queues_begin(struct queues *q)
{
	q->round++;
}

struct queue *queues_next(struct queues *q)
{
	struct queue *best = NULL;

	for (size_t i = 0; i < q->count; i++)
		if (q->list[i].looked != q->round && q->list[i].first.trial &&
		    (!best || place_before(&q->list[i].first, &best->first)))
			best = &q->list[i];
	if (best)
		best->looked = q->round;
	return best;
}

void queues_took(struct queues *q, const struct queue *from)
{
	for (size_t i = 0; i < q->count; i++)
		if (q->list[i].study == from->study)
			q->list[i].first.cores += from->ranks * from->threads;
}

void queue_look(struct queue *q, struct sql *db, int64_t now_ms)
{
	int64_t cores = q->first.cores;
	struct queue now;

	if (!read_queue(sql_query(db, FIRST_WHERE "t.study = ?2 and t.ask = ?3" FIRST_ORDER, now_ms,
	                          q->study, q->ask),
	                &now))
		now.first = (struct place_in_line){0};
	q->first = now.first;
	q->first.cores = cores;
}

/* Those of its priority that hold less for their share than the trial's own study. */
static void explain_share(struct sql *db, int64_t trial, struct text *out)
{
	struct sql_rows *rows = sql_query(
	        db,
	        "with held as (select s.id, s.name, s.share, coalesce((select sum(a.ranks * "
	        "a.threads) from trial l join ask a on a.id = l.ask where l.state = 'leased' and "
	        "l.study = s.id), 0) as cores from study s) select mine.name, mine.cores, "
	        "mine.share, o.name, o.cores, o.share from trial t join held mine on mine.id = "
	        "t.study join held o on o.id <> mine.id and (o.cores * mine.share < mine.cores * "
	        "o.share or (o.cores * mine.share = mine.cores * o.share and o.id < mine.id)) "
	        "where t.id = ? and exists (select 1 from trial r where r.state = 'ready' and "
	        "r.held = 0 and r.study = o.id and r.priority = t.priority) order by o.cores * 1.0 "
	        "/ o.share, o.id limit 3",
	        trial);
	bool first = true;

	for (; sql_next(rows); first = false) {
		if (first)
			text_add(out,
			         "Its study %s holds %ld cores for a share of %ld; studies that "
			         "hold less for theirs go first: ",
			         sql_text(rows, 0), (long)sql_int(rows, 1), (long)sql_int(rows, 2));
		text_add(out, "%s%s (%ld for %ld)", first ? "" : ", ", sql_text(rows, 3),
		         (long)sql_int(rows, 4), (long)sql_int(rows, 5));
	}
	if (!first)
		text_add(out, ".\n");
}

void queue_explain(struct sql *db, int64_t trial, struct text *out)
{
	struct sql_rows *rows = sql_query(
	        db,
	        "select (select count(*) from trial o where o.state = 'ready' and o.held = 0 and "
	        "o.priority > t.priority), (select count(*) from trial o where o.state = 'ready' "
	        "and o.held = 0 and o.study = t.study and o.priority = t.priority and (o.reached > "
	        "t.reached or (o.reached = t.reached and o.id < t.id))) from trial t where t.id = "
	        "?",
	        trial);

	while (sql_next(rows)) {
		if (sql_int(rows, 0))
			text_add(out, "%ld trials of higher priority come before it.\n",
			         (long)sql_int(rows, 0));
		text_add(out, "%ld trials of its study come before it.\n", (long)sql_int(rows, 1));
	}
	explain_share(db, trial, out);
}
