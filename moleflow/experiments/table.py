"""One table and one figure of all experiments that are there."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from moleflow.analysis.tables import Cell, Table
from moleflow.baselines.cards import CARDS
from moleflow.baselines.registry import PEERS
from moleflow.evaluation.report.figures.canvas import ACCENT, DARK, LIGHT, label, new_figure, plain
from moleflow.experiments.kinds import FLOWS
from moleflow.utils.io import as_written, read_json

COLUMNS = (
    "experiment", "model", "image AUROC", "pixel AUROC", "pixel AP", "AUPRO", "routed image AUROC", "routing", "FM",
    "BWT", "MB/task", "s/task", "ms/image",
)  # fmt: skip
QUALITY = ("image_auroc", "pixel_auroc", "pixel_ap", "aupro")

NOTE = """Means over classes of the last evaluation, in %; given the task unless *routed*. FM and BWT: of image AUROC
given the task, in points. MB/task: what is kept for a class (shared weights that a stream trains are counted in equal
parts); s/task: seconds of training a class, features not counted (CPU time for peers, wall-clock time for flows);
ms/image: CPU time to score one decoded image, one at a time, backbone included. – where it was not measured."""

Row = Mapping[str, Any]
"""What is known of an experiment."""


def row_of(name: str, model: str, folder: Path) -> dict[str, Any] | None:
    """An experiment's numbers, from its folder; None where nothing was evaluated.

    Raises:
        MoleflowError: a file is damaged.
    """
    if not (folder / "results.json").exists():
        return None
    results, cost = (read_json(folder / file) for file in ("results.json", "cost.json"))
    with as_written(folder / "results.json"):
        final, continual = results["final"], results["continual"]
        classes = len(results["per_class"])
        shared = cost.get("base_bytes", 0)
        return {
            "name": name,
            "model": model,
            **{metric: final["oracle"][metric] for metric in QUALITY},
            "routed": {metric: final["routed"][metric] for metric in QUALITY},
            "routing_accuracy": final["routing_accuracy"],
            "fm": continual["fm"]["image_auroc"],
            "bwt": continual["bwt"]["image_auroc"],
            "mb_per_task": (sum(cost["bytes_per_expert"].values()) + shared) / classes / 1e6,
            "seconds_per_task": sum((cost.get("cpu_seconds_per_task") or cost["seconds_per_task"]).values()) / classes,
            "ms_per_image": cost.get("ms_per_image"),
            "classes": list(results["per_class"]),
            "per_class": {
                each: {metric: row["oracle"][metric] for metric in QUALITY}
                for each, row in results["per_class"].items()
            },
            "seed": results["run"]["seed"],
            "backbone": results["run"]["backbone"],
            "tasks": [len(results["matrix"]["image_auroc"]), len(results["tasks"])],
            "training": cost.get("training", {}),
        }


def title_of(model: str) -> str:
    """A model's name, written out."""
    return FLOWS[model].title if model in FLOWS else CARDS[model].title


def comparison(rows: Iterable[Row]) -> Table:
    """The table, a row an experiment, in the order given."""
    return Table("Experiments", COLUMNS, tuple(_cells(row) for row in rows), " ".join(NOTE.split()))


def _cells(row: Row) -> tuple[Cell, ...]:
    done, planned = row["tasks"]
    name = row["name"] if done == planned else f"{row['name']} ({done} of {planned} tasks)"
    shares = [*(row[metric] for metric in QUALITY), row["routed"]["image_auroc"], row["routing_accuracy"]]
    percents = [_percent(share) for share in (*shares, row["fm"], row["bwt"])]
    return (name, title_of(row["model"]), *percents, row["mb_per_task"], row["seconds_per_task"], row["ms_per_image"])


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def drawn(rows: Iterable[Row]) -> Figure:
    """Image AUROC and pixel AP of each experiment, as bars from the best down."""
    ranked = sorted(rows, key=lambda row: row["image_auroc"] or 0)
    figure = new_figure(8, 1 + 0.25 * len(ranked))
    left, right = figure.subplots(1, 2, sharey=True)
    names = [label(row["name"]) for row in ranked]
    for axes, metric, title in ((left, "image_auroc", "image AUROC, %"), (right, "pixel_ap", "pixel AP, %")):
        values = [_percent(row[metric]) or 0.0 for row in ranked]
        axes.barh(names, values, color=[_colour(row["model"]) for row in ranked])
        for place, value in enumerate(values):
            axes.text(value, place, f" {value:.1f}", va="center", fontsize=7)
        axes.set_title(title, fontsize=9)
        axes.set_xlim(0, 1.15 * max(values) + 1)
        plain(axes)
    kinds = (("MoLE-Flow", ACCENT), ("for streams", DARK), ("a model a class", LIGHT))
    figure.legend(handles=[Patch(color=colour, label=kind) for kind, colour in kinds], loc="outside lower center",
                  ncols=3, fontsize=8, frameon=False)  # fmt: skip
    return figure


def _colour(model: str) -> str:
    """MoLE-Flow apart from other methods for streams, and these from models of one class."""
    if model.startswith("moleflow"):
        return ACCENT
    return DARK if model in FLOWS or PEERS[model].category == "continual" else LIGHT
