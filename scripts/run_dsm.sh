#!/usr/bin/env bash
# Denoising score matching beside likelihood, all without DIA, which cannot act with it.
#
#   scripts/run_dsm.sh [FLAG…]
#
# PRESET=mvtec_main is the setting. Environment, skipping and failures: scripts/lib.sh.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
PRESET=${PRESET:-mvtec_main}
case "${1:-}" in [!-]* | -h | --help) usage >&2; exit 2 ;; esac
EXTRA=("$@")

for row in wo_dia dsm_only dsm_hybrid dsm_annealed dsm_sliced dsm_clean; do
    add_run "$PRESET-$row" --preset "$PRESET" --ablation "$row"
done
run_all
