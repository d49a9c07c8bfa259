#!/usr/bin/env bash
# Who may speak to a coordinator that listens beyond its machine: CURVE keys, roles, revocation.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$(realpath "${TRAWL_BUILD:-build}")
trawl=$build/trawl
dir=$(mktemp -d "${TMPDIR:-/tmp}/trawl-keys-XXXXXX")
export dir XDG_CACHE_HOME=$dir/cache TRAWL_DB=$dir/study.db
serve=0 worker=0 good=0 bad=0
trap 'signal_all TERM $serve $worker; wait 2>/dev/null; rm -rf "$dir"' EXIT
. tests/laws

start() {
	rm -f "$dir/serve.out" # that of the one before
	"$trawl" serve --listen "tcp://*:0" "$@" >"$dir/serve.out" 2>"$dir/serve.err" &
	serve=$!
	for _ in $(seq 100); do
		grep -qs ^files "$dir/serve.out" && break
		sleep 0.1
	done
	endpoint=$(sed -n 's/^clients: trawl status --db //p' "$dir/serve.out")
}
query() { sqlite3 "$TRAWL_DB" "$1"; }
is() { # query, value
	local found
	found=$(query "$1")
	[ "$found" = "$2" ] || { echo "$1: $found, not $2"; return 1; }
}
until_is() { # query, value: within 20 seconds
	for _ in $(seq 200); do
		[ "$(query "$1")" = "$2" ] && return
		sleep 0.1
	done
	is "$1" "$2"
}
as() { # key file, command …
	local key=$1
	shift
	TRAWL_KEY=$key TRAWL_SERVER_KEY=$dir/server.pub "$@"
}
agent() { # key file, name
	TRAWL_KEY=$1 TRAWL_SERVER_KEY=$dir/server.pub "$build/trawl-worker" --connect "$endpoint" --name "$2" --ranks 1 \
		--work "$dir/work-$2" >"$dir/$2.log" 2>&1 &
	worker=$!
}

start
query "select curve from coordinator" >"$dir/server.pub"
for k in ann agent stranger; do "$trawl" keys new "$dir/$k.key" >/dev/null; done
cat >"$dir/long.json" <<-J
	{"name": "long", "trial": {"data": {"name": "shapes", "limit": 512, "test_limit": 32}, "model": {"name": "resnet20"},
	 "train": {"epochs": 1000, "batch": 32}}, "space": {"train.seed": {"values": [1]}}}
J
law a_key_file_is_not_overwritten refuses 1 "File exists" "$trawl" keys new "$dir/ann.key"
law a_key_file_is_for_its_owner test "$(stat -c %a "$dir/ann.key")" = 600
law the_owner_needs_to_do_nothing "$trawl" launch "$dir/long.json"
law nobody_without_a_key_is_answered refuses 1 "no answer from a coordinator" "$trawl" status --db "$endpoint"
law an_unlisted_key_gets_nothing as "$dir/ann.key" refuses 1 "no answer from a coordinator" "$trawl" status --db "$endpoint"
forty=$(printf %040d 0) # a file whose name could be a key
cp -p "$dir/ann.key" "$dir/$forty"
law a_user_is_authorized bash -c 'cd "$dir" && "$@"' . "$trawl" keys authorize user "$forty" ann
law and_is_answered as "$dir/ann.key" says long "$trawl" status --db "$endpoint"
law another_server_is_not_believed \
	env TRAWL_KEY="$dir/ann.key" TRAWL_SERVER_KEY="$dir/stranger.key" bash -c '. tests/laws; refuses 1 "no answer" "$@"' . \
	"$trawl" status --db "$endpoint"
law half_a_key_is_one_line \
	env TRAWL_KEY="$dir/ann.key" bash -c '. tests/laws; refuses 1 "TRAWL_SERVER_KEY" "$@"' . "$trawl" status --db "$endpoint"
law and_may_change_things as "$dir/ann.key" "$trawl" pause long --db "$endpoint"
law the_same_again as "$dir/ann.key" "$trawl" resume long --db "$endpoint"
law a_user_authorizes_nobody as "$dir/ann.key" \
	refuses 1 "only the coordinator's owner" "$trawl" keys authorize agent "$dir/stranger.key" --db "$endpoint"
law a_user_revokes_nobody as "$dir/ann.key" refuses 1 "only the coordinator's owner" "$trawl" keys revoke ann --db "$endpoint"
law the_owner_stays_the_owner refuses 1 "an owner's key" "$trawl" keys authorize agent "$dir/study.db.owner"
agent "$dir/ann.key" imposter
sleep 2
law a_user_is_no_agent is "select count(*) from worker" 0
kill $worker
agent "$dir/agent.key" m1
sleep 2
law an_unlisted_agent_gets_nothing is "select count(*) from worker" 0
law an_agent_is_authorized "$trawl" keys authorize agent "$dir/agent.key" m1
law and_is_given_a_trial until_is "select state from trial" leased
law an_agent_is_no_user as "$dir/agent.key" refuses 1 "authorized only as agent" "$trawl" pause long --db "$endpoint"
law who_may_speak_is_shown says "$(query "select public from key where name = 'ann'")" "$trawl" keys show
law a_key_is_revoked "$trawl" keys revoke m1
law and_loses_its_lease_at_once is "select state || losses from trial" ready0
sleep 3
law and_its_connection_gets_nothing_more is "select state from trial" ready
law the_lease_was_its_last is "select attempt from trial" 1
law a_revoked_key_is_told_so grep -q "not authorized" "$dir/m1.log"
law an_unknown_key_cannot_be_revoked refuses 1 "no authorized key" "$trawl" keys revoke nobody
law the_owner_cannot_be_revoked refuses 1 "no authorized key" "$trawl" keys revoke owner
kill $worker $serve
wait $serve 2>/dev/null
start --insecure
law keys_of_elsewhere_do_not_disturb as "$dir/ann.key" "$trawl" pause long
law insecure_is_asked_for says long "$trawl" status --db "$endpoint"
echo "$good passed, $bad failed"
[ $bad = 0 ]
