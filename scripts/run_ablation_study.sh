#!/usr/bin/env bash
# Ablations of the full method, each a run of its own beside the full method's.
#
#   scripts/run_ablation_study.sh STUDY… [FLAG…]
#
# STUDY: core (one part taken away), design (what a task owns), combination (every subset of whitening adapter,
# tail-aware loss and DIA), all (every row), another group of rows (rank, tail, coupling, dia, aggregation, …), or rows
# by name. PRESET=mvtec_main is the setting. Environment, skipping and failures: scripts/lib.sh.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
PRESET=${PRESET:-mvtec_main}

STUDIES=()
while [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; do
    case "$1" in
        combination) STUDIES+=(wo_adapter wo_tail wo_dia inter_frozen_none inter_frozen_wa inter_frozen_tal inter_frozen_dia) ;;
        *) STUDIES+=("$1") ;;
    esac
    shift
done
EXTRA=("$@")
[ ${#STUDIES[@]} -gt 0 ] || { usage >&2; exit 2; }

names=$(rows "${STUDIES[@]}")
add_run "$PRESET-full" --preset "$PRESET"
for row in $names; do
    add_run "$PRESET-$row" --preset "$PRESET" --ablation "$row"
done
run_all
