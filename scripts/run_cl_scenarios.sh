#!/usr/bin/env bash
# How classes come: many or few at once, in which order.
#
#   scripts/run_cl_scenarios.sh [FLAG…]
#
# SCENARIOS="1-1 3-3 5-5 14-1" (classes in the first task – in each later one), each in the dataset's order;
# ORDERS="alphabetical texture_first hard_first easy_first random:0 random:1" (any value of --task_order), each with
# scenario 1-1; SEEDS=0. PRESET=mvtec_main is the setting. Runs are called PRESET-SCENARIO-ORDER-sSEED, as those of
# run_seeds.sh are. Environment, skipping and failures: scripts/lib.sh.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
PRESET=${PRESET:-mvtec_main}
case "${1:-}" in [!-]* | -h | --help) usage >&2; exit 2 ;; esac
EXTRA=("$@")

for seed in ${SEEDS:-0}; do
    for scenario in ${SCENARIOS:-1-1 3-3 5-5 14-1}; do
        add_stream "$PRESET" "$scenario" given "$seed"
    done
    for order in ${ORDERS:-alphabetical texture_first hard_first easy_first random:0 random:1}; do
        add_stream "$PRESET" 1-1 "$order" "$seed"
    done
done
run_all
