"""The results as a table for the terminal; in a file or a pipe it is plain text."""

from collections.abc import Iterator
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from moleflow.evaluation.report.text import METRIC_TITLES, calibrated, percent
from moleflow.evaluation.results import METRICS

NUMBERS_WIDTH = 66  # all columns but the first, with gaps
NARROWEST = 80  # what rich takes a pipe for; below that, lines run on rather than lose numbers

SCALE_NOTE = "raw scores of different tasks are not on one scale; calibrated ones are"


def print_results(results: dict[str, Any], console: Console) -> None:
    """Print one row a class and the mean (routed, in percent), then forgetting, transfer, routing and decisions.

    Args:
        results: the content of results.json.
        console: where to print; it decides by itself whether colours are wanted.
    """
    width = max(console.width, NARROWEST)
    console.print(_table(results, name_width=width - NUMBERS_WIDTH), width=width, crop=False)
    for line in (_continual_line(results), _routing_line(results), SCALE_NOTE, *_decision_lines(results)):
        console.print(Text(line), soft_wrap=True)


def _table(results: dict[str, Any], name_width: int) -> Table:
    title = Text(f"{results['name']}: routed results after {_progress(results)}, in %")
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0), show_footer=True)
    table.show_edge = table.pad_edge = False
    table.add_column("class", footer="mean", max_width=name_width, overflow="ellipsis", no_wrap=True)
    final = results["final"]
    means = ["", *_numbers(final["routed"], final["routing_accuracy"])]
    titles = ["task", *(METRIC_TITLES[metric] for metric in METRICS), "routing"]
    for column, mean in zip(titles, means, strict=True):
        words = column.split()
        table.add_column("\n".join(words), footer=mean, min_width=max(map(len, words)), justify="right")
    for name, row in results["per_class"].items():
        table.add_row(Text(name), str(row["task"]), *_numbers(row, row["routing_accuracy"]))
    return table


def _numbers(metrics: dict[str, float | None], routing_accuracy: float | None) -> list[str]:
    return [*(percent(metrics[metric]) for metric in METRICS), percent(routing_accuracy)]


def _progress(results: dict[str, Any]) -> str:
    """``5 tasks``, or ``3 of 5 tasks`` where the stream has not ended."""
    done, planned = len(results["matrix"][METRICS[0]]), len(results["tasks"])
    of = "" if done == planned else f"{done} of "
    return f"{of}{planned} task{'s' if planned > 1 else ''}"


def _continual_line(results: dict[str, Any]) -> str:
    """Forgetting and backward transfer of the two headline metrics, with the oracle route."""
    parts = []
    for title, key in (("FM", "fm"), ("BWT", "bwt")):
        values = results["continual"][key]
        parts.append(f"{title} {percent(values['image_auroc'])} / {percent(values['pixel_ap'])}")
    return f"forgetting (oracle route; image AUROC / pixel AP): {', '.join(parts)}"


def _routing_line(results: dict[str, Any]) -> str:
    """Routing accuracy and the pooled AUROC."""
    final = results["final"]
    pooled = final["pooled_image_auroc"]
    return (
        f"routing accuracy: {percent(final['routing_accuracy'])}, pooled image AUROC: "
        f"{percent(pooled['raw'])} raw, {calibrated(pooled)}"
    )


def _decision_lines(results: dict[str, Any]) -> Iterator[str]:
    """What decisions are worth beside what was promised, and how many normal images they rest on."""
    decisions = results["final"].get("decisions", {"promised_rate": None})  # older results do not say
    if decisions["promised_rate"] is None:
        return
    recall, precision, alarms = (
        percent(decisions["routed"][key]) for key in ("recall", "precision", "false_alarm_rate")
    )
    promised = percent(decisions["promised_rate"])
    yield f"decisions: recall {recall}, precision {precision}, false alarms {alarms} (promised {promised})"
    counts = [row["reference_n"] for row in results["per_class"].values()]
    few, many = min(counts), max(counts)
    images = f"{few}{f' to {many}' if many > few else ''} normal images a task"
    yield f"thresholds rest on {images}, each scored as a new one"
