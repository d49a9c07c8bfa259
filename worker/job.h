/* One trial as an MPI job: started, watched, told, ended; nothing of it is left behind.
 *
 * What is run, in the job's folder, in a process group of its own, with TRAWL_JOB=<mark> in the
 * environment of every process:
 *
 *   mpiexec.mpich -launcher fork -n R trawl-trial --ranks R --trial T --attempt A
 *       --agent ipc://SOCKET --folder DIR [--resume FILE] [--input ROLE=FILE]… [--data ROOTS]
 *       DIR/trial.json
 *
 * What the program owes its agent: every rank sets PR_SET_PDEATHSIG to SIGKILL before anything
 * else; rank 0 connects a DEALER to SOCKET and sends JOB_HELLO, then the other JOB_* messages;
 * checkpoints and artifacts are written below DIR, fsynced and renamed before they are named, and
 * belong to the agent from then on (it removes them); the last thing written is DIR/outcome.json,
 * fsynced and renamed: {"kind": "job_done" | "job_ended", "body": {the message's body}}, before the
 * same message is sent.  JOB_ORDER comes back: stop (end without a checkpoint: outcome stopped),
 * yield (checkpoint, then outcome yield), checkpoint.  The exit status means nothing. */
#ifndef WORKER_JOB_H
#define WORKER_JOB_H
#endif
