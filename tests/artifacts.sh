#!/usr/bin/env bash
# Checkpoints beyond the machine: over TLS, to the key that the coordinator tells its agents.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$(realpath "${TRAWL_BUILD:-build}")
trawl=$build/trawl
dir=$(mktemp -d "${TMPDIR:-/tmp}/trawl-artifacts-XXXXXX")
export dir XDG_CACHE_HOME=$dir/cache TRAWL_DB=$dir/study.db
serve=0 worker=0 good=0 bad=0
trap 'signal_all TERM $serve $worker; wait 2>/dev/null; rm -rf "$dir"' EXIT
. tests/laws

# The machine's own address, where it has one beside the loopback.
own=$(hostname -I 2>/dev/null | tr ' ' '\n' | grep -m 1 -E '^[0-9.]+$')
beyond() { # port
	[ -n "$own" ] && echo "--listen tcp://$own:$1" || echo "--listen tcp://*:$1 --http 127.0.0.1:0"
}

start() { # options of serve
	rm -f "$dir/serve.out" # that of the one before
	"$trawl" serve "$@" >"$dir/serve.out" 2>"$dir/serve.err" &
	serve=$!
	for _ in $(seq 100); do
		grep -qs ^files "$dir/serve.out" && break
		sleep 0.1
	done
	endpoint=$(sed -n 's/^clients: trawl status --db //p' "$dir/serve.out")
	url=$(sed -n 's/^files: *//p' "$dir/serve.out")
}
stop() { # process id
	kill "$1"
	wait "$1" 2>/dev/null
}
until_is() { # query, value: within a minute
	local found
	for _ in $(seq 600); do
		found=$(sqlite3 "$TRAWL_DB" "$1")
		[ "$found" = "$2" ] && return
		sleep 0.1
	done
	echo "$1: $found, not $2"
	tail -n 5 "$dir"/*.log
	return 1
}
agent() { # name
	"$build/trawl-worker" --connect "$endpoint" --name "$1" --ranks 1 --work "$dir/work-$1" --key "$dir/agent.key" \
		--server-key "$(sqlite3 "$TRAWL_DB" 'select curve from coordinator')" >"$dir/$1.log" 2>&1 &
	worker=$!
}
plain_request() { # what comes back to a request without TLS
	local host=${url#*//}
	exec 3<>"/dev/tcp/${host%:*}/${host##*:}" || return 0
	printf 'GET /artifacts/%064d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' 0 >&3
	timeout 5 cat <&3 | tr -d '\0'
	exec 3>&-
}
answers_plainly() { plain_request | grep -q 'HTTP/1.1'; }

start
law on_one_machine_it_is_plain_http answers_plainly
law and_has_no_key test ! -e "$dir/study.db.tls"
stop $serve
# shellcheck disable=SC2046
start $(beyond 0) --insecure
law insecure_is_plain_http answers_plainly
stop $serve
# shellcheck disable=SC2046
law an_address_without_tls_is_refused refuses 1 "https:// is wanted" "$trawl" serve $(beyond 0) --http-url http://here:1
# shellcheck disable=SC2046
start $(beyond 0)
law beyond_the_machine_it_is_tls test "${url%%:*}" = https
law and_nothing_else eval '! answers_plainly'
law its_key_is_for_its_owner test "$(stat -c %a "$dir/study.db.tls")" = 600
"$trawl" keys new "$dir/agent.key" >/dev/null
"$trawl" keys authorize agent "$dir/agent.key" m >/dev/null
cat >"$dir/one.json" <<-J
	{"name": "one", "trial": {"data": {"name": "shapes", "limit": 1024, "test_limit": 32}, "model": {"name": "resnet20"},
	 "train": {"epochs": 3, "batch": 32}}, "space": {"train.seed": {"values": [1]}}}
J
"$trawl" launch "$dir/one.json" >/dev/null
agent first
law a_trial_is_trained until_is "select max(step) > 2 from attempt" 1
kill $worker
law and_handed_back_with_a_checkpoint until_is "select count(*) from artifact where name = 'checkpoint'" 1
wait $worker 2>/dev/null
cp "$dir/study.db.tls" "$dir/before.tls"
stop $serve
# shellcheck disable=SC2046
start $(beyond 0)
law a_restart_keeps_the_key cmp "$dir/before.tls" "$dir/study.db.tls"
agent second
law another_agent_goes_on_from_there until_is "select from_step > 0 from attempt where attempt = 2 and step > from_step" 1
stop $serve
rm "$dir/study.db.tls"
# shellcheck disable=SC2046
start $(beyond "${endpoint##*:}") --artifact-quota 1K
law and_hears_of_another_key until_is "select state from trial" done
law whose_bytes_are_there test "$(find "$dir/study.db.artifacts" -type f ! -name '*.part' | wc -l)" -ge 1
law a_quota_is_shown_with_its_use says "of 1.0 KiB; full" "$trawl" status
echo "$good passed, $bad failed"
[ $bad = 0 ]
