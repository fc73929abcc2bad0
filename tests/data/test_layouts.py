"""The published layouts in miniature, and what a wrong or half copied one is told."""

import re
from pathlib import Path

import pytest
from layouts import VISA_HEADER, btad, domains, image, product, visa, visa_rows, write_split

from moleflow.data.datasets import DATASETS, FACTS, dataset_root, open_dataset
from moleflow.data.facts import Counts
from moleflow.data.sample import GOOD, Sample
from moleflow.utils.errors import UsageError

VISA_CLASSES = "candle capsules cashew chewinggum fryum macaroni1 macaroni2 pcb1 pcb2 pcb3 pcb4 pipe_fryum"
MPDD_CLASSES = "bracket_black bracket_brown bracket_white connector metal_plate tubes"


def shown(samples: list[Sample], folder: Path) -> list[tuple[str, int, str, str | None]]:
    """(image, label, defect, mask) of samples, paths relative to a folder."""
    return [
        (
            s.path.relative_to(folder).as_posix(),
            s.label,
            s.defect,
            s.mask.relative_to(folder).as_posix() if s.mask else None,
        )
        for s in samples
    ]


def test_visa_is_read_by_its_split_file(tmp_path: Path) -> None:
    visa(tmp_path, "pcb1", "candle")
    dataset = open_dataset("visa", tmp_path)
    assert dataset.classes == ("candle", "pcb1"), "in the official order"
    data = tmp_path / "candle" / "Data"
    assert shown(dataset.train("candle"), data) == [
        ("Images/Normal/0000.JPG", 0, GOOD, None),
        ("Images/Normal/0002.JPG", 0, GOOD, None),
    ]
    assert shown(dataset.test("candle"), data) == [
        ("Images/Anomaly/000.JPG", 1, "anomaly", "Masks/Anomaly/000.png"),
        ("Images/Anomaly/001.JPG", 1, "anomaly", "Masks/Anomaly/001.png"),
        ("Images/Normal/0001.JPG", 0, GOOD, None),
    ]
    assert {s.class_name for s in dataset.test("pcb1")} == {"pcb1"}


def test_visa_reads_rows_in_any_order_with_a_bom_and_windows_line_ends(tmp_path: Path) -> None:
    visa(tmp_path, "candle")
    expected = open_dataset("visa", tmp_path).test("candle")
    file = tmp_path / "split_csv/1cls.csv"
    lines = [VISA_HEADER, *reversed(visa_rows("candle"))]
    file.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert open_dataset("visa", tmp_path).test("candle") == expected


def test_a_split_file_that_names_a_missing_file_gives_line_file_and_number(tmp_path: Path) -> None:
    visa(tmp_path, "candle")
    (tmp_path / "candle/Data/Images/Anomaly/001.JPG").unlink()
    (tmp_path / "candle/Data/Masks/Anomaly/001.png").unlink()
    dataset = open_dataset("visa", tmp_path)
    assert len(dataset.train("candle")) == 2
    with pytest.raises(UsageError, match=r"1cls\.csv names .*Anomaly/001\.JPG in line 6, .*not exist \(and 1 more"):
        dataset.test("candle")


def test_a_class_of_visa_without_its_folder_is_not_there(tmp_path: Path) -> None:
    visa(tmp_path, "candle")
    write_split(tmp_path, visa_rows("candle") + visa_rows("cashew"))
    dataset = open_dataset("visa", tmp_path)
    assert dataset.classes == ("candle",)
    with pytest.raises(UsageError, match=r"no class 'cashew' in .* \(cashew/ is missing\); found candle$"):
        dataset.train("cashew")


@pytest.mark.parametrize(("line", "expected"), [
    ("candle,val,normal,candle/a.JPG,", r"line 2 of .*1cls\.csv has split 'val': expected train or test"),
    ("candle,test,bad,candle/a.JPG,", r"line 2 .* has label 'bad': expected normal or anomaly"),
    ("candle,train,anomaly,candle/a.JPG,", r"line 2 .* trains on an anomaly, candle/a\.JPG"),
    ("candle,train,normal,,", r"line 2 .* names the file '': expected a path below"),
    ("candle,train,normal,/etc/passwd,", r"names the file '/etc/passwd'"),
    ("candle,test,anomaly,candle/a.JPG,../../mask.png", r"names the file '\.\./\.\./mask\.png'"),
    ("candle,train", r"line 2 .* has label ''"),
])  # fmt: skip
def test_rows_that_make_no_sense_are_named(tmp_path: Path, line: str, expected: str) -> None:
    write_split(tmp_path, [line])
    (tmp_path / "candle").mkdir()
    with pytest.raises(UsageError, match=expected):
        open_dataset("visa", tmp_path)


def test_a_split_file_of_another_kind_shows_both_headers(tmp_path: Path) -> None:
    write_split(tmp_path, ["a,b,c"], header="image,label,mask")
    with pytest.raises(UsageError, match=r"no column 'object': expected object,split,label,image,mask, found image,l"):
        open_dataset("visa", tmp_path)
    (tmp_path / "split_csv/1cls.csv").write_bytes(b"\xff\xfe\x00\x00")
    with pytest.raises(UsageError, match=r"1cls\.csv cannot be read"):
        open_dataset("visa", tmp_path)


def test_visa_without_its_split_file_shows_layout_and_findings(tmp_path: Path) -> None:
    (tmp_path / "candle/Data").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"expected split_csv/1cls\.csv and <class>/Data/.*; found candle/$"):
        open_dataset("visa", tmp_path)
    product(tmp_path, "candle")
    with pytest.raises(UsageError, match=r"converted copy: read it with --dataset folder"):
        open_dataset("visa", tmp_path)


