#!/usr/bin/env bash
# kill -9 of ranks, agents and the coordinator at random times during a sweep: every trial ends
# done, each metric row exists once, and results and weights equal those of an undisturbed run, bit
# for bit.  Then a trial is begun by one agent that is killed for ever, and finished by another that
# shares no file with it.
#
#   KILLS=20 SEED=7 tests/crash.sh     replays, or kills more often
set -u
cd "$(dirname "$0")/.." || exit 1
build=$(realpath "${TRAWL_BUILD:-build}")
trawl=$build/trawl
seed=${SEED:-$((($(date +%s) + $$) % 32768))} kills=${KILLS:-6}
epochs=$((kills > 8 ? kills / 2 : 3)) # long enough to be killed so often
RANDOM=$seed
port=$((20000 + ($(date +%s) + $$) % 12000))
url=tcp://127.0.0.1:$port
dir=$(mktemp -d "${TMPDIR:-/tmp}/trawl-crash-XXXXXX")
serve=0 agents=()
export XDG_CACHE_HOME=$dir/cache

fail() {
	echo "FAILED: $*"
	echo "replay: KILLS=$kills SEED=$seed tests/crash.sh"
	tail -n 15 "$dir"/*.log 2>/dev/null
	exit 1
}
finish() {
	for pid in "$serve" "${agents[@]}"; do [ "$pid" != 0 ] && kill -9 "$pid" 2>/dev/null; done
	wait 2>/dev/null
	sleep 0.3
	rm -rf "$dir"
}
trap finish EXIT
. tests/laws
. tests/facts

sweep() { # name, epochs, weight bits
	cat <<-END
		{"name": "$1", "trial": {
		 "data": {"name": "shapes", "limit": 512, "test_limit": 128},
		 "model": {"name": "resnet20", "width": 4},
		 "start_from": {"change": {"quant": null, "train": {"epochs": $2, "lr": 0.1}}},
		 "quant": {"weight_bits": 4}, "checkpoint": {"minutes": 0.01},
		 "train": {"epochs": $2, "batch": 32, "shards": 2, "lr": 0.01, "seed": 1}},
		 "space": {"quant.weight_bits": {"values": [$3]}}, "search": {"kind": "grid"},
		 "objective": [{"metric": "accuracy", "goal": "max"}],
		 "retry": {"limit": 100}, "resources": {"ranks": 2, "memory_mb": 1000}}
	END
}
serve_start() { # database
	"$build/trawl" serve --db "$1" --listen "$url" --lease 3 >>"$dir/serve.log" 2>&1 &
	serve=$!
}
agent_start() { # index
	"$build/trawl-worker" --connect "$url" --ranks 2 --data "$dir" --name "agent-$1" \
		--work "$dir/work-$1" >>"$dir/agent-$1.log" 2>&1 &
	agents[$1]=$!
}
state_count() { ask "$1" "select count(*) from trial where state = '$2'"; }
all_done() {
	[ "$(ask "$1" "select count(*) > 0 and sum(state = 'done') = count(*) from trial")" = 1 ]
}
launched() { "$build/trawl" launch "$2" --db "$url" >>"$dir/launch.log" 2>&1; }

run_whole() { # name of the database; undisturbed
	sweep "$2" "$3" "$4" >"$dir/$1.json"
	serve_start "$dir/$1.db"
	agent_start 0
	within 10 launched x "$dir/$1.json" || fail "cannot launch"
	within 120 all_done "$dir/$1.db" || fail "the undisturbed sweep did not end"
	kill -TERM "${agents[0]}" && wait "${agents[0]}"
	kill -TERM "$serve" && wait "$serve"
	serve=0 agents=()
	facts "$dir/$1.db" >"$dir/$1.facts"
	[ -s "$dir/$1.facts" ] || fail "no facts"
}

# One living rank of this test's trials, at random.
rank_pick() {
	local ranks=() pid
	for pid in $(pgrep -f "trawl-trial --ranks .*$dir" 2>/dev/null); do
		[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = trawl-trial ] && ranks+=("$pid")
	done
	[ ${#ranks[@]} -gt 0 ] && echo "${ranks[RANDOM % ${#ranks[@]}]}"
}

ranks_killed=0 agents_killed=0 serves_killed=0
disturb() {
	local rank
	sleep "$((RANDOM % 2)).$((RANDOM % 900 + 100))"
	case $((RANDOM % 3)) in
	0)
		rank=$(rank_pick) # none is there between trials
		[ -n "$rank" ] && kill -9 "$rank" 2>/dev/null || return
		ranks_killed=$((ranks_killed + 1))
		;;
	1)
		kill_hard "${agents[0]}"
		agents_killed=$((agents_killed + 1))
		agent_start 0
		;;
	2)
		kill_hard "$serve"
		serves_killed=$((serves_killed + 1))
		serve_start "$dir/hurt.db"
		;;
	esac
}

test_kills() {
	run_whole calm crash "$epochs" "8, 2"
	sweep crash "$epochs" "8, 2" >"$dir/hurt.json"
	serve_start "$dir/hurt.db"
	agent_start 0
	within 10 launched x "$dir/hurt.json" || fail "cannot launch"
	until [ $((ranks_killed + agents_killed + serves_killed)) -ge "$kills" ]; do disturb; done
	within 180 all_done "$dir/hurt.db" || {
		ask "$dir/hurt.db" "select id, state, attempt, why from trial"
		fail "not all trials are done"
	}
	facts "$dir/hurt.db" >"$dir/hurt.facts"
	diff "$dir/calm.facts" "$dir/hurt.facts" >"$dir/diff.log" || fail "results differ"
	echo "killed: $ranks_killed ranks, $agents_killed agents, $serves_killed coordinators;" \
		"attempts: $(ask "$dir/hurt.db" "select sum(attempt) from trial") for" \
		"$(state_count "$dir/hurt.db" done) trials; $(wc -l <"$dir/hurt.facts") facts equal"
	kill_hard "${agents[0]}"
	kill_hard "$serve"
	serve=0 agents=()
}

has_checkpoint() {
	[ "$(ask "$dir/$1.db" "select count(*) from artifact where name = 'checkpoint' and
		state = 'present' and trial = (select max(id) from trial)")" -gt 0 ]
}
test_other_agent() {
	run_whole alone alone 4 "4"
	sweep alone 4 "4" >"$dir/moved.json"
	serve_start "$dir/moved.db"
	agent_start 1
	within 10 launched x "$dir/moved.json" || fail "cannot launch"
	within 60 has_checkpoint moved || fail "no checkpoint came"
	kill_hard "${agents[1]}"
	agents[1]=0
	within 5 test ! -d "$dir/work-1"/?????*-* || fail "the killed agent left its folder"
	rm -rf "$dir/work-1"
	agent_start 2
	within 120 all_done "$dir/moved.db" || fail "the second agent did not finish"
	facts "$dir/moved.db" >"$dir/moved.facts"
	diff "$dir/alone.facts" "$dir/moved.facts" >"$dir/diff.log" ||
		fail "results differ on the other agent"
	[ "$(ask "$dir/moved.db" "select max(from_step) > 0 from attempt")" = 1 ] ||
		fail "the second attempt began at step 0"
	echo "begun by one agent, finished by another from step" \
		"$(ask "$dir/moved.db" "select max(from_step) from attempt")"
}

echo "seed $seed"
test_kills
test_other_agent
left=$(pgrep -f "trawl-trial --ranks .*$dir/work-[01]/" | wc -l)
[ "$left" = 0 ] || fail "$left processes are left"
