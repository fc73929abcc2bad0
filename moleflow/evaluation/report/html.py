"""The report of a run: one static page without scripts or outside resources, figures beside it."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from moleflow.evaluation.report.text import METRIC_TITLES, MISSING, calibrated, percent
from moleflow.evaluation.results import METRICS
from moleflow.utils.io import write_text

SHOWN_MATRICES = ("image_auroc", "pixel_ap")


def write_report(
    run_dir: Path, results: dict[str, Any], cost: dict[str, Any] | None, figures: Sequence[Path], path: Path
) -> None:
    """Write the page; every name in it is escaped.

    Args:
        run_dir: the run's folder; its config.json and env.json are shown where they are readable.
        results: the content of results.json.
        cost: the content of cost.json, or None.
        figures: PNG files, shown in this order and linked relative to the page.
        path: the page.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    page = environment.get_template("page.html").render(
        results=results,
        progress=(len(results["matrix"][METRICS[0]]), len(results["tasks"])),
        headline=_headline(results),
        decisions=list(_decisions(results)),
        metrics=METRICS,
        titles=METRIC_TITLES,
        matrices={METRIC_TITLES[metric]: results["matrix"][metric] for metric in SHOWN_MATRICES},
        task_names=[" + ".join(classes) for classes in results["tasks"]],
        cost=[(key.replace("_", " "), _amount(key, value)) for key, value in (cost or {}).items()],
        figures=[(_link(figure, path), unquote(figure.stem).replace("_", " ")) for figure in figures],
        settings={name: list(_flat(_read(run_dir / f"{name}.json"))) for name in ("config", "env")},
    )
    write_text(path, page)


def _headline(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(title, value, note) of the numbers that stand on top of the page."""
    final, forgotten = results["final"], results["continual"]["fm"]
    pooled = final["pooled_image_auroc"]
    return [
        ("image AUROC", percent(final["routed"]["image_auroc"]), f"{percent(final['oracle']['image_auroc'])} oracle"),
        ("pixel AP", percent(final["routed"]["pixel_ap"]), f"{percent(final['oracle']['pixel_ap'])} oracle"),
        ("routing accuracy", percent(final["routing_accuracy"]), "mean over classes"),
        ("forgetting", percent(forgotten["image_auroc"]), f"image AUROC; pixel AP {percent(forgotten['pixel_ap'])}"),
        ("pooled AUROC", percent(pooled["raw"]), f"all images; {calibrated(pooled)}"),
    ]


def _decisions(results: dict[str, Any]) -> Iterator[tuple[str, int, float, dict[str, float | None]]]:
    """(class, normal images its threshold rests on, false alarms promised, routed decision metrics), where known."""
    for name, row in results["per_class"].items():
        decisions = row.get("decisions", {})  # older results do not say
        if decisions.get("promised_rate") is not None:
            yield name, row["reference_n"], decisions["promised_rate"], decisions["routed"]


def _link(figure: Path, page: Path) -> str:
    """Where the page finds the figure, fit for a URL."""
    return quote(Path(os.path.relpath(figure, page.parent)).as_posix())


def _amount(key: str, value: Any) -> str:
    """A cost as people read it: bytes and seconds with units, lists and mappings item by item."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_amount(key, item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_amount(key, item) for item in value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return MISSING if value is None else str(value)
    if "bytes" in key:
        return f"{value / 1e6:,.2f} MB"
    if "seconds" in key:
        return f"{value:,.1f} s"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _read(path: Path) -> Any:
    """A JSON file; None where it is absent or damaged: a report is also made of a run that broke off."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _flat(value: Any, prefix: str = "") -> Iterable[tuple[str, str]]:
    """Nested settings as (``flow.lora_rank``, ``64``)."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    elif value is not None or prefix:
        yield prefix, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
