#!/usr/bin/env bash
# moleflow's commands. Each one makes the environment first if it is not there.
#   ./run.sh setup | demo | test | realstream DATA_PATH | main DATA_PATH | visa DATA_PATH [SETTING] |
#            ablations DATA_PATH [STUDY…] | accuracy DATA_PATH [PART…] | summary LOG_DIR  (further flags are passed on)
set -euo pipefail
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"
VENV=${MOLEFLOW_VENV:-.venv}

setup() {
    local stamp="$VENV/.moleflow-$(cksum < requirements.txt | cut -d' ' -f1)"
    [ -e "$stamp" ] && return
    echo "Setting up $VENV (once; about 1.5 GB) …"
    "${PYTHON:-python3}" -m venv "$VENV"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt
    touch "$stamp"
}

need_data() {
    [ $# -ge 1 ] && [ "${1#-}" = "$1" ] || { echo "error: give the folder of the dataset: ./run.sh $command DATA_PATH" >&2; exit 2; }
}

from_here() {  # a path as the caller meant it
    case "$1" in /*) echo "$1" ;; *) echo "$here/$1" ;; esac
}

command=${1:-help}
[ $# -gt 0 ] && shift
case "$command" in
    setup) setup ;;
    demo)
        # three generated products: image AUROC 100, pixel AP 52, routing 100, FM 0; about 45 s on two cores
        setup
        exec "$VENV/bin/python" run_moleflow.py --preset demo "$@" ;;
    test)
        setup
        "$VENV/bin/ruff" check .
        "$VENV/bin/ruff" format --check .
        "$VENV/bin/mypy"
        exec "$VENV/bin/python" -m pytest -n auto --maxprocesses 8 --dist loadfile "$@" ;;
    realstream)
        # five real products (documents/reproduce.md), lite0: image AUROC 94, pixel AP 43, routing 100, FM 0; minutes on two cores that have nothing else to do
        need_data "$@"; setup
        data=$(from_here "$1"); shift
        exec "$VENV/bin/python" run_moleflow.py --preset realstream --data_path "$data" "$@" ;;
    main)
        # MVTec AD, 15 tasks, WideResNet-50; reported by the method's history: image AUROC 98.0, pixel AP 53.8 (not yet verified here)
        need_data "$@"; setup
        data=$(from_here "$1"); shift
        exec "$VENV/bin/python" run_moleflow.py --preset mvtec_main --data_path "$data" "$@" ;;
    visa)
        # VisA, 12 tasks; reported by the method's history: image AUROC 90.7 (vit), pixel AP 30.4 (default) (not yet verified here)
        need_data "$@"; setup
        DATA_PATH=$(from_here "$1"); shift
        export DATA_PATH PYTHON="$VENV/bin/python"
        [ $# -gt 0 ] && [ "${1#-}" = "$1" ] || set -- default "$@"
        exec scripts/run_visa.sh "$@" ;;
    ablations)
        # MVTec AD, the full method and one run a row (default: the core nine); what the history found, and what is measured: documents/ablations.md
        need_data "$@"; setup
        DATA_PATH=$(from_here "$1"); shift
        export DATA_PATH PYTHON="$VENV/bin/python"
        [ $# -gt 0 ] && [ "${1#-}" = "$1" ] || set -- core "$@"
        exec scripts/run_ablation_study.sh "$@" ;;
    accuracy)
        # everything behind documents/accuracy.md: seeds, orders, peers (they need requirements-baselines.txt), few images, tables; hours
        need_data "$@"; setup
        DATA_PATH=$(from_here "$1"); shift
        [ -z "${WEIGHTS:-}" ] || WEIGHTS=$(from_here "$WEIGHTS")
        [ -z "${OUT:-}" ] || OUT=$(from_here "$OUT")
        export DATA_PATH PYTHON="$VENV/bin/python" ${WEIGHTS+WEIGHTS} ${OUT+OUT}
        exec scripts/run_accuracy.sh "$@" ;;
    summary)
        # one row a run of the folder, mean ± std over seeds
        [ $# -eq 1 ] || { echo "error: give the folder of the runs: ./run.sh summary LOG_DIR" >&2; exit 2; }
        setup
        exec "$VENV/bin/python" scripts/summarize_runs.py "$(from_here "$1")" ;;
    *) sed -n '2,4s/^# *//p' "$0"; [ "$command" = help ] || exit 2 ;;
esac
