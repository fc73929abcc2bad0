"""What was left out is told by class, survives the process, and is taken back once it is sound."""

from pathlib import Path

import pytest

from moleflow.data.images import BadImage
from moleflow.data.sample import Sample
from moleflow.data.skipped import SHOWN, SkippedImages, in_words
from moleflow.utils.errors import MoleflowError
from moleflow.utils.sums import SUMS, Sums


def sample(name: str, owner: str = "bolt", mask: Path | None = None) -> Sample:
    return Sample(Path(name), owner, 0, "good", mask)


def test_images_and_masks_are_told_by_class_and_path() -> None:
    skipped = SkippedImages()
    one, other = sample("b\n.png"), sample("c.png", "nut", Path("a_mask.png"))
    skipped.note([one, other], [BadImage(one.path, "odd"), BadImage(Path("a_mask.png"), "other size")], "test")
    assert skipped.of(["bolt"]) == {
        "count": 1,
        "images": [{"path": "b\\n.png", "class_name": "bolt", "split": "test", "reason": "odd"}],
    }
    assert [row["path"] for row in skipped.of(["nut", "bolt"])["images"]] == ["a_mask.png", "b\\n.png"]
    assert list(in_words(skipped.of(["bolt"]))) == ["1 image was skipped:", "  cannot use image b\\n.png: odd"]
    assert list(in_words(skipped.of(["washer"]))) == []
    skipped.forgive([other])
    assert skipped.of(["nut"])["count"] == 0


def test_a_later_process_knows_them_and_what_is_sound_again_is_gone(tmp_path: Path) -> None:
    file, one, other = tmp_path / "skipped.json", sample("a.png"), sample("b.png")
    first = SkippedImages()
    first.note([one], [BadImage(one.path, "odd")], "train")
    assert not file.exists()
    first.keep_in(Sums(tmp_path))
    first.note([other], [BadImage(other.path, "odder")], "train")
    second = SkippedImages()
    second.keep_in(Sums(tmp_path))
    assert second.of(["bolt"]) == first.of(["bolt"])
    second.forgive([one])
    third = SkippedImages()
    third.keep_in(Sums(tmp_path))
    assert [row["path"] for row in third.of(["bolt"])["images"]] == ["b.png"]
    file.write_text('[{"path": "a.png"}]')
    with pytest.raises(MoleflowError, match=r"skipped.json differs from its hash"):
        SkippedImages().keep_in(Sums(tmp_path))
    (tmp_path / SUMS).unlink()
    with pytest.raises(MoleflowError, match=r"skipped.json is damaged"):
        SkippedImages().keep_in(Sums(tmp_path))


def test_nothing_is_written_where_nothing_was_skipped(tmp_path: Path) -> None:
    skipped = SkippedImages()
    skipped.keep_in(Sums(tmp_path))
    skipped.note([sample("a.png")], [], "test")
    skipped.forgive([sample("a.png")])
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_lists_some_and_counts_all() -> None:
    skipped = SkippedImages()
    many = [sample(f"{number}.png") for number in range(SHOWN + 7)]
    skipped.note(many, [BadImage(one.path, "odd") for one in many], "train")
    lines = list(in_words(skipped.of(["bolt"])))
    assert lines[0] == f"{SHOWN + 7} images were skipped:"
    assert (len(lines), lines[-1]) == (SHOWN + 2, "  and 7 more, which results.json names")
