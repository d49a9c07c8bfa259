#!/usr/bin/env bash
# The quickstart's sweep: quickstart.sh BUILD.  Run it again and it shows what is there.
set -eu
build=$1
db=${TRAWL_QUICKSTART_DB:-quickstart.db}
echo "A ResNet-20 on a generated data set, quantized to 8, 4, 3 and 2 bits, before and after"
echo "one epoch of quantization-aware training, all from one full-precision parent."
echo
exec "$build/trawl" run sweeps/quickstart.json --workers 1 --db "$db"
