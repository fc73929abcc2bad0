"""The study's images: every class split once, and every split written again under each severity of the shift."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from moleflow.data.datasets import ImageDataset
from moleflow.data.shift.domain import SEVERITIES, DomainShift
from moleflow.data.shift.write import write_shifted
from moleflow.data.shifted import ShiftedDataset
from moleflow.data.splits import SEED, Split, open_split
from moleflow.study.layout import CLEAN
from moleflow.utils.errors import UsageError
from moleflow.utils.text import refuse_unknown


def open_splits(
    dataset: ImageDataset, classes: Sequence[str], severities: Sequence[str], folder: Path
) -> dict[str, dict[str, Split]]:
    """Severity (``clean`` first) -> class -> split; what is there is read, what is missing is written.

    Args:
        dataset: images as they are.
        classes: products.
        severities: of ``moleflow.data.shift``.
        folder: holds ``splits/CLASS.json`` and ``shifted/SEVERITY/`` afterwards.

    Raises:
        UsageError: a class or severity is unknown or listed twice, a class cannot be split or tested, or the folder
            holds splits or shifted images of other ones.
    """
    refuse_unknown("--classes", classes, dict.fromkeys(dataset.classes))
    refuse_unknown("--severities", severities, SEVERITIES)
    shifts = {severity: DomainShift(severity) for severity in severities}
    clean = {name: open_split(dataset, name, folder / "splits") for name in classes}
    for split in clean.values():
        _refuse_untestable(split)
    shifted = {severity: _shifted(dataset, clean, shift, folder / "shifted") for severity, shift in shifts.items()}
    return {CLEAN: clean, **shifted}


def _shifted(dataset: ImageDataset, clean: Mapping[str, Split], shift: DomainShift, folder: Path) -> dict[str, Split]:
    root = write_shifted(dataset.root, list(clean.values()), shift, folder / shift.severity, SEED)
    written = ShiftedDataset(root)
    return {name: written.split(name) for name in clean}


def _refuse_untestable(split: Split) -> None:
    labels = {sample.label for sample in split.test}
    if labels != {0, 1}:
        found = "normal" if labels == {0} else "defective" if labels else "no"
        raise UsageError(
            f"The class {split.class_name!r} has {found} test images alone: the study needs normal and defective ones."
        )
