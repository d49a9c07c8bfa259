#!/usr/bin/env bash
# A sweep over real CIFAR-10: two bit-widths from one shared parent, checked by SQL.
set -eu
cd "$(dirname "$0")/../.."
build=${TRAWL_BUILD:-build}
data=${TRAWL_DATA:-../shared/data}
ls "${data%%:*}"/cifar10* >/dev/null 2>&1 || { echo "SKIPPED cifar_sweep: no CIFAR-10 in $data"; exit 77; }
work=$(mktemp -d)
trap "rm -rf $work" EXIT
cat >"$work/sweep.json" <<'J'
{ "name": "cifar-small",
  "trial": {"data": {"name": "cifar10", "limit": 3000, "test_limit": 2000}, "model": {"name": "resnet20"},
            "start_from": {"change": {"quant": null, "train": {"epochs": 2, "lr": 0.1}}},
            "quant": {"weight_bits": 8}, "train": {"epochs": 1, "batch": 128, "shards": 2, "lr": 0.01}},
  "space": {"quant.weight_bits": {"values": [8, 4]}},
  "objective": [{"metric": "accuracy", "goal": "max"}] }
J
"$build/trawl" run "$work/sweep.json" --workers 2 --db "$work/study.db" >"$work/out" 2>&1 || { cat "$work/out"; exit 1; }
ask() { "$build/trawl" sql --db "$work/study.db" --csv "$1" | tail -n +2 | tr -d '\r'; }
expect() {
	local got
	got=$(ask "$1")
	[ "$got" = "$2" ] || { echo "$1"; echo "gives: $got"; echo "not:   $2"; exit 1; }
}
expect "select count(*) from trial where state = 'done'" 3
expect "select count(*) from study_cifar_small" 2
expect "select count(distinct input) || ' ' || count(*) from trial_input" "1 2"
expect "select count(*) from study_trial where role = 'parent'" 1
expect "select count(*) from study_cifar_small where accuracy > 0.15 and accuracy < 0.7" 2
expect "select max(model_bytes) > 1.8 * min(model_bytes) from study_cifar_small" 1
expect "select count(*) from metric where value is null" 0
expect "select count(*) from category_metric join study_trial using (trial) where role = 'trial' and metric = 'accuracy'" 20
expect "select count(*) from (select trial from history where event = 'finish' group by trial having count(*) > 1)" 0
# the same sweep again: nothing is trained twice
"$build/trawl" run "$work/sweep.json" --workers 1 --db "$work/study.db" >"$work/again" 2>&1 || { cat "$work/again"; exit 1; }
expect "select sum(attempt) from trial" 3
