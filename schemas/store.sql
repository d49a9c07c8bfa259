-- trawl's database, schema 1.  Written by the coordinator only; read it while it is written.
-- Times are milliseconds since 1970 (UTC).  Views for people are in views.sql.

create table coordinator(                    -- one row: who owns this file
	one integer primary key check (one = 1),
	endpoint text, url text, host text, pid integer, started_ms integer, turn_ms integer
) strict;

create table study(
	id integer primary key,
	name text not null unique,
	sweep text not null,                     -- the sweep as launched, canonical JSON
	state text not null default 'active' check (state in ('active', 'paused', 'cancelled')),
	priority integer not null default 0,
	created_ms integer not null,
	trials integer not null default 0,       -- how many trials were made so far
	total integer                            -- how many the sweep makes in all
) strict;

create table trial(
	id integer primary key,
	identity text not null unique,           -- SHA-256 of the canonical specification
	spec text not null,                      -- JSON, defaults filled in
	state text not null check (state in ('waiting', 'ready', 'leased', 'paused', 'done', 'skipped',
		'pruned', 'failed', 'infeasible', 'cancelled')),
	attempt integer not null default 0,
	worker integer references worker(id),    -- whose lease it is
	lease_until_ms integer,
	not_before_ms integer not null default 0,  -- backoff after an error
	ready_seq integer,                       -- order among the ready
	priority integer not null default 0,
	ranks integer not null default 1, threads integer not null default 1,
	gpus integer not null default 0, memory_mb integer not null default 0,
	data_digest text,                        -- only agents that have it; null: built in
	errors integer not null default 0,       -- counted against retry.limit
	losses integer not null default 0,       -- counted against lost.limit
	why text,                                -- the last error, as the user reads it
	created_ms integer not null, ready_ms integer, started_ms integer, ended_ms integer
) strict;
create index trial_ready on trial(ranks, gpus, memory_mb, priority desc, ready_seq) where state = 'ready';
create index trial_lease on trial(lease_until_ms) where state = 'leased';
create index trial_worker on trial(worker) where state = 'leased';
create index trial_waiting on trial(id) where state = 'waiting';

create table study_trial(                    -- which study wants which trial, under which number
	study integer not null references study(id),
	number integer not null,                 -- 0 … ; parents are negative
	trial integer not null references trial(id),
	role text not null check (role in ('trial', 'parent')),
	wanted integer not null default 1,       -- 0: cancelled or pruned by this study
	verdict text,                            -- 'pruned' when this study said so
	assignment text not null default '{}',   -- the swept fields and their values, JSON
	primary key (study, number)
) strict, without rowid;
create index study_trial_trial on study_trial(trial);

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
	outcome text, text text, log text,
	numerics text,
	from_step integer not null default 0,    -- the checkpoint step that it began from
	step integer not null default 0, steps integer, epoch integer, epochs integer,
	images_per_second real, loss real, accuracy real, phase text,   -- the last beat
	primary key (trial, attempt)
) strict, without rowid;

create table metric(                         -- a later attempt replaces the row
	trial integer not null references trial(id),
	name text not null,
	step integer not null,
	epoch integer,
	value real,                              -- null: not a number
	attempt integer not null,
	primary key (trial, name, step)
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

create table artifact(
	id integer primary key,
	sha256 text not null,
	trial integer not null references trial(id),
	attempt integer not null,
	name text not null,                      -- 'checkpoint', 'weights', 'quantized', 'log'
	step integer not null default 0,
	bytes integer not null,
	numerics text,
	state text not null check (state in ('present', 'bad', 'collected')),
	created_ms integer not null,
	unique (trial, name, step, sha256)
) strict;
create index artifact_sha256 on artifact(sha256);

create table upload(                         -- bytes that lie in the store, named or not yet
	sha256 text primary key,
	bytes integer not null,
	stored_ms integer not null
) strict, without rowid;

create table worker(
	id integer primary key,
	agent text not null unique,              -- fresh for every agent process
	name text not null, pid integer,
	ranks integer, threads integer, memory_mb integer, gpus integer,
	labels text, data text, numerics text, version text,
	state text not null check (state in ('up', 'draining', 'quarantined', 'left', 'lost')),
	free_ranks integer, free_memory_mb integer,
	fast_failures integer not null default 0,
	first_seen_ms integer not null, seen_ms integer not null
) strict;

create table refusal(                        -- this worker must not get this trial again
	trial integer not null references trial(id),
	worker integer not null references worker(id),
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
