#!/usr/bin/env bash
# Two studies on three hosts and random faults: kill -9 of the coordinator, agents and ranks, cuts, lost
# packets, full disks, steps of the clocks.  The one on a grid ends equal to an undisturbed one; of
# the one that searches and stops early every trial has the metrics that its specification gives
# undisturbed, as far as it was trained.
#
#   SECONDS_OF_FAULTS=3600 SEED=7 tests/long/faults.sh     as long as you like; the same faults again
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$(realpath "${TRAWL_BUILD:-build}")
trawl=$build/trawl
dir=$(mktemp -d "${TMPDIR:-/tmp}/trawl-faults-XXXXXX")
export dir
good=0 bad=0 agents=()
duration=${SECONDS_OF_FAULTS:-90} seed=${SEED:-$((($(date +%s) + $$) % 32768))}
RANDOM=$seed
. tests/laws
. tests/facts
host_mb=$((400 + ${SECONDS_OF_FAULTS:-90} / 3)) # room for what the trials leave
. tests/hosts
hosts_need faults
[ -n "$time_library" ] || { echo "SKIPPED faults: faketime is not installed"; exit 77; }
hosts_up 3
db=$dir/h0/study.db
address="tcp://$(host_address 0):5555"

study() { # name, space, search, prune
	cat >"$dir/$1.json" <<-J
		{"name": "$1", "trial": {"data": {"name": "shapes", "limit": 256, "test_limit": 64},
		 "model": {"name": "resnet20", "width": 4}, "checkpoint": {"minutes": 0.01},
		 "train": {"epochs": 6, "batch": 32, "lr": 0.05}}, "space": $2, "search": $3, "prune": $4,
		 "objective": [{"metric": "accuracy", "goal": "max"}], "retry": {"limit": 1000},
		 "resources": {"memory_mb": 500}}
	J
}
grid=0 searched=0 began=0
# Four trials more for each, so that they last as long as the faults; what they tried is trained again afterwards.
grow() {
	local left most=$((4 + (duration / 30) * ($(date +%s) - began) / duration))
	[ "$grid" -lt $most ] || return 0
	left=$(ask "$db" "select count(*) from trial where state in ('waiting', 'ready', 'paused')")
	[ "${left:-9}" -lt 6 ] || return 0
	grid=$((grid + 4)) searched=$((searched + 4))
	study grid "{\"train.seed\": {\"values\": [$(seq -s, 1 "$grid")]}}" '{"kind": "grid"}' '{"kind": "none"}'
	study search '{"train.lr": {"min": 0.001, "max": 0.5, "log": true}, "train.seed": {"values": [1, 2, 3]}}' \
		"{\"kind\": \"tpe\", \"trials\": $searched, \"startup\": 4, \"parallel\": 3}" \
		'{"kind": "asha", "metric": "accuracy", "least": 1, "reduction": 2}'
	launch >/dev/null 2>&1 # again later where it fails: the same sweep is launched once
}
launch() {
	local name
	for name in grid search; do at 0 "$trawl" launch "$dir/$name.json" --db "$db" || return; done
}

