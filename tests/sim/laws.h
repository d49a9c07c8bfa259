/* The laws: SQL that finds violations, asked by judge.h after every commit that changed something.
 */
#ifndef SIM_LAWS_H
#define SIM_LAWS_H

/* What a trial has; a law about it is asked when some of what it reads has changed. */
enum { OF_TRIAL = 1, OF_METRIC = 2, OF_ARTIFACT = 4, OF_RUNG = 8, OF_ALL = 15 };

struct law {
	const char *law, *violation; /* a row that is not 0 breaks it */
};

/* Of one trial, ?1: asked of those whose rows a turn has changed, and of all now and then. */
static const struct {
	int reads;
	struct law law;
} trial_laws[] = {
        {OF_TRIAL,
         {"the last move says what the trial says",
          "select state <> (select after from history h where h.trial = t.id order by h.seq desc "
          "limit 1) from trial t where id = ?1"}},
        {OF_TRIAL,
         {"attempts only rise, by a lease each",
          "select attempt <> (select count(*) from history h where h.trial = t.id and h.event = "
          "'lease') or attempt <> (select count(*) from attempt a where a.trial = t.id) from trial "
          "t where id = ?1"}},
        {OF_TRIAL,
         {"a done trial has its result, and the right one",
          "select r.value is not oracle(t.id, 1000) from trial t left join result r on r.trial = "
          "t.id and r.metric = 'accuracy' where t.id = ?1 and t.state = 'done'"}},
        {OF_TRIAL,
         {"no trial but one that was done has a result",
          "select 1 from result r where r.trial = ?1 and not exists (select 1 from history h where "
          "h.trial = r.trial and h.after = 'done')"}},
        {OF_METRIC,
         {"a metric has the value that the job measured",
          "select 1 from metric where trial = ?1 and (value is not oracle(trial, step) or name <> "
          "'loss')"}},
        {OF_TRIAL | OF_METRIC,
         {"a done trial has every metric once",
          "select (select count(*) from metric m where m.trial = t.id) <> steps(t.id) from trial t "
          "where id = ?1 and state = 'done'"}},
        {OF_METRIC | OF_ARTIFACT,
         {"metrics up to a checkpoint are there with it",
          "select 1 from artifact a where trial = ?1 and name = 'checkpoint' and (select count(*) "
          "from metric m where m.trial = a.trial and m.step <= a.step) < a.step"}},
        {OF_TRIAL,
         {"a lease is held by the agent of the trial's newest attempt",
          "select not exists (select 1 from attempt a where a.trial = t.id and a.attempt = "
          "t.attempt and a.worker = t.worker and a.outcome is null) from trial t where id = ?1 and "
          "state = 'leased'"}},
        {OF_TRIAL,
         {"what waits for nothing is ready",
          "select not exists (select 1 from trial_input i join trial p on p.id = i.input where "
          "i.trial = t.id and p.state <> 'done') from trial t where id = ?1 and state = 'waiting' "
          "and source is null"}},
        {OF_TRIAL,
         {"a trial fails only after its limit of errors or losses",
          "select errors < retries and losses < lost_limit() from trial join "
          "specification on trial = id "
          "where id = ?1 and "
          "state = 'failed'"}},
        {OF_TRIAL,
         {"a trial that nobody wants is not left running",
          "select not exists (select 1 from study_trial st where st.trial = t.id and st.wanted) "
          "and "
          "not exists (select 1 from trial_input i where i.input = t.id) from trial t where id = "
          "?1 "
          "and (state = 'ready' or state = 'leased' or state = 'paused')"}},
        {OF_TRIAL,
         {"an error or a loss is counted once",
          "select errors > (select count(*) from history h where h.trial = t.id and "
          "(event = 'error' or event = 'error_last')) or losses > (select count(*) from history h "
          "where h.trial = "
          "t.id and (event = 'lose' or event = 'lose_last')) from trial t where id = ?1 and errors "
          "+ losses "
          "> 0"}},
        {OF_TRIAL | OF_ARTIFACT,
         {"the newest checkpoint of a trial that may go on is kept",
          "select 1 from artifact a join trial t on t.id = a.trial where a.trial = ?1 and a.name = "
          "'checkpoint' and a.state = 'collected' and t.state <> 'done' and not exists (select 1 "
          "from history h where h.trial = t.id and h.after = 'pruned') and not exists (select 1 "
          "from artifact n where n.trial = t.id and n.name = 'checkpoint' and n.step > a.step) and "
          "not exists (select 1 from freed f where f.trial = t.id and not f.waits)"}},
        {OF_TRIAL | OF_METRIC,
         {"a trial waits only where no study lets it go on",
          "select not coalesce((select max(until) from (select iif(s.sweep ->> '$.prune.mode' = "
          "'promote' and st.until_epoch is not null, st.until_epoch, 1000) until from study_trial "
          "st join study s on s.id = st.study where st.trial = t.id and st.wanted)), 1000) <= "
          "(select max(epoch) from metric m where m.trial = t.id) from trial t where id = ?1 and "
          "state = 'paused'"}},
        {OF_RUNG,
         {"a trial at a rung has the value that it measured there",
          "select 1 from rung where trial = ?1 and value is not oracle(trial, epoch)"}},
        {OF_ARTIFACT,
         {"a done trial's input for others is never collected",
          "select 1 from artifact where trial = ?1 and final and state = 'collected'"}},
};

