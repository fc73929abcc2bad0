"""Tables of thresholds and of metrics, per class and as macro means."""

from moleflow.analysis.output import Analysis
from moleflow.analysis.shift.cells import METRICS, TITLES, Study
from moleflow.analysis.tables import Cell, Table


def thresholds(study: Study) -> Analysis:
    """The threshold of every cell and what decisions at it are worth on test images."""
    names = ("f1", "precision", "recall", "accuracy")
    rows: list[tuple[Cell, ...]] = []
    without = set()
    for method, severity, phase in study.rows():
        for name in study.classes:
            cell = study.cell(method, severity, phase, name)
            if cell is None:
                continue
            if not cell.result["val_has_anomalies"]:
                without.add(name)
            threshold = f"{cell.result['threshold']:.4g}"
            rows.append((method, severity, TITLES[phase], name, threshold, *(cell.at_threshold(one) for one in names)))
    columns = ("method", "severity", "phase", "class", "threshold", *(f"{one}, %" for one in names))
    finding = ["Thresholds have the highest F1 on validation images; decisions are counted on test images."]
    if without:
        finding.append(
            f"Without anomalies in validation, so that the largest normal score is taken: {', '.join(sorted(without))}."
        )
    return Analysis("Thresholds", finding, {"rows": [list(row) for row in rows]},
                    tables={"thresholds": Table("Thresholds and decisions", columns, tuple(rows))})  # fmt: skip


def metrics(study: Study) -> Analysis:
    """Every metric of every cell, and macro means."""
    rows: list[tuple[Cell, ...]] = []
    means: list[tuple[Cell, ...]] = []
    for method, severity, phase in study.rows():
        head = (method, severity, TITLES[phase])
        for name in study.classes:
            cell = study.cell(method, severity, phase, name)
            if cell is not None:
                rows.append((*head, name, *(cell.metric(metric) for metric in METRICS)))
        if any(study.cell(method, severity, phase, name) for name in study.classes):
            means.append((*head, *(study.macro(method, severity, phase, metric) for metric in METRICS)))
    titles = tuple(f"{title}, %" for title in METRICS.values())
    head_columns = ("method", "severity", "phase")
    return Analysis(
        "Metrics", [_best_clean(study)], {"classes": study.classes, "macro": [list(row) for row in means]},
        tables={
            "macro": Table("Mean over classes", (*head_columns, *titles), tuple(means)),
            "per_class": Table("Per class", (*head_columns, "class", *titles), tuple(rows)),
        },
    )  # fmt: skip


def _best_clean(study: Study) -> str:
    values = {method: study.macro(method, "clean", "clean", "image_auroc") for method in study.methods}
    known = {method: value for method, value in values.items() if value is not None}
    if not known:
        return "No method was measured on all clean classes."
    shown = ", ".join(f"{method} {value:.1f}" for method, value in sorted(known.items(), key=lambda one: -one[1]))
    return f"Image AUROC on clean images, mean over {len(study.classes)} classes, %: {shown}."
