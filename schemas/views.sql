-- Views for people and notebooks; plain SQL, so they work in any SQLite of version 3.38 or newer.
-- Made anew whenever a coordinator opens the database.  study_<name> is made per study.

-- One row per trial and final metric; a trial without a result has one row with null metric.
create view trial_result as
	select s.name as study, t.id as trial, t.state, t.attempt as attempts, r.metric, r.value
	from study_trial st join study s on s.id = st.study join trial t on t.id = st.trial
	left join result r on r.trial = t.id
	where st.role = 'trial';

-- What each study optimises: rank 0 first.
create view objective as
	select s.id as study_id, s.name as study, o.key as rank, o.value ->> '$.metric' as metric,
		o.value ->> '$.goal' as goal
	from study s, json_each(s.sweep, '$.objective') o;

-- Finished trials by their study's first objective; rank 1 is the best.
create view best as
	select o.study, rank() over (partition by o.study_id
			order by iif(o.goal = 'min', r.value, -r.value)) as rank,
		t.id as trial, o.metric, r.value, st.assignment
	from objective o join study_trial st on st.study = o.study_id and st.role = 'trial'
	join trial t on t.id = st.trial and t.state = 'done'
	join result r on r.trial = t.id and r.metric = o.metric
	where o.rank = 0 and r.value is not null;

-- Finished trials that no other of their study beats: better in one objective, worse in none.
create view pareto as
	select s.name as study, st.trial, st.assignment
	from study s join study_trial st on st.study = s.id and st.role = 'trial'
	join trial t on t.id = st.trial and t.state = 'done'
	where not exists (
		select 1 from study_trial other join trial ot on ot.id = other.trial and ot.state = 'done'
		where other.study = s.id and other.role = 'trial' and other.trial <> st.trial and (
			select min(iif(o.goal = 'min', x.value <= y.value, x.value >= y.value)) = 1 and
				max(iif(o.goal = 'min', x.value < y.value, x.value > y.value)) = 1 and
				count(*) = (select count(*) from objective c where c.study_id = s.id)
			from objective o join result x on x.trial = other.trial and x.metric = o.metric
			join result y on y.trial = st.trial and y.metric = o.metric
			where o.study_id = s.id));

-- How far each study is; trials that only come first (parents) are counted apart.
create view progress as
	select s.name as study, s.state, s.total,
		sum(st.role = 'trial') as trials,
		sum(st.role = 'trial' and t.state = 'done') as done,
		sum(st.role = 'trial' and t.state = 'leased') as running,
		sum(st.role = 'trial' and t.state = 'ready') as ready,
		sum(st.role = 'trial' and t.state in ('waiting', 'paused')) as waiting,
		sum(st.role = 'trial' and t.state in ('failed', 'infeasible')) as failed,
		sum(st.role = 'trial' and t.state in ('skipped', 'pruned', 'cancelled')) as other,
		sum(st.role = 'parent') as parents,
		sum(st.role = 'parent' and t.state = 'done') as parents_done
	from study s left join study_trial st on st.study = s.id left join trial t on t.id = st.trial
	group by s.id;

-- Per category: a quantized trial against the full-precision trial that it starts from.
create view category_gap as
	select s.name as study, st.trial, i.input as parent, q.category, q.name, q.metric,
		f.value as full_precision, q.value as quantized, f.value - q.value as gap
	from study_trial st join study s on s.id = st.study
	join trial_input i on i.trial = st.trial and i.role = 'start_from'
	join trial p on p.id = i.input
		and coalesce(p.spec ->> '$.quant.weight_bits', 0) in (0, 32)
	join category_metric q on q.trial = st.trial
	join category_metric f on f.trial = i.input and f.category = q.category and f.metric = q.metric
	where st.role = 'trial';

-- Bits of each layer's weights.
create view layer_bits as
	select s.name as study, st.trial, l.layer, l.value as bits
	from study_trial st join study s on s.id = st.study join layer_metric l on l.trial = st.trial
	where st.role = 'trial' and l.metric in ('bits', 'weight_bits');

-- Who ran what, when.
create view timeline as
	select a.trial, a.attempt, w.name as worker, a.started_ms, a.ended_ms,
		datetime(a.started_ms / 1000, 'unixepoch') as started,
		(coalesce(a.ended_ms, w.seen_ms) - a.started_ms) / 1000.0 as seconds,
		coalesce(a.outcome, 'runs') as outcome, a.from_step, a.step
	from attempt a join worker w on w.id = a.worker;
