#!/usr/bin/env bash
# What this project measures of the ablation table itself: three real products, two CPU cores, equal steps a task.
#
#   DATA_PATH=…/realstream scripts/run_measured_ablations.sh [ROW or STUDY…] [FLAG…]
#
# Rows: full, core and design where none is given. SEEDS="0 1 2", STEPS=60 a task; the setting is the preset `measured`.
# Runs go to LOG_DIR/measured/<row>-s<seed>; what is finished is skipped, so the script may be stopped and called again.
# It ends by writing documents/ablations_measured.json and documents/ablations.md from all runs that are there.
# Environment and failures: scripts/lib.sh.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[ -n "${DATA_PATH:-}${DRY_RUN:-}" ] || misuse "give the folder of the products: DATA_PATH=… $0"
CACHE=$LOG_DIR/feature_cache
LOG_DIR=$LOG_DIR/measured

STUDIES=()
while [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; do
    STUDIES+=("$1")
    shift
done
EXTRA=("$@")
[ ${#STUDIES[@]} -gt 0 ] || STUDIES=(core design)

names=$(rows "${STUDIES[@]}")
setting=(--preset measured --num_steps "${STEPS:-60}" --feature_cache "$CACHE")
for seed in ${SEEDS:-0 1 2}; do
    add_run "full-s$seed" "${setting[@]}" --seed "$seed"
    for row in $names; do
        add_run "$row-s$seed" "${setting[@]}" --ablation "$row" --seed "$seed"
    done
done
status=0
run_all || status=$?
if [ -z "${DRY_RUN:-}" ]; then
    "$PYTHON" scripts/collect_measured.py "$LOG_DIR"
    "$PYTHON" scripts/make_ablation_table.py
fi
exit "$status"
