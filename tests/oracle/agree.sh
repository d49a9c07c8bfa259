#!/usr/bin/env bash
# Whether trawl trains ResNet-20 to the accuracy that PyTorch does: agree.sh BUILD [EPOCHS] [SEEDS] [THREADS]
#
# The same 10,000 images of CIFAR-10, batch 128, cosine from 0.1, crops and flips; test accuracy of both for
# each seed.  They agree when the means differ by no more than the larger spread over the seeds.  Random
# numbers differ, so single runs do too.  About 20 minutes for 10 epochs and 3 seeds on two cores.
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build} epochs=${2:-10} seeds=${3:-3} threads=${4:-2}
python=${PYTHON:-/usr/bin/python3}
data=${TRAWL_DATA:-../shared/data}
archive=$data/cifar10-small.tar.xz
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -e "$archive" ] || { echo "no $archive: TRAWL_DATA names its folder"; exit 77; }
"$python" -c 'import torch' || { echo "PyTorch is not here: apt-get install python3-torch"; exit 77; }

ours() { # seed
	cat >"$work/trial.json" <<J
{ "data": {"name": "cifar10", "limit": 10000, "augment": "crop_flip"}, "model": {"name": "resnet20"},
  "train": {"epochs": $epochs, "batch": 128, "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0001,
            "schedule": "cosine", "threads": $threads, "seed": $1} }
J
	"$build/trawl-trial" --data "$data" --folder "$work/$1" "$work/trial.json" >"$work/log" 2>&1 ||
		{ cat "$work/log" >&2; exit 1; }
	sed -n 's/^  accuracy  *\([0-9.]*\) %/\1/p' "$work/log"
}
echo "ResNet-20, 10,000 images of CIFAR-10, $epochs epochs, test accuracy in %"
printf '%-8s %8s %8s\n' seed trawl PyTorch
for seed in $(seq "$seeds"); do
	us=$(ours "$seed")
	them=$("$python" tests/oracle/resnet20_cifar10.py "$archive" "$seed" "$epochs" 10000 "$threads" |
		awk '{ printf "%.2f", 100 * $1 }')
	printf '%-8s %8.2f %8.2f\n' "$seed" "$us" "$them" | tee -a "$work/rows"
done
awk '
	function spread(v) { low = high = v[1]; for (i in v) { if (v[i] < low) low = v[i]; if (v[i] > high) high = v[i] }
		return high - low }
	{ ma += a[NR] = $2; mb += b[NR] = $3 }
	END { ma /= NR; mb /= NR; sa = spread(a); sb = spread(b); d = ma - mb; d = d < 0 ? -d : d
	      printf "%-8s %8.2f %8.2f\n%-8s %8.2f %8.2f\n", "mean", ma, mb, "spread", sa, sb
	      agree = d <= (sa > sb ? sa : sb)
	      printf "means differ by %.2f: %s\n", d, agree ? "they agree" : "they do NOT agree"
	      exit !agree }' "$work/rows"
