#!/usr/bin/env bash
# Searches beside Optuna's on the same test functions: search.sh BUILD [SEEDS].  About 20 minutes, nearly all of it
# Optuna's (Debian's python3-optuna, or any that imports); without it, ours alone.
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build} seeds=${2:-30}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$build/tests/bench/search" "$seeds" >"$work/ours"
for python in /usr/bin/python3 python3; do
	"$python" -c 'import optuna; print("beside Optuna", optuna.__version__)' 2>/dev/null || continue
	"$python" tests/bench/search_optuna.py "$seeds" <"$work/ours" >"$work/theirs"
	break
done
[ -e "$work/theirs" ] || { echo "Optuna is not there: trawl alone"; cp "$work/ours" "$work/theirs"; }
echo "medians (quarters) over $seeds seeds of the least value, or of the hypervolume (several objectives: more is better)"
paste -d ' ' "$work/ours" "$work/theirs" | awk '
	BEGIN { printf "%-12s %-6s %6s %9s  %-28s %s\n", "function", "kind", "trials", "at a time", "trawl", "Optuna" }
	{ printf "%-12s %-6s %6d %9d  %-28s %s\n", $1, $2, $3, $4, $5 " (" $6 " … " $7 ")", $12 " (" $13 " … " $14 ")" }'
