#!/usr/bin/env bash
# VisA: the method's settings and what was tried around them.
#
#   scripts/run_visa.sh default|ablation-tailw08|ablation-topk5|vit|all [FLAG…]
#
# default: WideResNet-50, tuned to pixels; ablation-tailw08: its tail weight 0.8; ablation-topk5: its image score from
# 5 patches; vit: ViT-B/16, tuned to images. Environment, skipping and failures: scripts/lib.sh.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
setting=${1:-}
[ $# -gt 0 ] && shift
EXTRA=("$@")

add_setting() {
    case "$1" in
        default) add_run visa-default --preset visa_pixel ;;
        ablation-tailw08) add_run visa-tailw08 --preset visa_pixel --tail_weight 0.8 ;;
        ablation-topk5) add_run visa-topk5 --preset visa_pixel --score_aggregation_top_k 5 ;;
        vit) add_run visa-vit --preset visa_image ;;
        *) usage >&2; exit 2 ;;
    esac
}

if [ "$setting" = all ]; then
    for setting in default ablation-tailw08 ablation-topk5 vit; do add_setting "$setting"; done
else
    add_setting "$setting"
fi
run_all
