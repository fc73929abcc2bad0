#!/usr/bin/env bash
# Everything behind the tables of documents/accuracy.md, then the tables.
#
#   DATA_PATH=…/realstream WEIGHTS=…/resnet50_v1….safetensors scripts/run_accuracy.sh [PART…] [FLAG…]
#
# Parts: preset (every seed, order given and reversed), undone (the preset less one of its choices, first seed, order
# given), peers (scripts/accuracy.yaml, first seed), fewshot (5, 10 and 31 training images of one product, every seed,
# preset and PatchCore), inside (the preset's first run and the undone ones, judged on their training images alone),
# tables; all where none is given. Flags reach every run of the preset. A run is one folder, and one that lies there
# already, from wherever and of whatever preset, is not done again; of the preset's, results.json, cost.json,
# config.json, evaluations and scores are enough (inside takes whole runs):
#
#   OUT/BACKBONE/preset/ORDER-sSEED                        ORDER: given or reversed   python run_moleflow.py --log_dir
#                                                          OUT/BACKBONE/preset --experiment_name ORDER-sSEED …
#   OUT/BACKBONE/undone/CHOICE                             CHOICE: a name in UNDO
#   OUT/BACKBONE/peers/EXPERIMENT/run                      EXPERIMENT: a name in scripts/accuracy.yaml
#   OUT/BACKBONE/fewshot/nN-sSEED/preset                   N: images of FEW_CLASS that training may draw from
#   OUT/BACKBONE/fewshot/nN-sSEED/EXPERIMENT/run           EXPERIMENT: patchcore_10
#   OUT/inner, OUT/BACKBONE/inside/RUN                     damaged training images; results of such a judgement, and
#                                                          OUT/tables/inside_BACKBONE: what each choice is worth there
#   OUT/BACKBONE/feature_cache                             of all of them; may be removed
#   OUT/console/….log                                      what a run printed
#   OUT/tables                                             scripts/analyze_accuracy.py OUT --output_dir OUT/tables
#
# BACKBONES="tf_efficientnet_lite0 resnet50_v1"; SEEDS="0 1 2"; CLASSES="screw …": the order given; FEW_CLASS=cookie;
# IMAGES="5 10 31"; UNDO="every_channel …": choices, all where it is not given; JOBS=1: runs side by side; OUT=logs/accuracy; LAUNCH=… before every command; DRY_RUN=1 prints them.
# PYTHON=…: padim, dfm, fastflow and patchcore need anomalib (requirements-baselines.txt). Runs that fail are named at
# the end (exit code 1), and the tables are made of what is there.
OUT=${OUT:-logs/accuracy}
LOG_DIR=$OUT
DEVICES=$(printf 'cpu %.0s' $(seq "${JOBS:-1}"))
for given in WEIGHTS; do
    case "${!given:-/}" in /*) ;; *) printf -v "$given" '%s/%s' "$PWD" "${!given}" ;; esac
done
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
is_finished() {  # what the tables read: a run of elsewhere may come without report and experts
    [ -d "$LOG_DIR/$1/scores" ] && is_evaluated "$1"
}

case "${1:-}" in -h | --help) usage; exit 0 ;; esac
PARTS=()
while [ $# -gt 0 ]; do
    case $1 in
        preset | undone | peers | fewshot | inside | tables) PARTS+=("$1"); shift ;;
        -*) break ;;
        *) misuse "unknown part '$1': expected preset, undone, peers, fewshot, inside or tables" ;;
    esac
done
EXTRA=("$@")
[ ${#PARTS[@]} -gt 0 ] || PARTS=(preset undone peers fewshot inside tables)
[ -n "${DATA_PATH:-}" ] || misuse "give the folder of the products: DATA_PATH=… scripts/run_accuracy.sh"
read -ra BACKBONES <<< "${BACKBONES:-tf_efficientnet_lite0 resnet50_v1}"
read -ra SEEDS <<< "${SEEDS:-0 1 2}"
read -ra CLASSES <<< "${CLASSES:-screw magnetic_tile commutator cookie solar_mono}"
FEW_CLASS=${FEW_CLASS:-cookie}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}  # training times are those of one thread

wants() { case " ${PARTS[*]} " in *" $1 "*) ;; *) return 1 ;; esac; }

reversed() { printf '%s\n' "$@" | tac; }

features_of() {  # features_of BACKBONE -> PRESET, and the array FEATURES, which peers take as well
    PRESET=realstream
    FEATURES=(--backbone_name "$1" --feature_cache "$LOG_DIR/$1/feature_cache")
    [ "$1" = resnet50_v1 ] || return 0
    [ -n "${WEIGHTS:-}" ] || misuse "give the weights of resnet50_v1: WEIGHTS=… scripts/run_accuracy.sh"
    PRESET=realstream_resnet50
    FEATURES+=(--backbone_weights "$WEIGHTS")
}

add_preset() {  # add_preset NAME SEED FLAG…
    add_run "$1" --preset "$PRESET" --seed "$2" "${FEATURES[@]}" --no_tensorboard "${@:3}"
}

declare -A UNDOES=(  # choice that is not made -> flags
    [every_channel]="--patch_memory_directions 0" [forty_thousand_candidates]="--patch_memory_candidates 40000"
    [memories_count_twice]="--patch_memory_weight 2" [four_couplings]="--num_coupling_layers 4 --dia_n_blocks 2"
    [flow_alone]="--no_patch_memory --map_source all --calibration_images held_out" [map_of_all]="--map_source all" [every_place_alike]="--no_border_ramp"
    [ramp_instead]="--border_ramp 0.1"
    [beyond_left_out]="--pool_frame left_out" [squashed]="--resize squash" [flow_judges_all]="--flow_share 1"
)
declare -A UNDOES_MORE=([shares_by_width]="--channel_shares width" [every_depth_alike]="--patch_memory_shallow 1")

choices() {  # choices of the preset, those that UNDO names or all
    local choice more=()
    [ "$PRESET" != realstream_resnet50 ] || more=("${!UNDOES_MORE[@]}")
    for choice in "${!UNDOES[@]}" ${more[@]+"${more[@]}"}; do
        case " ${UNDO:-$choice} " in *" $choice "*) echo "$choice" ;; esac
    done
}

add_undone() {  # add_undone CHOICE
    read -ra flags <<< "${UNDOES[$1]:-${UNDOES_MORE[$1]:-}}"
    add_preset "$backbone/undone/$1" "${SEEDS[0]}" --task_classes "${CLASSES[@]}" "${flags[@]}"
}

add_judged() {  # add_judged RUN: on its training images alone
    add_command "$backbone/inside/${1##*/}" scripts/validate_inside.py "$LOG_DIR/$backbone/$1" \
        --inner "$LOG_DIR/inner" --out "$LOG_DIR/$backbone/inside"
}

