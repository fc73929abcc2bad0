#!/usr/bin/env bash
# One setting under several seeds; `./run.sh summary LOG_DIR` then gives mean ± std.
#
#   scripts/run_seeds.sh [PRESET] [FLAG…]
#
# PRESET: mvtec_main where none is given. SEEDS="0 42 123 456 789". Environment, skipping and failures: scripts/lib.sh.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
case "${1:-}" in
    -h | --help) usage; exit 0 ;;
    [!-]*) PRESET=$1; shift ;;
esac
PRESET=${PRESET:-mvtec_main}
EXTRA=("$@")

for seed in ${SEEDS:-0 42 123 456 789}; do
    add_run "$PRESET-s$seed" --preset "$PRESET" --seed "$seed"
done
run_all
