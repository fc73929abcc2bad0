#!/usr/bin/env bash
# What old tasks lose: experts on a frozen base, a base that learns in every task, and cures for that.
#
#   scripts/run_forgetting.sh [FLAG…]
#
# Methods: full (experts, frozen base), all_shared (everything shared, trained always), base_always, ogp, ewc, replay.
# SEEDS="0 1"; PRESET=mvtec_main is the setting. scripts/analyze_forgetting.py LOG_DIR makes figure and table of the
# runs <method>-s<seed>. Environment, skipping and failures: scripts/lib.sh.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
PRESET=${PRESET:-mvtec_main}
case "${1:-}" in [!-]* | -h | --help) usage >&2; exit 2 ;; esac
EXTRA=("$@")

for seed in ${SEEDS:-0 1}; do
    add_run "full-s$seed" --preset "$PRESET" --seed "$seed"
    for row in all_shared base_always ogp ewc replay; do
        add_run "$row-s$seed" --preset "$PRESET" --ablation "$row" --seed "$seed"
    done
done
run_all
