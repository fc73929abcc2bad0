"""What is in a dataset that makes a run's numbers doubtful, not impossible: told when the run starts."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from moleflow.data.duplicates import duplicates, leak
from moleflow.data.images import BadImage, defect_area
from moleflow.data.sample import Sample
from moleflow.utils.text import shown

ALL = "`python -m moleflow data check` names them all"


def doubts(train: Sequence[Sample], test: Sequence[Sample], root: Path) -> Iterator[str]:
    """One sentence for each kind of doubt, with its first case.

    They are: a class with one training image, of which none can be held out; test images that are trained on as well;
    masks of defective images without a defect in them.

    Args:
        train: normal training images of all classes of a stream.
        test: their test images.
        root: the dataset's folder, which paths are shown relative to.
    """
    for name, images in Counter(sample.class_name for sample in train).items():
        if images == 1:
            yield f"class {name!r} has one training image, none is held out: it gets no threshold and no calibration"
    if leaks := duplicates(train, test):
        yield f"{leak(*leaks[0], root)}{_more(leaks)}, which makes results too good; {ALL}"
    if empty := [sample for sample in test if sample.mask and _is_empty(sample.mask)]:
        first = shown(empty[0].mask)
        yield f"mask {first} of a defective image is empty{_more(empty)}: image metrics alone count it; {ALL}"


def _more(cases: Sequence[object]) -> str:
    return f" (and {len(cases) - 1} more)" if len(cases) > 1 else ""


def _is_empty(mask: Path) -> bool:
    """Whether a mask that can be read holds no defect."""
    try:
        return not defect_area(mask)
    except BadImage:
        return False
