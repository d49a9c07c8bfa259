#!/usr/bin/env bash
# Trials/s through the coordinator, and beside it Optuna with SQLite and with its journal, where Optuna imports
# (Debian's python3-optuna): dispatch.sh BUILD [dispatch's options]
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build}
[ $# -gt 0 ] && shift
"$build/tests/bench/dispatch" "$@"
for python in /usr/bin/python3 python3; do
	"$python" -c 'import optuna' 2>/dev/null || continue
	exec "$python" tests/bench/dispatch_optuna.py
done
echo "Optuna is not there: trawl alone"
