#!/usr/bin/env bash
# Is a part a generic booster, or a cure for the frozen base? {frozen, trainable} base × {none, WA, TAL, DIA}.
#
#   scripts/run_interaction_effect.sh [FLAG…]
#
# PRESET=mvtec_main is the setting, SEEDS="0". scripts/analyze_interaction_effect.py LOG_DIR makes figure and table of
# the runs. Environment, skipping and failures: scripts/lib.sh.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
PRESET=${PRESET:-mvtec_main}
case "${1:-}" in [!-]* | -h | --help) usage >&2; exit 2 ;; esac
EXTRA=("$@")

names=$(rows interaction)
for seed in ${SEEDS:-0}; do
    for row in $names; do
        add_run "$PRESET-$row-s$seed" --preset "$PRESET" --ablation "$row" --seed "$seed"
    done
done
run_all
