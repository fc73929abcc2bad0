"""How numbers and metric names are written, alike in the terminal, the page and the figures."""

from typing import Any

METRIC_TITLES = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1max": "image F1max",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "pixel_f1max": "pixel F1max",
    "aupro": "AUPRO",
}
MISSING = "–"


def percent(fraction: float | None) -> str:
    """A fraction as a percentage with one decimal and no sign on zero; a dash for None."""
    return MISSING if fraction is None else f"{100 * fraction:z.1f}"


def calibrated(pooled: dict[str, Any]) -> str:
    """The pooled AUROC on the tasks' own scales, and what those count in, which older results do not say."""
    unit = f" ({pooled['unit']})" if pooled.get("unit") else ""
    return f"{percent(pooled['calibrated'])} calibrated{unit}"
