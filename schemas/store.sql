-- trawl's database, schema 5.  Written by the coordinator only; read it while it is written.
-- Of values, one after the other is asked for: for a list SQLite makes a table at every write.
-- Times are milliseconds since 1970 (UTC).  Views for people are in views.sql.

create table coordinator(                    -- one row: who owns this file
	one integer primary key check (one = 1),
	endpoint text, url text, host text, pid integer, started_ms integer,
	turn_ms integer,                         -- when the last turn was: a gap extends all leases
	curve text,                              -- its public key; null: it asks nobody for keys
	uuid text not null,                      -- of the database; the same in its copies
	generation integer not null default 1,   -- one more in every copy (trawl backup)
	copied integer not null default 0,       -- a copy not served yet: 1 of a file at rest, 2 of one in use
	disk_low integer not null default 0,     -- too little is left for checkpoints: nothing is leased
	superseded integer,                      -- the generation of a newer copy that agents know of
	stored_bytes integer not null default 0, -- of all rows of upload
	quota_bytes integer,                     -- of those (serve --artifact-quota); null: none
	full_ms integer                          -- since when nothing new is leased for that; null: it is
) strict;

create table study(
	id integer primary key,
	name text not null unique,
	sweep text not null,                     -- the sweep as launched, defaults filled in
	digests text not null default '{}',      -- JSON: what files and data sets hashed to at launch
	state text not null default 'active' check (state = 'active' or state = 'paused' or
		state = 'cancelled'),
	pause_now integer not null default 0,    -- paused, and what ran is handed back
	created_ms integer not null,
	cursor integer not null default 0,       -- how many of the sweep's combinations were looked at
	total integer not null,                  -- how many it has
	trials integer not null default 0,       -- how many trials were made so far
	due integer not null default 1,          -- more may be made now: this turn looks
	judge integer,                           -- 1: a rung may be complete now; null: it prunes nothing
	news integer not null default 0,         -- a trial of it has ended: this turn looks whether all have
	best real,                               -- of its first objective, so far; larger is better
	share integer not null default 1         -- of the agents, beside other studies (queue.h)
) strict;
-- What a turn asks of all studies: a row is as long as its sweep, and studies stay for ever.
create index study_due on study(id) where due = 1 and cursor < total;
create index study_judge on study(id) where judge = 1;
create index study_news on study(id) where news = 1;
create index study_share on study(id, share);

create table ask(                            -- the different things that trials ask of an agent
	id integer primary key,
	ranks integer not null, threads integer not null,
	gpus integer not null, memory_mb integer not null,
	data_digest text not null,               -- only agents that have it; '': built in
	labels text not null default '[]',       -- only agents with all of these; JSON list
	minutes integer not null default 0,      -- only agents with so much time left; 0: not said
	unique (ranks, threads, gpus, memory_mb, data_digest, labels, minutes)
) strict;

create table trial(
	id integer primary key,
	identity text not null unique,           -- SHA-256 of the canonical specification
	state text not null check (state = 'waiting' or state = 'ready' or state = 'leased' or
		state = 'paused' or state = 'done' or state = 'skipped' or state = 'pruned' or
		state = 'failed' or state = 'infeasible' or state = 'cancelled'),
	attempt integer not null default 0,
	worker integer references worker(id),    -- whose lease it is, or was last
	lease_until_ms integer,
	not_before_ms integer not null default 0,  -- backoff after an error
	unsettled integer not null default 0,    -- its inputs, or it, changed: this turn looks again
	held integer not null default 0,         -- every study that wants it is paused (2: hands it back)
	ask integer not null references ask(id),
	source text,                             -- SHA-256 of the file that it starts from
	priority integer not null default 0,
	errors integer not null default 0,       -- counted against retry.limit
	losses integer not null default 0,       -- counted against the limit of losses without progress
	why text,                                -- the last error, as the user reads it
	created_ms integer not null, ready_ms integer, started_ms integer, ended_ms integer,
	reached integer not null default 0,      -- epochs after which it waited at a rung
	study integer not null default 0         -- whose share its lease counts for: the oldest active one that wants it
) strict;
create index trial_ready on trial(study, ask, priority desc, reached desc, id, not_before_ms)
	where state = 'ready' and held = 0;
create index trial_open on trial(id) where ended_ms is null;
create index trial_backoff on trial(not_before_ms) where state = 'ready' and not_before_ms > 0;
create index trial_paused on trial(id) where state = 'paused';
create index trial_lease on trial(lease_until_ms) where state = 'leased';
create index trial_worker on trial(worker, study, ask) where state = 'leased';
create index trial_unsettled on trial(id) where unsettled = 1;

