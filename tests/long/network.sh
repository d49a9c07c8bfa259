#!/usr/bin/env bash
# A network that fails: a coordinator and three agents on hosts of their own.  One is cut off for less
# and for more than its lease while it trains, packets are lost, and the coordinator goes on at
# another host: nothing is lost, nothing is done twice, no attempt is wasted on a short cut.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$(realpath "${TRAWL_BUILD:-build}")
trawl=$build/trawl
dir=$(mktemp -d "${TMPDIR:-/tmp}/trawl-network-XXXXXX")
export dir
good=0 bad=0 agents=() lease_s=10
. tests/laws
. tests/facts
. tests/hosts
hosts_need network
hosts_up 4
db=$dir/h0/study.db
both="tcp://$(host_address 0):5555,tcp://$(host_address 1):5555"

sweep() { # name, epochs, seeds
	cat >"$dir/$1.json" <<-J
		{"name": "$1", "trial": {"data": {"name": "shapes", "limit": 512, "test_limit": 64},
		 "model": {"name": "resnet20", "width": 4}, "checkpoint": {"minutes": 0.02},
		 "train": {"epochs": $2, "batch": 32, "lr": 0.05}}, "space": {"train.seed": {"values": [$3]}},
		 "objective": [{"metric": "accuracy", "goal": "max"}], "resources": {"memory_mb": 500}}
	J
}
launch() { at 0 "$trawl" launch "$dir/$1.json" --db "$db"; }
of() { echo "from trial t join study_trial st on st.trial = t.id join study s on s.id = st.study and s.name = '$1'"; }
ended() { until_is 120 "$db" "select count(*) $(of "$1") where t.state = 'done'" "$2"; }
attempts_are() { # study, how many
	until_is 1 "$db" "select count(*) from attempt where trial in (select t.id $(of "$1"))" "$2"
}
trains() { # study: one of its trials is past its first checkpoint
	until_is 60 "$db" "select count(*) > 0 from artifact where trial in (select t.id $(of "$1"))" 1
}
host_of() { # study: that runs its first trial
	ask "$db" "select substr(w.name, 5) $(of "$1") join worker w on w.id = t.worker limit 1"
}
equal() { # study: to the undisturbed one
	facts "$dir/calm.db" "$1" >"$dir/calm.facts"
	facts "$db" "$1" >"$dir/here.facts"
	[ -s "$dir/calm.facts" ] && cmp "$dir/calm.facts" "$dir/here.facts"
}

sweep short 8 1
sweep long 8 2
sweep lossy 2 "3, 4, 5, 6"
sweep moved 8 "7, 8, 9"
for s in short long lossy moved; do
	law "undisturbed_$s" "$trawl" run "$dir/$s.json" --workers 2 --ranks 1 --plain --db "$dir/calm.db"
done

coordinator_start 0 "$db"
coordinator_wait 0 "$db"
for i in 1 2 3; do
	agent_key $i "$db"
	agent_start $i "$both"
done
law three_agents_come until_is 30 "$db" "select count(*) from worker where state = 'up'" 3

law short_is_launched launch short
law a_trial_trains trains short
cut=$(host_of short)
host_cut "$cut"
sleep 3
host_join "$cut"
law a_cut_shorter_than_the_lease_ends_well ended short 1
law and_wastes_no_attempt attempts_are short 1
law and_changes_no_bit equal short

law long_is_launched launch long
law another_trains trains long
cut=$(host_of long)
host_cut "$cut"
law its_lease_is_lost until_is 30 "$db" "select count(*) from history where event = 'lose' and trial in
	(select t.id $(of long))" 1
law another_agent_takes_it_up until_is 30 "$db" "select count(*) from attempt where trial in (select t.id $(of long))" 2
host_join "$cut"
law a_cut_longer_than_the_lease_ends_well ended long 1
law and_changes_no_bit_either equal long
law the_cut_agent_is_back until_is 30 "$db" "select count(*) from worker where state = 'up'" 3

for i in 0 1 2 3; do host_lose $i 15; done
law lossy_is_launched launch lossy
law lost_packets_lose_no_trial ended lossy 4
law nor_a_bit equal lossy
for i in 0 1 2 3; do host_lose $i 0; done

law moved_is_launched launch moved
law the_last_one_trains trains moved
kill -TERM "$serve"
wait "$serve"
law a_stopped_coordinator_is_copied at 0 "$trawl" backup "$dir/h0/copy.db" --db "$db"
cp -a "$dir"/h0/copy.db* "$dir/h1/"
db=$dir/h1/copy.db
coordinator_start 1 "$db"
law the_agents_find_it until_is 30 "$db" "select count(*) from worker where state = 'up' and
	seen_ms > (select started_ms from coordinator)" 3
law the_study_ends_there ended moved 3
law and_no_attempt_was_wasted attempts_are moved 3
law and_not_a_bit_is_other equal moved
two=$serve
coordinator_start 0 "$dir/h0/study.db"
law the_old_one_is_told timeout 30 tail --pid="$serve" -f /dev/null
law and_gives_up grep -q "generation 2) is served elsewhere" "$dir/serve.log"
serve=$two
echo "$good passed, $bad failed"
[ $bad = 0 ] || tail -n 20 "$dir"/*.log
[ $bad = 0 ]