/* Of the moves after ?1. */
static const struct law move_laws[] = {
        {"history is a chain: each move starts where the last one ended",
         "select 1 from history h where h.seq > ?1 and h.before <> coalesce((select p.after from "
         "history p where p.trial = h.trial and p.seq < h.seq order by p.seq desc limit 1), "
         "'none')"},
        {"a lease ends by the word of its own attempt",
         "select 1 from history h join attempt a on a.trial = h.trial and a.attempt = h.attempt "
         "where h.seq > ?1 and h.event in ('error', 'error_last', 'yield', 'refuse', 'bad_result', "
         "'finish') and coalesce(a.outcome, 'lost') = 'lost'"},
};

/* Of the leases after ?1. */
static const struct law lease_laws[] = {
        {"a lease is given to an agent that fits",
         "select 1 from history h join trial t on t.id = h.trial join ask on ask.id = t.ask join "
         "worker w on w.id = h.worker where h.seq > ?1 and h.event = 'lease' and (ask.ranks * "
         "((ask.threads + w.threads - 1) / w.threads) > w.ranks or ask.memory_mb > w.memory_mb or "
         "ask.gpus > w.gpus or (ask.data_digest <> '' and not instr(w.data, ask.data_digest)))"},
        {"nothing is leased to an agent that leaves",
         "select 1 from history h join worker w on w.id = h.worker where h.seq > ?1 and h.event = "
         "'lease' and w.state <> 'up'"},
        {"a trial is leased to an agent that has as many minutes left",
         "select 1 from history h join trial t on t.id = h.trial join ask on ask.id = t.ask join "
         "worker w on w.id = h.worker where h.seq > ?1 and h.event = 'lease' and h.at_ms + "
         "ask.minutes * 60000 > w.until_ms"},
        /* Of those that are left ready: what they ask for was there when the lease was given. */
        {"of ready trials that an agent may have, the one of the highest priority is leased first",
         "select 1 from history h join trial t on t.id = h.trial join ask on ask.id = t.ask join "
         "worker w on w.id = h.worker join trial o on o.state = 'ready' and o.held = 0 and "
         "o.priority > t.priority and o.not_before_ms <= h.at_ms and not (o.errors > 0 and "
         "o.worker = w.id) join ask other on other.id = o.ask where h.seq > ?1 and h.event = "
         "'lease' and (select full_ms from coordinator) is null and t.state = 'leased' and "
         "other.threads <= w.threads and other.gpus <= ask.gpus "
         "and other.labels = '[]' and (other.data_digest = '' or instr(w.data, "
         "other.data_digest)) and (w.until_ms is null or h.at_ms + other.minutes * 60000 <= "
         "w.until_ms) and not exists (select 1 from refusal r where r.trial = o.id and r.worker = "
         "w.id and r.until_ms > h.at_ms) and other.ranks <= ask.ranks + w.ranks - w.other_slots - "
         "(select sum(a.ranks) from "
         "trial x join ask a on a.id = x.ask where x.worker = w.id and x.state = 'leased') and "
         "other.memory_mb <= ask.memory_mb + w.memory_mb - w.other_memory_mb - (select "
         "sum(a.memory_mb) from trial x join ask a on a.id = x.ask where x.worker = w.id and "
         "x.state = 'leased')"},
        {"a refused trial does not come back to the agent for a minute",
         "select 1 from history h join history r on r.trial = h.trial and r.event = 'refuse' and "
         "r.worker = h.worker and r.seq < h.seq where h.seq > ?1 and h.event = 'lease' and h.at_ms "
         "between r.at_ms and r.at_ms + 59999 and not "
         "exists (select 1 from history x where x.trial = h.trial and x.event = 'retry' and x.seq "
         "between r.seq and h.seq)"},
        {"nothing is leased while every study that wants it is paused or cancelled",
         "select 1 from history h where h.seq > ?1 and h.event = 'lease' and not exists (select 1 "
         "from study_trial st join study s on s.id = st.study where st.trial = h.trial and "
         "st.wanted and s.state = 'active')"},
        {"a trial is leased when its inputs are done and their bytes there",
         "select 1 from history h join trial_input i on i.trial = h.trial join trial p on p.id = "
         "i.input where h.seq > ?1 and h.event = 'lease' and (p.state <> 'done' or not exists "
         "(select 1 from artifact a join upload u on u.sha256 = a.sha256 where a.trial = p.id and "
         "a.final and a.state = 'present'))"},
        {"nothing is leased before its backoff is over",
         "select 1 from history h join history e on e.trial = h.trial and e.event = 'error' and "
         "e.seq = (select max(seq) from history x where x.trial = h.trial and x.seq < h.seq) where "
         "h.seq > ?1 and h.event = 'lease' and h.at_ms >= e.at_ms and h.at_ms < e.at_ms + 400"},
        {"a lease goes on from the newest checkpoint that is good",
         "select 1 from history h join attempt a on a.trial = h.trial and a.attempt = h.attempt "
         "where h.seq > ?1 and h.event = 'lease' and a.from_step <> coalesce((select max(step) "
         "from artifact x where x.trial = h.trial and x.name = 'checkpoint' and x.state = "
         "'present'), 0)"},
        {"nothing begins while the store is full",
         "select 1 from history h join attempt a on a.trial = h.trial and a.attempt = h.attempt "
         "where h.seq > ?1 and h.event = 'lease' and a.from_step = 0 and (select full_ms from "
         "coordinator) is not null"},
        {"an agent is not given more than it has",
         "select ?1 >= 0 from (select w.ranks, sum(ask.ranks) as taken from trial t join ask on "
         "ask.id = t.ask join worker w on w.id = t.worker where t.state = 'leased' and not exists "
         "(select 1 from history h where h.trial = t.id and h.attempt = t.attempt and h.event = "
         "'reattach') group by w.id) where taken > ranks"},
};