create table specification(                  -- of a trial; apart from it, since trials are moved often
	trial integer primary key references trial(id),
	epochs integer not null,                 -- to its end; 0: it does not train
	checkpoints integer not null,            -- so many newest are kept
	retries integer not null,                -- so many errors end it
	spec text not null                       -- JSON, defaults filled in
) strict;

create table study_trial(                    -- which study wants which trial, under which number
	study integer not null references study(id),
	number integer not null,                 -- 0 … ; parents are negative
	trial integer not null references trial(id),
	role text not null check (role in ('trial', 'parent')),
	wanted integer not null default 1,       -- 0: cancelled or pruned by this study
	verdict text,                            -- 'pruned' when this study said so
	assignment text not null default '{}',   -- the swept fields and their values, JSON
	bracket integer not null default 0,      -- of prune.kind hyperband
	until_epoch integer,                     -- how far the study lets it train for now; null: to its end
	primary key (study, number)
) strict, without rowid;
create index study_trial_trial on study_trial(trial);
create index study_trial_assignment on study_trial(study, assignment) where role = 'trial';

create table rung(                           -- trials compared before their end (prune.kind)
	study integer not null references study(id),
	bracket integer not null,
	epoch integer not null,
	trial integer not null references trial(id),
	value real,                              -- of prune.metric there; null: not measured, or no number
	score real,                              -- the same, larger is better
	verdict text,                            -- 'promoted', 'stopped'; null: it waits
	primary key (study, bracket, epoch, trial)
) strict, without rowid;
create index rung_trial on rung(trial);
create index rung_score on rung(study, bracket, epoch, score desc, trial);
create index rung_waiting on rung(study, bracket, epoch, score desc, trial) where verdict is null;

create table study_metric(                   -- the final metrics seen in a study: columns of its view
	study integer not null references study(id),
	metric text not null,
	primary key (study, metric)
) strict, without rowid;

create table trial_input(
	trial integer not null references trial(id),
	input integer not null references trial(id),
	role text not null,
	primary key (trial, input, role)
) strict, without rowid;
create index trial_input_input on trial_input(input);

create table attempt(
	trial integer not null references trial(id),
	attempt integer not null,
	worker integer not null references worker(id),
	token_sha256 text not null,              -- the lease's token, hashed
	started_ms integer not null, ended_ms integer,
	outcome text, text text,
	log text not null default '', log_end integer not null default 0,  -- the last of it; offset behind it
	numerics text,                           -- class of the agent's machine
	from_artifact integer references artifact(id),  -- the checkpoint that it began from
	from_step integer not null default 0,
	step integer not null default 0, steps integer, epoch integer, epochs integer,
	images_per_second real, loss real, accuracy real, phase text,   -- the last beat; phase null: none yet
	primary key (trial, attempt)
) strict, without rowid;
create index attempt_worker on attempt(worker, ended_ms);
create index attempt_token on attempt(token_sha256);

create table metric(                         -- a later attempt replaces the row
	trial integer not null references trial(id),
	name text not null,
	step integer not null,
	epoch integer,
	value real,                              -- null: not a number
	attempt integer not null,
	primary key (trial, name, step)
) strict, without rowid;

create table series(                         -- metrics that are counted, to be thinned (series.h)
	trial integer not null references trial(id),
	name text not null,
	first integer not null,                  -- step of the first row
	stride integer not null,                 -- kept are steps at multiples of this behind it, and the last
	rows integer not null,
	primary key (trial, name)
) strict, without rowid;

create table result(                         -- final figures, written with 'done'
	trial integer not null references trial(id),
	metric text not null,
	value real,
	primary key (trial, metric)
) strict, without rowid;

create table category_metric(
	trial integer not null references trial(id),
	category integer not null, name text not null,
	metric text not null, value real,
	primary key (trial, category, metric)
) strict, without rowid;

create table layer_metric(
	trial integer not null references trial(id),
	layer text not null, metric text not null, value real,
	primary key (trial, layer, metric)
) strict, without rowid;

create table landscape(                      -- the loss at weights moved along directions
	trial integer not null references trial(id),
	slice text not null,                     -- 'random', 'hessian': lines; 'random_plane', 'hessian_plane'
	x real not null, y real not null,        -- along the first and the second direction; y = 0 on lines
	metric text not null, value real,
	primary key (trial, slice, metric, x, y)
) strict, without rowid;

create table ood_metric(                     -- test images told from those of other sets, by a score
	trial integer not null references trial(id),
	ood_set text not null, score text not null, metric text not null,
	value real,
	primary key (trial, ood_set, score, metric)
) strict, without rowid;

