# Common parts of the scripts that start many runs; sourced by them.
#
#   DATA_PATH=…          folder of the dataset (default: what the preset says, or $MOLEFLOW_DATA/<dataset>)
#   DEVICES="0 1 4 5"    GPUs; one run at a time on each, the next goes to the first that is free (empty: one after
#                        another on the CPU; "cpu cpu": two side by side there, give each its threads with
#                        OMP_NUM_THREADS)
#   LOG_DIR=logs         folder of runs; what a run prints goes to LOG_DIR/console/<run>.log
#   DRY_RUN=1            print the commands, run nothing
#   PYTHON=…             the interpreter (default: .venv/bin/python)
#   LAUNCH=…             put before every command (a queue, say)
#
# Further words of a script are passed on to every run and win over its own. A finished run is skipped, a stopped one
# goes on, a failed one does not stop the others: failed runs are listed at the end, and the exit code is 1.
set -euo pipefail
for given in DATA_PATH LOG_DIR; do  # as the caller meant them
    case "${!given:-/}" in /*) ;; *) printf -v "$given" '%s/%s' "$PWD" "${!given}" ;; esac
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."

LOG_DIR=${LOG_DIR:-logs}
if [ -z "${PYTHON:-}" ]; then
    PYTHON=.venv/bin/python
    [ -x "$PYTHON" ] || PYTHON=python3
fi
read -ra SLOTS <<< "${DEVICES:-cpu}"
for slot in "${!SLOTS[@]}"; do
    case "${SLOTS[$slot]}" in *[!0-9]*) ;; *) SLOTS[$slot]=cuda:${SLOTS[$slot]} ;; esac
done
EXTRA=()
NAMES=()  # run i has this name …
LINES=()  # … and these flags, quoted
OTHER=()  # where this is set, they are a whole command of $PYTHON instead

usage() {  # the comment at the head of the script that was called
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
}

misuse() {
    echo "error: $1" >&2
    exit 2
}

rows() {  # names of the ablation rows of a study, or the row itself
    "$PYTHON" scripts/list_ablations.py "$@"
}

add_run() {  # add_run NAME FLAG…
    NAMES+=("$1")
    shift
    LINES+=("$(printf '%q ' "$@")")
}

add_command() {  # add_command NAME SCRIPT FLAG…: another script, which skips what is done by itself
    add_run "$@"
    OTHER[${#NAMES[@]} - 1]=1
}

add_stream() {  # add_stream PRESET SCENARIO ORDER SEED
    add_run "$1-$2-${3/:/-}-s$4" --preset "$1" --cl_scenario "$2" --task_order "$3" --seed "$4"
}

is_finished() {  # the report is written last; a paused run has one too, but lacks evaluations
    [ -e "$LOG_DIR/$1/report.html" ] && is_evaluated "$1"
}

is_evaluated() {  # on every task
    local run=$LOG_DIR/$1 planned evaluated
    [ -e "$run/results.json" ] || return 1
    planned=$(sed -n '/^  "tasks": \[/,/^  \]/p' "$run/results.json" | grep -c '^    \[')
    evaluated=$(find "$run/evaluations" -name 'after_*.json' 2>/dev/null | wc -l)
    [ "$evaluated" -ge "$planned" ]
}

command_of() {  # command_of RUN DEVICE -> the array COMMAND
    local flags
    eval "flags=(${LINES[$1]})"
    local launch name=${NAMES[$1]} folder=$LOG_DIR
    read -ra launch <<< "${LAUNCH:-}"
    COMMAND=(${launch[@]+"${launch[@]}"} "$PYTHON")
    if [ -n "${OTHER[$1]:-}" ]; then
        COMMAND+=("${flags[@]}")
        return
    fi
    case $name in */*) folder=$LOG_DIR/${name%/*} ;; esac
    COMMAND+=(run_moleflow.py "${flags[@]}" --experiment_name "${name##*/}" --log_dir "$folder" --resume)
    [ -z "${DATA_PATH:-}" ] || COMMAND+=(--data_path "$DATA_PATH")
    COMMAND+=(--device "$2" ${EXTRA[@]+"${EXTRA[@]}"})
}

work_on() {  # work_on SLOT: every run that no other slot has taken, one after another
    local index child status
    trap 'kill "${child:-$BASHPID}" 2>/dev/null; exit 130' INT TERM
    for index in "${!NAMES[@]}"; do
        mkdir "$TAKEN/$index" 2> /dev/null || continue
        local name=${NAMES[$index]}
        if is_finished "$name"; then
            echo "skip  $name (finished)"
            continue
        fi
        command_of "$index" "${SLOTS[$1]}"
        echo "start $name (${SLOTS[$1]})"
        mkdir -p "$(dirname "$LOG_DIR/console/$name")"
        "${COMMAND[@]}" > "$LOG_DIR/console/$name.log" 2>&1 &
        child=$!
        status=0
        wait "$child" || status=$?
        [ "$status" -eq 0 ] && echo "done  $name" && continue
        echo "failed $name (exit code $status): $LOG_DIR/console/$name.log" | tee -a "$FAILED"
    done
}

print_commands() {
    local index
    for index in "${!NAMES[@]}"; do
        command_of "$index" "${SLOTS[$((index % ${#SLOTS[@]}))]}"
        printf '%q ' "${COMMAND[@]}"
        echo
    done
}

run_all() {  # all runs added, over all devices; the exit code is 1 where one failed
    if [ -n "${DRY_RUN:-}" ]; then
        print_commands
        return
    fi
    mkdir -p "$LOG_DIR/console"
    TAKEN=$(mktemp -d)
    FAILED=$TAKEN/failed
    : > "$FAILED"
    local slot workers=()
    for slot in "${!SLOTS[@]}"; do
        work_on "$slot" &
        workers+=($!)
    done
    trap 'kill "${workers[@]}" 2>/dev/null; rm -rf "$TAKEN"; exit 130' INT TERM
    wait "${workers[@]}" || true
    trap - INT TERM
    local failures
    failures=$(< "$FAILED")
    rm -r "$TAKEN"
    [ -z "$failures" ] || { printf '\nThese runs failed:\n%s\n' "$failures" >&2; return 1; }
}
