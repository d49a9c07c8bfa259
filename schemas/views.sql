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

-- Of studies with two objectives: the area that their finished trials dominate, up to the worst value
-- of either objective among them.
create view hypervolume as
	with point as (
		select o.study_id, o.study, st.trial,
			max(iif(o.rank = 0, iif(o.goal = 'min', r.value, -r.value), null)) as x,
			max(iif(o.rank = 1, iif(o.goal = 'min', r.value, -r.value), null)) as y
		from objective o join study_trial st on st.study = o.study_id and st.role = 'trial'
		join trial t on t.id = st.trial and t.state = 'done'
		join result r on r.trial = st.trial and r.metric = o.metric
		where (select count(*) from objective c where c.study_id = o.study_id) = 2
		group by o.study_id, st.number having count(r.value) = 2),
	slice as (
		select study_id, study, x, y, max(x) over study as worst_x,
			coalesce(min(y) over (study order by x, y, trial rows between unbounded preceding
				and 1 preceding), max(y) over study) as above
		from point window study as (partition by study_id))
	select study, count(*) as trials, sum((worst_x - x) * max(0, above - y)) as hypervolume
	from slice group by study_id;

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

-- The trials that a trial starts from, and those that they start from; depth 1 is the nearest.
create view ancestor as
	with recursive up(trial, ancestor, depth) as (
		select trial, input, 1 from trial_input where role = 'start_from'
		union all
		select up.trial, i.input, up.depth + 1
		from up join trial_input i on i.trial = up.ancestor and i.role = 'start_from')
	select trial, ancestor, depth from up;

-- What a trial was before it was quantized: its nearest ancestor that trained in full precision.
create view full_precision_ancestor as
	select a.trial, a.ancestor, min(a.depth) as depth
	from ancestor a join specification p on p.trial = a.ancestor
	where coalesce(p.spec ->> '$.action', 'train') = 'train'
		and coalesce(p.spec ->> '$.quant.weight_bits', 0) in (0, 32)
		and coalesce(p.spec ->> '$.quant.bits', 'uniform') <> 'input'
		and coalesce(p.spec ->> '$.quant.activation_bits', 0) in (0, 32)
	group by a.trial;

-- Per category: a trial against its full-precision ancestor (parent).
create view category_gap as
	select s.name as study, st.trial, p.ancestor as parent, q.category, q.name, q.metric,
		f.value as full_precision, q.value as quantized, f.value - q.value as gap
	from study_trial st join study s on s.id = st.study
	join full_precision_ancestor p on p.trial = st.trial
	join category_metric q on q.trial = st.trial
	join category_metric f on f.trial = p.ancestor and f.category = q.category and f.metric = q.metric
	where st.role = 'trial';

-- Categories by what they lost in accuracy; rank 1 lost the most.
create view most_impacted as
	select study, trial, rank() over (partition by study, trial order by gap desc) as rank,
		category, name, full_precision, quantized, gap
	from category_gap where metric = 'accuracy' and gap is not null;

-- How much better each category is on training images; and was in the full-precision ancestor.
create view train_gap as
	with gap as (
		select tr.trial, tr.category, tr.name, tr.value as train_accuracy, te.value as accuracy,
			tr.value - te.value as gap
		from category_metric tr join category_metric te on te.trial = tr.trial
			and te.category = tr.category and te.metric = 'accuracy'
		where tr.metric = 'train_accuracy')
	select s.name as study, g.trial, g.category, g.name, g.train_accuracy, g.accuracy, g.gap,
		p.ancestor as parent, b.gap as parent_gap, g.gap - b.gap as change
	from study_trial st join study s on s.id = st.study
	join gap g on g.trial = st.trial
	left join full_precision_ancestor p on p.trial = st.trial
	left join gap b on b.trial = p.ancestor and b.category = g.category
	where st.role = 'trial';

-- How a Fisher trace settles as images are added.
create view fisher_convergence as
	select m.trial, m.name as metric, m.step as images, m.value, e.value as standard_error,
		e.value / abs(m.value) as relative_error
	from metric m left join metric e on e.trial = m.trial and e.step = m.step
		and e.name = m.name || '_error'
	where m.name in ('fisher_all', 'fisher_critical', 'fisher_cross');

-- What each layer costs the loss at each bit-width.
create view layer_sensitivity as
	select trial, layer, cast(substr(metric, 13) as integer) as bits, value as sensitivity
	from layer_metric where metric glob 'sensitivity_[0-9]*';

-- Bits of each layer's weights.
create view layer_bits as
	select s.name as study, st.trial, l.layer, l.value as bits
	from study_trial st join study s on s.id = st.study join layer_metric l on l.trial = st.trial
	where st.role = 'trial' and l.metric in ('bits', 'weight_bits');

-- How well scores tell test images from those of other sets: a row per trial, set and score.
create view ood as
	select s.name as study, st.trial, m.ood_set, m.score,
		max(iif(m.metric = 'auroc', m.value, null)) as auroc,
		max(iif(m.metric = 'aupr_in', m.value, null)) as aupr_in,
		max(iif(m.metric = 'aupr_out', m.value, null)) as aupr_out,
		max(iif(m.metric = 'fpr_at_95_tpr', m.value, null)) as fpr_at_95_tpr,
		max(iif(m.metric = 'min_detection_error', m.value, null)) as min_detection_error
	from study_trial st join study s on s.id = st.study join ood_metric m on m.trial = st.trial
	where st.role = 'trial' group by s.id, st.trial, m.ood_set, m.score;

-- What each study's trials keep in the artifact store; bytes that several share count for each.
create view storage as
	select study, sum(iif(final, bytes, 0)) as final_bytes,
		sum(iif(final, 0, bytes)) as checkpoint_bytes
	from (select s.name as study, st.study as id, max(a.bytes) as bytes, max(a.final) as final
		from study_trial st join study s on s.id = st.study join artifact a on a.trial = st.trial
		where a.state = 'present' group by st.study, a.sha256)
	group by id;

-- Who ran what, when.
create view timeline as
	select a.trial, a.attempt, w.name as worker, a.started_ms, a.ended_ms,
		datetime(a.started_ms / 1000, 'unixepoch') as started,
		(coalesce(a.ended_ms, w.seen_ms) - a.started_ms) / 1000.0 as seconds,
		coalesce(a.outcome, 'runs') as outcome, a.from_step, a.step
	from attempt a join worker w on w.id = a.worker;
