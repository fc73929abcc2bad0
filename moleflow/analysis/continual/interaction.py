"""Is a part a generic booster, or a cure for the frozen base? {frozen, trainable} base × {none, WA, TAL, DIA}."""

from collections.abc import Mapping
from pathlib import Path

from moleflow.analysis.intervals import Interval, mean_interval
from moleflow.analysis.runs import group_of, read_run
from moleflow.config.ablations import BASES, BOOSTERS
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import read_json

METRICS = {"image_auroc": "image AUROC", "pixel_ap": "pixel AP"}
PARTS = {"wa": "WA", "tal": "TAL", "dia": "DIA"}

Cell = tuple[str, str]
"""(base, part)."""
Observation = tuple[int, str]
"""(seed, class)."""
Study = Mapping[Cell, Mapping[Observation, float]]


def read_study(log_dir: Path, metric: str) -> dict[Cell, dict[Observation, float]]:
    """The metric in percent for each cell of the design, seed and class (routed, after the last task).

    Args:
        log_dir: finished runs called ``<anything>inter_<base>_<part>-s<seed>``.
        metric: a key of results.json; classes in which it does not apply are left out.

    Raises:
        UsageError: a cell of the design has no run.
        MoleflowError: a run is not finished.
    """
    study: dict[Cell, dict[Observation, float]] = {(base, part): {} for base in BASES for part in BOOSTERS}
    for place in sorted(log_dir.glob("*inter_*")):
        row = read_run(place)
        base, part = group_of(row.name, row.seed).split("inter_")[-1].split("_", 1)
        if (base, part) not in study:
            continue
        if not row.finished:
            raise MoleflowError(f"{place} has {row.tasks[0]} of {row.tasks[1]} tasks: finish it with --resume")
        for name, values in read_json(place / "results.json")["per_class"].items():
            if values[metric] is not None:
                study[base, part][row.seed or 0, name] = 100 * values[metric]
    missing = [f"inter_{base}_{part}" for (base, part), found in study.items() if not found]
    if missing:
        raise UsageError(f"{log_dir} lacks runs of {', '.join(missing)}: scripts/run_interaction_effect.sh makes them")
    return study


def effect(study: Study, base: str, part: str) -> Interval:
    """What adding the part to a base without any changes, in points: mean of paired differences over (seed, class)."""
    return mean_interval(list(_differences(study, base, part).values()))


def interaction(study: Study, part: str) -> Interval:
    """The part's effect on the frozen base minus its effect on the trainable one, paired by (seed, class), in points.

    Above zero: the part cures what freezing costs. Around zero: it helps (or not) whatever the base does.
    """
    frozen, trainable = (_differences(study, base, part) for base in ("frozen", "trainable"))
    return mean_interval([frozen[key] - trainable[key] for key in frozen if key in trainable])


def _differences(study: Study, base: str, part: str) -> dict[Observation, float]:
    having, lacking = study[base, part], study[base, "none"]
    return {key: value - lacking[key] for key, value in having.items() if key in lacking}


def verdict(part: str, metric: str, frozen: Interval, trainable: Interval, both: Interval) -> str:
    """One sentence on a part."""
    effects = f"{frozen.shown()} points on the frozen base, {trainable.shown()} on the trainable one"
    if both.says_nothing:
        what = "no interaction shown"
    else:
        what = "it helps the frozen base more" if both.value > 0 else "it helps the trainable base more"
    return f"{PARTS[part]}, {METRICS[metric]}: {effects}; difference {both.shown()}: {what}."
