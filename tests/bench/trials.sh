#!/usr/bin/env bash
# Trials/s through coordinator, agent and MPI with trials that do next to nothing: trials.sh BUILD [COUNT]
#
# Zero epochs on one generated image: what is left is leasing, starting ranks, reporting and committing.
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build} count=${2:-60}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME=$work/cache
cat >"$work/empty.json" <<J
{ "name": "empty",
  "trial": {"data": {"name": "shapes", "limit": 1, "test_limit": 1}, "model": {"name": "resnet20", "width": 1},
            "train": {"epochs": 0, "batch": 1}},
  "space": {"train.seed": {"min": 1, "max": $count, "step": 1}} }
J
run() { # database, workers
	local began ended
	began=$(date +%s%N)
	"$build/trawl" run "$work/empty.json" --workers "$2" --ranks 2 --db "$work/$1.db" >"$work/out" 2>&1 ||
		{ cat "$work/out"; exit 1; }
	ended=$(date +%s%N)
	"$build/trawl" sql --db "$work/$1.db" --csv "select 'agents $2: ' || count(*) || ' trials, ' ||
		round(count(*) / ((max(ended_ms) - min(started_ms)) / 1000.0), 1) || ' trials/s, median ' ||
		(select ended_ms - started_ms from trial order by 1 limit 1 offset $((count / 2))) ||
		' ms from lease to commit' from trial where state = 'done'" | tail -n 1 | tr -d "\r\""
	echo "           $(((ended - began) / 1000000)) ms for the whole command"
}
run one 1
run two 2
