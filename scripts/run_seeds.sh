#!/usr/bin/env bash
# One setting under several seeds and orders; scripts/make_statistics.py then gives mean ± std.
#
#   scripts/run_seeds.sh [PRESET] [FLAG…]
#
# PRESET: mvtec_main where none is given. SEEDS="0 42 123 456 789"; ORDERS="given random:0" (any values of --task_order);
# SCENARIO=1-1. Runs are called PRESET-SCENARIO-ORDER-sSEED. Environment, skipping and failures: scripts/lib.sh.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
case "${1:-}" in
    -h | --help) usage; exit 0 ;;
    [!-]*) PRESET=$1; shift ;;
esac
PRESET=${PRESET:-mvtec_main}
EXTRA=("$@")

for seed in ${SEEDS:-0 42 123 456 789}; do
    for order in ${ORDERS:-given random:0}; do
        add_stream "$PRESET" "${SCENARIO:-1-1}" "$order" "$seed"
    done
done
run_all
