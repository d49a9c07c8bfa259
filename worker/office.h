/* What an agent has for itself: a name, folders, sockets, and the guard. */
#ifndef WORKER_OFFICE_H
#define WORKER_OFFICE_H
#include "worker/addresses.h"
#include "worker/guard.h"
#include <stdbool.h>

struct office {
	char name[33];       /* 32 random hex digits, fresh for every process */
	char *folder;        /* <work>/<name>: jobs; goes with the agent */
	char *cache;         /* <work>/cache: files by digest; stays */
	char *jobs_url;      /* ipc://… */
	char *socket_folder; /* when the work folder's name is too long for a socket */
	int lock_fd;         /* <folder>/lock is locked as long as the agent lives */
	void *zmq;
	struct addresses coordinator;
	void *jobs; /* ROUTER */
	struct guard guard;
};

/* Makes the folders, clears what agents killed before left in `work`, binds and connects. */
struct agent_options;
int office_open(struct office *o, const struct agent_options *options, struct error *e);

/* Looks after the guard; true when it had to be started again. */
bool office_mind(struct office *o);

/* Sends what is queued (a second at most); removes the folder. */
void office_close(struct office *o);
#endif