/* Of the whole store; indices make them cheap.  ?1: now. */
static const struct law store_laws[] = {
        {"what a trial goes on from is not freed",
         "select ?1 > 0 from freed where waits and newest"},
        {"nothing is left unsettled", "select ?1 > 0 from trial where unsettled = 1"},
        {"a lease does not outlast a new one",
         "select 1 from trial where state = 'leased' and lease_until_ms > ?1 + 6000"},
};

/* What would stay so: asked now and then. */
static const struct law rare_laws[] = {
        {"a study's trials are numbered without a gap",
         "select ?1 > 0 from study s where trials <> (select count(*) from study_trial st where "
         "st.study = s.id and role = 'trial') or trials > total"},
        {"nobody waits at a rung to which nobody can come",
         "select ?1 > 0 from rung g join study s on s.id = g.study join trial t on t.id = g.trial "
         "where g.verdict is null and t.state = 'paused' and s.cursor = s.total and s.state = "
         "'active' and s.sweep ->> '$.prune.mode' = 'promote' and not exists (select 1 from "
         "study_trial o join trial x on x.id = o.trial where o.study = g.study and o.bracket = "
         "g.bracket and o.wanted and x.ended_ms is null and (o.until_epoch < g.epoch or "
         "(o.until_epoch = g.epoch and not exists (select 1 from rung r where r.study = o.study "
         "and r.epoch = g.epoch and r.trial = o.trial))))"},
};

static const struct law byte_laws[] = {
        {"the bytes in the store are counted",
         "select ?1 > 0 and stored_bytes <> (select coalesce(sum(bytes), 0) from upload) from "
         "coordinator"},
        {"bytes that the database counts on lie on the disk",
         "select ?1 > 0 from upload where not on_disk(sha256)"},
};
#endif
