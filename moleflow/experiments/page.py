"""documents/baselines.md: cards of all peers, and the table of those that were run."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from moleflow.analysis.tables import Table
from moleflow.baselines.cards import CARDS, PUBLISHED, Card
from moleflow.baselines.registry import PEERS
from moleflow.evaluation.report.text import MISSING
from moleflow.experiments.kinds import FLOWS
from moleflow.experiments.run import ROWS
from moleflow.experiments.table import COLUMNS, NOTE, Row, comparison
from moleflow.utils.errors import UsageError
from moleflow.utils.io import read_json, write_json, write_text

MEASURED, SAID, PAGE = "baselines_measured.json", "baselines_conclusions.md", "baselines.md"

HEAD = """# Peers in the same table

Written by `python scripts/make_baselines_page.py` from `moleflow/baselines/cards.py`, from measured experiments and
from `baselines_conclusions.md`: change those, not this page.

The methods that people would pick instead, behind the same extractor, data, protocol and evaluator.
`moleflow.baselines.get_model(name, **options)` makes one, `list_models_by_category(category)` names them. What anomalib
has is wrapped unchanged (`pip install -r requirements.txt -r requirements-baselines.txt`); the rest is small and ours.
One loop in plain PyTorch (`moleflow/baselines/training.py`) trains them all: the optimizer is the recipe's, training
stops early on the loss of held-out normal images, hooks look on. Teachers' and encoders' weights come from the same
resolver as every backbone's and are never random without a word.
"""

TAIL = """
## Many experiments from one file

    scripts/run_experiments.py --config experiments.json --data_path products --out experiments

JSON or YAML; any model on any data; each experiment has a folder with `results.json` and `cost.json` of the same form
as a run's; `comparison.md`, `.csv`, `.tex`, `.png` and `.json` hold all of them. What is done is not done again: the
same command goes on where it was stopped, task by task. A malformed entry is refused before anything runs, with its
line.

    {"defaults": {"preset": "realstream", "max_seconds": 30},
     "experiment_conditions": [
       {"name": "patchcore_A", "description": "…", "config": {
          "model_type": "patchcore", "source_domain": "domain_A", "image_size": "224x224",
          "encoder_name": "wide_resnet50_2", "target_layers": ["layer2", "layer3"], "coreset_ratio": 0.1}}]}

`defaults` is optional. A config takes `source_domain` (a class, or several), `max_epochs`, `max_seconds`,
`early_stopping_patience`, `learning_rate`, `batch_size`, `image_size`, `encoder_name`, `target_layers`, every option of
the model, and every flag of run_moleflow.py (also `preset` and `ablation`; `realstream` where none is named). Peers
that have nothing to train do not look at the training's settings.
"""


def collected(folder: Path) -> dict[str, Any]:
    """The rows of all backbones' experiments in a folder: ``FOLDER/BACKBONE/comparison.json``.

    Raises:
        UsageError: there is none.
    """
    files = sorted(folder.glob(f"*/{ROWS}"))
    if not files:
        raise UsageError(f"no {ROWS} lies in a folder of {folder}: run scripts/peers.sh first.")
    return {"backbones": {file.parent.name: read_json(file) for file in files}}


def update_page(documents: Path, folder: Path | None) -> None:
    """Write the page; what is in a folder of experiments replaces, row by row, what was measured before.

    Raises:
        UsageError: the folder holds no experiment.
        MoleflowError: a file cannot be read or written.
    """
    file = documents / MEASURED
    measured = read_json(file) if file.exists() else {"backbones": {}}
    if folder is not None:
        for backbone, rows in collected(folder)["backbones"].items():
            known = {row["name"]: row for row in measured["backbones"].get(backbone, [])}
            measured["backbones"][backbone] = list({**known, **{row["name"]: row for row in rows}}.values())
        write_json(file, measured)
    said = (documents / SAID).read_text(encoding="utf-8") if (documents / SAID).exists() else ""
    write_text(documents / PAGE, page(measured["backbones"], said))


def page(backbones: Mapping[str, Sequence[Row]], said: str = "") -> str:
    """The whole page."""
    tables = [_table(name, backbones[name]) for name in sorted(backbones, reverse=True)]
    measured = ["\n## Measured here\n", said.strip(), "", *tables] if tables else []
    return "\n".join([HEAD, *measured, _cards(backbones), _flows(), _published(), TAIL.lstrip("\n")])


def _table(backbone: str, rows: Sequence[Row]) -> str:
    """One backbone's rows: models of one class, then methods for streams."""
    ranked = sorted(rows, key=lambda row: (_is_for_streams(row["model"]), -(row["image_auroc"] or 0)))
    table = comparison(ranked)
    shown = Table(f"{backbone}, seed {rows[0]['seed']}", COLUMNS[1:], tuple(row[1:] for row in table.rows),
                  " ".join(NOTE.split()))  # fmt: skip
    unfinished = [row["name"] for row in rows if row["tasks"][0] < row["tasks"][1]]
    return shown.markdown() + (f"\nNot all tasks were run of: {', '.join(unfinished)}.\n" if unfinished else "")


def _is_for_streams(model: str) -> bool:
    return model in FLOWS or PEERS[model].category == "continual"


def _cards(backbones: Mapping[str, Iterable[Row]]) -> str:
    """A table for each category."""
    parts = ["\n## Cards\n", "*Published* is what the paper says on MVTec AD with its own backbone and training, in %; "
             "*here* is image AUROC / pixel AP on the five products above, in %.\n"]  # fmt: skip
    for category in dict.fromkeys(entry.category for entry in PEERS.values()):
        names = [name for name, entry in PEERS.items() if entry.category == category]
        rows = tuple(_card(name, CARDS[name], backbones) for name in names)
        columns = ("name", "what it is", "paper", "anomalib's", "ours", "published", "here")
        parts.append(Table(category, columns, rows).markdown())
    return "\n".join(parts)


def _card(name: str, card: Card, backbones: Mapping[str, Iterable[Row]]) -> tuple[str, ...]:
    idea = f"{card.title}. {card.idea}"
    return (
        f"`{name}`",
        idea,
        card.paper,
        card.wrapped or MISSING,
        card.ours,
        card.published,
        _here(name, card, backbones),
    )


def _here(name: str, card: Card, backbones: Mapping[str, Iterable[Row]]) -> str:
    found = [
        f"{backbone}: {_shown(row['image_auroc'])} / {_shown(row['pixel_ap'])}"
        for backbone in sorted(backbones, reverse=True)
        for row in backbones[backbone]
        if row["model"] == name
    ]
    return "; ".join(found) or f"not run here{': ' + card.not_run if card.not_run else ''}"


def _shown(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:.1f}"


def _published() -> str:
    columns = ("method", "MVTec AD", "VisA", "note")
    title = "Published on streams of one class a task: image AUROC / pixel AP, %; other images than ours"
    return Table(title, columns, PUBLISHED).markdown()


def _flows() -> str:
    rows = tuple((f"`{name}`", kind.title, kind.says) for name, kind in FLOWS.items())
    return Table("flows on streams (this project's code)", ("model_type", "name", "what it is"), rows).markdown()