declare -A faults
worker_on() { echo $((RANDOM % 3)); } # all three hosts have an agent
fault_rank() {
	local pids
	mapfile -t pids < <(ranks_of "$(worker_on)")
	[ ${#pids[@]} -gt 0 ] && kill -9 "${pids[RANDOM % ${#pids[@]}]}" 2>/dev/null
}
fault_agent() {
	local h
	h=$(worker_on)
	kill_hard "${agents[h]}"
	agent_start "$h" "$address"
}
fault_coordinator() {
	kill_hard "$serve"
	sleep "0.$((RANDOM % 9))"
	coordinator_start 0 "$db"
}
fault_cut() {
	local h
	h=$(worker_on)
	host_cut "$h"
	sleep $((RANDOM % 9))
	host_join "$h"
}
fault_loss() {
	local h
	h=$(worker_on)
	host_lose "$h" $((RANDOM % 40 + 5))
	sleep $((RANDOM % 6))
	host_lose "$h" 0
}
fault_disk() { # the coordinator's is host 0's
	local h
	h=$(worker_on)
	host_fill "$h"
	sleep $((RANDOM % 5))
	host_empty "$h"
}
fault_clock() { host_clock "$(worker_on)" $((RANDOM % 7200 - 3600)); }
kinds=(rank agent coordinator cut loss disk clock)

all_ended="select count(*) from trial where state not in ('done', 'pruned')"
disturb() {
	local until=$(($(date +%s) + duration)) kind
	while [ "$(date +%s)" -lt "$until" ]; do
		kind=${kinds[RANDOM % ${#kinds[@]}]}
		"fault_$kind"
		faults[$kind]=$((${faults[$kind]:-0} + 1))
		kill -0 "$serve" 2>/dev/null || {
			echo "the coordinator ended by itself"
			gone=$((${gone:-0} + 1))
			coordinator_start 0 "$db"
		}
		sleep "$((RANDOM % 3)).$((RANDOM % 9))"
		grow
	done
}
equal() {
	facts "$dir/calm.db" grid >"$dir/calm.facts"
	facts "$db" grid >"$dir/here.facts"
	[ -s "$dir/calm.facts" ] && cmp "$dir/calm.facts" "$dir/here.facts"
}
# The trials that the search tried, each trained undisturbed to its end.
retrain() {
	local rate number
	study search '{"train.seed": {"values": [1]}}' '{"kind": "grid"}' '{"kind": "none"}'
	"$trawl" launch "$dir/search.json" --db "$dir/calm.db" || return
	while IFS='|' read -r rate number; do
		"$trawl" add search "train.lr=$rate" "train.seed=$number" --db "$dir/calm.db" || return
	done < <(sqlite3 -readonly "$db" "select distinct assignment -> '\$.\"train.lr\"', assignment -> '\$.\"train.seed\"' from
		study_trial where role = 'trial' and study = (select id from study where name = 'search')")
	"$trawl" run "$dir/search.json" --workers 2 --ranks 1 --plain --db "$dir/calm.db"
}
as_undisturbed() {
	facts_of_metrics "$dir/calm.db" search | LC_ALL=C sort >"$dir/calm.facts"
	facts_of_metrics "$db" search | LC_ALL=C sort >"$dir/here.facts"
	[ -s "$dir/here.facts" ] && ! LC_ALL=C comm -13 "$dir/calm.facts" "$dir/here.facts" | grep .
}

echo "seed $seed, $duration s"
coordinator_start 0 "$db"
coordinator_wait 0 "$db"
for i in 0 1 2; do
	agent_key $i "$db"
	agent_start $i "$address"
done
began=$(date +%s)
grow
disturb
for i in 0 1 2; do host_clock $i 0; done
law both_studies_are_whole launch
law no_coordinator_ended_by_itself test "${gone:-0}" = 0
law both_studies_end until_is $((120 + duration)) "$db" "$all_ended" 0
law every_trial_of_the_grid_is_done until_is 1 "$db" "select count(*) from trial t join study_trial st on
	st.trial = t.id where st.study = 1 and t.state = 'done'" "$grid"
law the_grid_is_trained_undisturbed "$trawl" run "$dir/grid.json" --workers 2 --ranks 1 --plain --db "$dir/calm.db"
law the_grid_ends_equal_to_an_undisturbed_one equal
law the_search_tried_all until_is 1 "$db" "select trials from study where name = 'search'" "$searched"
law what_it_tried_is_trained_undisturbed retrain
law and_has_the_same_metrics as_undisturbed
for kind in "${kinds[@]}"; do printf '%s %d  ' "$kind" "${faults[$kind]:-0}"; done
ask "$db" "select count(*) || ' attempts, ' || sum(outcome = 'lost') || ' of them lost, for ' ||
	count(distinct trial) || ' trials' from attempt"
ask "$db" "select kind || ' ' || count(*) from event group by kind"
echo "$good passed, $bad failed"
[ $bad = 0 ] || {
	tail -n 30 "$dir"/*.log
	ask "$db" "select id, state, attempt, why from trial where state not in ('done', 'pruned')"
}
[ $bad = 0 ]