add_peer() {  # add_peer FOLDER EXPERIMENT SEED FLAG…
    add_command "$1/$2" scripts/run_experiments.py --config scripts/accuracy.yaml --only "$2" --out "$LOG_DIR/$1" \
        --data_path "$DATA_PATH" --preset "$PRESET" --seed "$3" "${FEATURES[@]}" "${@:4}"
}

for backbone in "${BACKBONES[@]}"; do
    features_of "$backbone"
    if wants preset; then
        mapfile -t backwards < <(reversed "${CLASSES[@]}")
        for seed in "${SEEDS[@]}"; do
            add_preset "$backbone/preset/given-s$seed" "$seed" --task_classes "${CLASSES[@]}"
            add_preset "$backbone/preset/reversed-s$seed" "$seed" --task_classes "${backwards[@]}"
        done
    fi
    if wants undone; then
        for choice in $(choices); do add_undone "$choice"; done
    fi
    if wants peers; then
        for peer in patchcore_1 patchcore_10 gaussian_per_task padim dfm fastflow; do
            add_peer "$backbone/peers" "$peer" "${SEEDS[0]}" --task_classes "${CLASSES[@]}"
        done
    fi
    if wants fewshot; then
        for images in ${IMAGES:-5 10 31}; do
            for seed in "${SEEDS[@]}"; do
                few=(--max_train_images "$images" --task_classes "$FEW_CLASS")
                add_peer "$backbone/fewshot/n$images-s$seed" patchcore_10 "$seed" "${few[@]}"
                add_preset "$backbone/fewshot/n$images-s$seed/preset" "$seed" "${few[@]}"
            done
        done
    fi
done
if wants inside; then
    add_command inner scripts/make_inner_validation.py --dataset folder --data_path "$DATA_PATH" --classes "${CLASSES[@]}" \
        --held_out 0 --out "$LOG_DIR/inner"
fi
status=0
run_all || status=$?
if wants inside; then  # what was run is judged
    NAMES=() LINES=() OTHER=()
    for backbone in "${BACKBONES[@]}"; do
        features_of "$backbone"
        add_judged "preset/given-s${SEEDS[0]}"
        for choice in $(choices); do
            [ "$choice" = flow_alone ] || add_judged "undone/$choice"  # without memories no image is new to it
        done
    done
    run_all || status=$?
fi
if wants inside && [ -z "${DRY_RUN:-}" ]; then
    for backbone in "${BACKBONES[@]}"; do
        "$PYTHON" scripts/analyze_choices.py "$LOG_DIR/$backbone/inside" --base "given-s${SEEDS[0]}" \
            --output_dir "$LOG_DIR/tables/inside_$backbone" || status=1
    done
fi
if wants tables && [ -z "${DRY_RUN:-}" ]; then
    "$PYTHON" scripts/analyze_accuracy.py "$LOG_DIR" --output_dir "$LOG_DIR/tables" --data_path "$DATA_PATH" || status=1
fi
exit "$status"