create table ood_curve(                      -- 'roc': false and true positive rates;
	trial integer not null references trial(id),  -- 'density_in', 'density_out': score, share
	ood_set text not null, score text not null, curve text not null,
	point integer not null,
	x real, y real,
	primary key (trial, ood_set, score, curve, point)
) strict, without rowid;

create table split_node(                     -- the tree of a split model, in its order
	trial integer not null references trial(id),
	node integer not null,
	parent integer,                          -- the node that it reads; null: the images
	layer text not null,                     -- its convolution; 'fc' and its like: a head
	members text not null,                   -- submodels that use it: '0,2'
	channels integer not null, width integer not null, -- left of those that the layer had
	macs real not null,                      -- multiply-accumulates for one image
	primary key (trial, node)
) strict, without rowid;

create table artifact(
	id integer primary key,
	sha256 text not null,
	trial integer not null references trial(id),
	attempt integer not null,
	name text not null,                      -- 'checkpoint', 'weights', 'quantized', 'log'
	step integer not null default 0,
	bytes integer not null,
	numerics text,
	final integer not null default 0,        -- named by 'done': never collected
	state text not null check (state = 'present' or state = 'bad' or state = 'collected'),
	created_ms integer not null,
	unique (trial, name, step, sha256)
) strict;
create index artifact_sha256 on artifact(sha256) where state = 'present';
create index artifact_spare on artifact(trial) where name = 'checkpoint' and state = 'present' and not final;

create table upload(                         -- bytes that lie in the store, named or not yet
	sha256 text primary key,
	bytes integer not null,
	stored_ms integer not null
) strict, without rowid;
create trigger upload_came after insert on upload begin
	update coordinator set stored_bytes = stored_bytes + new.bytes; end;
create trigger upload_went after delete on upload begin
	update coordinator set stored_bytes = stored_bytes - old.bytes; end;
create trigger upload_changed after update of bytes on upload begin
	update coordinator set stored_bytes = stored_bytes + new.bytes - old.bytes; end;

create table source(                         -- files that sweeps start from, copied into the store
	sha256 text primary key,
	path text not null,
	created_ms integer not null
) strict, without rowid;

create table doomed(                         -- bytes to delete, now that this is committed
	sha256 text primary key
) strict, without rowid;

create table worker(
	id integer primary key,
	agent text not null unique,              -- fresh for every agent process
	name text not null, pid integer,
	ranks integer not null, threads integer not null,
	memory_mb integer not null, gpus integer not null,
	labels text not null, data text not null, -- JSON lists; data: [{name, digest}]
	numerics text not null, version text not null,
	state text not null check (state = 'up' or state = 'draining' or state = 'quarantined' or
		state = 'left' or state = 'lost'),
	drain integer not null default 0,        -- a person drains it: what runs is handed back
	other_slots integer not null default 0,  -- taken by what we gave up, as of its last beat
	other_memory_mb integer not null default 0,
	cleared_ms integer not null default 0,   -- failures before this do not quarantine it
	first_seen_ms integer not null, seen_ms integer not null,
	key text,                                -- CURVE's public key that this name belongs to
	until_ms integer                         -- when its time is over; null: never
) strict;
create index worker_up on worker(id) where state = 'up';

create table key(                            -- who may speak to the coordinator (gate.h)
	public text primary key,                 -- CURVE's, in Z85
	role text not null check (role in ('owner', 'user', 'agent')),
	name text not null,
	created_ms integer not null, revoked_ms integer
) strict, without rowid;

create table refusal(                        -- this worker must not get this trial again before then
	trial integer not null references trial(id),
	worker integer not null references worker(id),
	until_ms integer not null,
	times integer not null default 1,        -- each wait is twice the one before
	primary key (trial, worker)
) strict, without rowid;

create table history(                        -- every move of every trial, beats excepted
	seq integer primary key,
	at_ms integer not null,
	trial integer not null references trial(id),
	attempt integer not null,
	event text not null, before text not null, after text not null,
	worker integer, why text
) strict;
create index history_trial on history(trial, seq);

create table event(                          -- what else a person may want to know
	seq integer primary key,
	at_ms integer not null,
	kind text not null,                      -- numerics_changed, quarantined, clock_gap, …
	study integer, trial integer, worker integer,
	text text not null
) strict;

create table notice(                         -- what is sent to people (trawl serve --notify)
	id integer primary key,
	at_ms integer not null,
	kind text not null,                      -- 'end', 'best', 'failures', 'full'
	study integer references study(id),
	text text not null,
	not_before_ms integer,                   -- when it is tried (again); null: given up
	sent_ms integer, tries integer not null default 0, error text
) strict;
create index notice_waiting on notice(not_before_ms) where sent_ms is null;
