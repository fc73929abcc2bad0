#!/usr/bin/env bash
# The table of documents/baselines.md: every peer on five real products, with two backbones.
#
#   DATA_PATH=…/realstream WEIGHTS=…/resnet50_v1….safetensors scripts/peers.sh [EXPERIMENT…]
#
# Experiments: names in scripts/peers.yaml; all where none is given. With resnet50_v1 those that look at no backbone are
# left out: they are the same. OUT=logs/peers; what is done is skipped, so the script may be stopped and called again.
# BACKBONES="…" chooses among the two. LAUNCH=… is put before every command (a queue, say). It ends by writing
# documents/baselines.md: new rows replace those of their name, the others stay, so that a table may be finished elsewhere.
set -euo pipefail
for given in DATA_PATH WEIGHTS OUT; do  # as the caller meant them
    case "${!given:-/}" in /*) ;; *) printf -v "$given" '%s/%s' "$PWD" "${!given}" ;; esac
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ -n "${DATA_PATH:-}" ] || { echo "error: give the folder of the products: DATA_PATH=… $0" >&2; exit 2; }
[ -n "${WEIGHTS:-}" ] || { echo "error: give the weights of resnet50_v1: WEIGHTS=… $0" >&2; exit 2; }
OUT=${OUT:-$PWD/logs/peers}
PYTHON=${PYTHON:-.venv/bin/python}
export OMP_NUM_THREADS=1  # the training time that peers are given is that of one thread

OWN_NETWORKS=" vanilla_ae unet_ae vae beta_vae wae resnet_ae vgg_ae draem draem_sevnet "
names=("$@")
[ ${#names[@]} -gt 0 ] || mapfile -t names < <("$PYTHON" scripts/run_experiments.py --config scripts/peers.yaml --check | sed 's/:.*//')

run() {  # run BACKBONE EXPERIMENT FLAG…
    local backbone=$1 name=$2
    shift 2
    ${LAUNCH:-} "$PYTHON" scripts/run_experiments.py --config scripts/peers.yaml --data_path "$DATA_PATH" \
        --out "$OUT/$backbone" --backbone_name "$backbone" --only "$name" "$@"
}

status=0
for name in "${names[@]}"; do
    for backbone in ${BACKBONES:-tf_efficientnet_lite0 resnet50_v1}; do
        case $backbone in
            resnet50_v1)
                case "$OWN_NETWORKS" in *" $name "*) continue ;; esac
                run "$backbone" "$name" --backbone_weights "$WEIGHTS" || status=1 ;;
            *) run "$backbone" "$name" || status=1 ;;
        esac
    done
done
"$PYTHON" scripts/make_baselines_page.py "$OUT"
exit "$status"
