"""The study's images: parts that share nothing, the same parts under each severity."""

import shutil
from pathlib import Path

import pytest
from fake_peer import CLASSES, SEVERITIES

from moleflow.data.datasets import open_dataset
from moleflow.data.splits import Split
from moleflow.study.data import open_splits
from moleflow.study.layout import CLEAN
from moleflow.utils.errors import UsageError


def test_every_severity_holds_the_same_images_in_the_same_parts(splits: dict[str, dict[str, Split]]):
    assert list(splits) == [CLEAN, *SEVERITIES]
    for name in CLASSES:
        clean = splits[CLEAN][name]
        for severity in SEVERITIES:
            for part in ("train", "val", "test"):
                before = sorted(f"{sample.defect}_{sample.path.stem}_shifted" for sample in clean.part(part))
                assert sorted(sample.path.stem for sample in splits[severity][name].part(part)) == before
        assert {sample.label for sample in clean.train} == {0}
        assert {sample.label for sample in clean.test} == {sample.label for sample in clean.val} == {0, 1}


def test_a_second_call_reads_what_the_first_one_wrote(products: Path, tmp_path: Path):
    opened = [open_splits(open_dataset("folder", products), ["fabric"], ["mild"], tmp_path) for _ in range(2)]
    assert opened[0] == opened[1]


@pytest.mark.parametrize(
    ("classes", "severities", "sentence"),
    [
        (["fabrik"], ["mild"], r"--classes has an unknown 'fabrik'.*did you mean 'fabric'"),
        (["fabric"], ["hard"], r"--severities has an unknown 'hard', expected some of mild, moderate, severe"),
        (["fabric", "fabric"], ["mild"], r"--classes lists one twice: fabric fabric"),
        (["fabric"], ["mild", "mild"], r"--severities lists one twice"),
    ],
)
def test_wrong_names_are_refused(
    products: Path, tmp_path: Path, classes: list[str], severities: list[str], sentence: str
):
    with pytest.raises(UsageError, match=sentence):
        open_splits(open_dataset("folder", products), classes, severities, tmp_path)


def test_a_class_without_defects_is_refused(products: Path, tmp_path: Path):
    broken = Path(shutil.copytree(products, tmp_path / "products"))
    for folder in (broken / "fabric" / "test").iterdir():
        if folder.name != "good":
            shutil.rmtree(folder)
    with pytest.raises(UsageError, match="'fabric' has normal test images alone"):
        open_splits(open_dataset("folder", broken), ["fabric"], ["mild"], tmp_path / "out")
