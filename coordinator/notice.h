/* What people want to hear of without looking: a study has ended, a new best, many failures, a full
 * artifact store.
 *
 * Notices are rows of table `notice`, written in the turn that they are about, so that no restart
 * loses one; a thread (notify.h) sends them, and says in a message how that went. */
#ifndef COORDINATOR_NOTICE_H
#define COORDINATOR_NOTICE_H
#include "coordinator/turn.h"

/* The trial is done: whether it is the best of its studies, by their first objective. */
void notice_done(struct turn *t, int64_t trial);

/* The trial has failed: whether its studies have a burst of those, three within ten minutes. */
void notice_failed(struct turn *t, int64_t trial);

/* The artifact store is full; the text says so. */
void notice_full(struct turn *t, const char *text);

/* Studies of which nothing is left to do; looks at those only in which something has ended. */
void notice_settle(struct turn *t);

/* WIRE_NOTICED: {notice, ok, text}: it was sent, or is to be tried again, after 5 s at first, an
 * hour at most; after 30 tries no more. */
turn_handler on_noticed;
#endif