def test_visa_without_training_images_of_a_class(tmp_path: Path) -> None:
    visa(tmp_path, "candle")
    write_split(tmp_path, visa_rows("candle")[2:])
    with pytest.raises(UsageError, match=r"lists no training image of 'candle'"):
        open_dataset("visa", tmp_path).train("candle")


def test_btad_has_ok_and_ko_images_of_two_formats(tmp_path: Path) -> None:
    dataset = open_dataset("btad", btad(tmp_path))
    assert dataset.classes == ("01", "02", "03")
    for name, suffix, mask_suffix in (("01", "bmp", "png"), ("02", "png", "png"), ("03", "bmp", "bmp")):
        folder = tmp_path / name
        assert shown(dataset.train(name), folder) == [
            (f"train/ok/{stem}.{suffix}", 0, GOOD, None) for stem in ("0000", "0001")
        ]
        assert shown(dataset.test(name), folder) == [
            *((f"test/ko/{s}.{suffix}", 1, "ko", f"ground_truth/ko/{s}.{mask_suffix}") for s in ("0000", "0001")),
            *((f"test/ok/{s}.{suffix}", 0, GOOD, None) for s in ("0000", "0001")),
        ]


def test_btad_in_another_layout_is_told_its_own(tmp_path: Path) -> None:
    product(tmp_path, "01")
    with pytest.raises(UsageError, match=r"'btad'.*<class>/train/ok/.*with class one of 01, 02, 03; found 01/$"):
        open_dataset("btad", tmp_path)
    image(tmp_path / "02/train/ok/0000.png")
    with pytest.raises(UsageError, match=r"no class '01' .* \(01/train/ok is missing\); found 02$"):
        open_dataset("btad", tmp_path).train("01")


def test_mpdd_has_the_layout_of_mvtec(tmp_path: Path) -> None:
    for name in ("tubes", "connector", "screw"):
        product(tmp_path, name)
    dataset = open_dataset("mpdd", tmp_path)
    assert dataset.classes == ("connector", "tubes")
    assert len(dataset.train("tubes")) == 3
    assert [s.mask is not None for s in dataset.test("tubes")] == [True, True, False, False]


def test_domains_are_the_classes_and_faults_have_no_masks(tmp_path: Path) -> None:
    product(domains(tmp_path), "spare")
    dataset = open_dataset("domains", tmp_path)
    assert dataset.classes == ("domain_A", "domain_B", "domain_C", "domain_D")
    assert shown(dataset.test("domain_B"), tmp_path / "domain_B") == [
        *((f"test/fault/{s}.png", 1, "fault", None) for s in ("000001", "000002")),
        *((f"test/good/{s}.png", 0, GOOD, None) for s in ("000001", "000002")),
    ]


def test_a_folder_without_domains_shows_how_one_is_named(tmp_path: Path) -> None:
    product(tmp_path, "source")
    with pytest.raises(UsageError, match=r"'domains'.*expected domain_A/train/good.*found source/$"):
        open_dataset("domains", tmp_path)


@pytest.mark.parametrize(("name", "classes", "train", "good", "defective"), [
    ("mvtec", None, 3629, 467, 1258),
    ("visa", VISA_CLASSES, 8659, 962, 1200),
    ("mpdd", MPDD_CLASSES, 888, 176, 282),
    ("btad", "01 02 03", None, 451, 290),
])  # fmt: skip
def test_official_counts_add_up_to_the_published_totals(
    name: str, classes: str | None, train: int | None, good: int, defective: int
) -> None:
    counts = FACTS[name].counts
    assert classes is None or list(counts) == classes.split()
    if train is not None:
        assert sum(one.train or 0 for one in counts.values()) == train
    assert sum(one.good or 0 for one in counts.values()) == good
    assert sum(one.defective or 0 for one in counts.values()) == defective


def test_the_document_lists_the_official_counts_and_every_layout() -> None:
    text = (Path(__file__).resolve().parents[2] / "documents" / "datasets.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (\S+) \| (\S+) \| (\S+) \|$", text, re.M)
    cell = lambda value: "–" if value is None else str(value)
    assert rows == [
        (name, product, cell(counts.train), cell(counts.good), cell(counts.defective))
        for name, facts in FACTS.items()
        for product, counts in facts.counts.items()
    ]
    assert set(re.findall(r"^\| `(\w+)` \|.*`data/\w+\.py` \|$", text, re.M)) == set(DATASETS)


def test_counts_named_in_the_specification() -> None:
    assert FACTS["visa"].counts["candle"] == Counts(900, 100, 100)
    assert FACTS["mpdd"].counts["bracket_black"].train == 289
    assert FACTS["mvtec"].counts["screw"] == Counts(320, 41, 119)


@pytest.mark.parametrize(("name", "mean"), [("mvtec", 99.1), ("visa", 95.1)])
def test_published_difficulties_have_their_published_mean(name: str, mean: float) -> None:
    values = FACTS[name].image_auroc
    assert set(values) == set(FACTS[name].counts)
    assert sum(values.values()) / len(values) == pytest.approx(mean, abs=0.05)


def test_facts_belong_to_datasets_and_textures_to_their_classes() -> None:
    assert set(FACTS) <= set(DATASETS)
    assert FACTS["mvtec"].textures < set(FACTS["mvtec"].counts)


def test_the_root_is_given_or_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOLEFLOW_DATA", "/sets")
    assert dataset_root("visa", None) == Path("/sets/visa")
    assert dataset_root("visa", "here") == Path("here")
    monkeypatch.delenv("MOLEFLOW_DATA")
    with pytest.raises(UsageError, match=r"'visa' needs --data_path FOLDER \(or \$MOLEFLOW_DATA/visa\)"):
        dataset_root("visa", None)
