#!/usr/bin/env bash
# A coordinator that goes on elsewhere: `trawl backup` while it runs and while it rests, agents that
# know two addresses, an old copy that comes back.  The study ends as one that nobody moved.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$(realpath "${TRAWL_BUILD:-build}")
trawl=$build/trawl
dir=$(mktemp -d "${TMPDIR:-/tmp}/trawl-takeover-XXXXXX")
export dir XDG_CACHE_HOME=$dir/cache
serve=0 agent=0 good=0 bad=0
trap 'signal_all KILL $serve $agent; wait 2>/dev/null; rm -rf "$dir"' EXIT
. tests/laws
. tests/facts
port=$(free_ports 2)
a=tcp://127.0.0.1:$port b=tcp://127.0.0.1:$((port + 1))

cat >"$dir/sweep.json" <<-J
	{"name": "moved", "trial": {"data": {"name": "shapes", "limit": 512, "test_limit": 64},
	 "model": {"name": "resnet20", "width": 4}, "checkpoint": {"minutes": 0.01},
	 "train": {"epochs": 4, "batch": 32, "lr": 0.05}}, "space": {"train.seed": {"values": [1, 2, 3, 4]}},
	 "objective": [{"metric": "accuracy", "goal": "max"}], "resources": {"memory_mb": 500}}
J
serve_start() { # database, endpoint
	"$trawl" serve --db "$1" --listen "$2" --lease 5 >>"$1.out" 2>>"$1.log" &
	serve=$!
	for _ in $(seq 100); do
		"$trawl" status --db "$2" >/dev/null 2>&1 && return
		sleep 0.1
	done
}
agent_start() { # addresses
	"$build/trawl-worker" --connect "$1" --ranks 1 --work "$dir/work" --data "$dir" >>"$dir/agent.log" 2>&1 &
	agent=$!
}
all_done="select count(*) from trial where state = 'done'"
dead() { # the one serve left has ended by itself, with this status
	wait "$serve"
	local status=$?
	serve=0
	[ $status = "$1" ] || { echo "exit status $status, not $1"; return 1; }
}

# An undisturbed one to compare with.
serve_start "$dir/calm.db" "$a"
agent_start "$a"
"$trawl" launch "$dir/sweep.json" --db "$a" >/dev/null
law an_undisturbed_study_ends until_is 60 "$dir/calm.db" "$all_done" 4
kill -TERM $agent $serve
wait
facts "$dir/calm.db" >"$dir/calm.facts"

# A snapshot of one that runs; it dies later, and the snapshot is served elsewhere.
serve_start "$dir/one.db" "$a"
agent_start "$a,$b"
"$trawl" launch "$dir/sweep.json" --db "$a" >/dev/null
law the_first_trial_ends until_is 60 "$dir/one.db" "select count(*) >= 1 from trial where state = 'done'" 1
law a_running_database_is_copied says "generation 2" "$trawl" backup "$dir/two.db" --db "$dir/one.db"
law and_again_over_the_last_copy says "generation 2" "$trawl" backup "$dir/two.db" --db "$dir/one.db"
law a_copy_replaces_nothing_else refuses 1 "no backup of this database" "$trawl" backup "$dir/calm.db" --db "$dir/one.db"
law nor_the_database_itself refuses 1 "the database itself" "$trawl" backup "$dir/../$(basename "$dir")/one.db" --db "$dir/one.db"
law nor_a_folder refuses 1 "file's name" "$trawl" backup "$dir" --db "$dir/one.db"
law where_it_goes_has_to_be_there refuses 1 "No such file" "$trawl" backup "$dir/none/two.db" --db "$dir/one.db"
law without_its_checkpoints_it_is_no_copy refuses 1 "$dir/none|--store" "$trawl" backup "$dir/bare.db" --db "$dir/one.db" \
	--store "$dir/none"
law and_leaves_none test ! -e "$dir/bare.db"
law secrets_are_their_owners test "$(stat -c %a "$dir/two.db.key")" = 600
law more_happens_after_it until_is 60 "$dir/one.db" "select count(*) >= 2 from trial where state = 'done'" 1
kill -9 $serve
wait $serve 2>/dev/null
serve_start "$dir/two.db" "$b"
law the_agent_moves until_is 60 "$dir/two.db" "select count(*) from worker where state = 'up' and seen_ms >
	(select started_ms from coordinator)" 1
two=$serve
serve_start "$dir/one.db" "$a"
law the_old_copy_gives_up dead 1
law and_says_why says "generation 2) is served elsewhere" cat "$dir/one.db.log"
law it_is_not_served_again refuses 1 "take-over" "$trawl" serve --db "$dir/one.db" --listen "$a"
law nor_changed refuses 1 "newer copy" "$trawl" pause moved --db "$dir/one.db"
serve=$two
law the_study_ends_elsewhere until_is 60 "$dir/two.db" "$all_done" 4
facts "$dir/two.db" >"$dir/two.facts"
law with_the_results_of_an_undisturbed_one cmp "$dir/calm.facts" "$dir/two.facts"
law a_copy_that_was_served_is_not_replaced refuses 1 "was served" "$trawl" backup "$dir/two.db" --db "$dir/one.db"

# One that rests is moved without the loss of an attempt; the agent trains meanwhile.
kill -TERM $agent $serve
wait
serve_start "$dir/rest.db" "$a"
agent_start "$a,$b"
"$trawl" launch "$dir/sweep.json" --db "$a" >/dev/null
law a_trial_runs until_is 60 "$dir/rest.db" "select count(*) from attempt where step > 0" 1
kill -TERM $serve
wait $serve
"$trawl" backup "$dir/moved.db" --db "$dir/rest.db" >"$dir/backup.out"
law a_database_at_rest_is_complete refuses 1 "" grep -q "done again" "$dir/backup.out"
serve_start "$dir/moved.db" "$b"
law it_ends_there until_is 60 "$dir/moved.db" "$all_done" 4
law no_attempt_was_lost until_is 60 "$dir/moved.db" "select count(*) from attempt" 4
facts "$dir/moved.db" >"$dir/moved.facts"
law with_equal_results cmp "$dir/calm.facts" "$dir/moved.facts"
law attempts_of_the_copy_have_numbers_of_their_own until_is 60 "$dir/moved.db" \
	"select min(attempt) || ' ' || max(attempt) from attempt" "1 1001"

# One coordinator under two names: probes of the second do not cut the agent off at the first.
kill -TERM $agent
wait $agent
agent_start "$b,tcp://localhost:$((port + 1))"
sed 's/"moved"/"names"/; s/"epochs": 4/"epochs": 16/; s/\[1, 2, 3, 4\]/[5]/' "$dir/sweep.json" >"$dir/names.json"
"$trawl" launch "$dir/names.json" --db "$b" >/dev/null
law a_study_ends_under_two_names until_is 60 "$dir/moved.db" "$all_done" 5
law and_no_attempt_is_begun_twice until_is 1 "$dir/moved.db" "select count(*) from attempt" 5
echo "$good passed, $bad failed"
[ $bad = 0 ]
