"""What the exploration counts is what is there."""

import csv
import json

import numpy as np
import pytest
from layouts import image, product
from PIL import Image

from moleflow.analysis.exploration import Defect, defect_of, explore
from moleflow.analysis.shift_examples import draw_examples
from moleflow.data.folder import FolderDataset
from moleflow.utils.errors import UsageError


@pytest.fixture
def dataset(tmp_path):
    """Two dents of one pixel of 120; a crack without a mask; a training image of another size."""
    folder = product(tmp_path / "data")
    image(folder / "test/crack/000.png")
    Image.new("RGB", (20, 30)).save(folder / "train/good/003.png")
    return FolderDataset(tmp_path / "data")


def test_counts_sizes_and_areas(dataset, tmp_path):
    found = explore(dataset, command="python explore")
    found.write(tmp_path / "out")
    counts, types = (list(csv.reader((tmp_path / f"out/{name}.csv").open())) for name in ("counts", "defect_types"))
    assert counts[1] == ["bolt", "4", "2", "3", "2", "2", "12–20 × 10–30 (2 sizes)"]
    assert types[1] == ["bolt", "crack", "1", "", "", "", "", ""]
    assert types[2][:3] == ["bolt", "dent", "2"]
    assert [float(cell) for cell in types[2][3:]] == pytest.approx([100 / 120] * 3 + [1, 0])
    numbers = json.loads((tmp_path / "out/analysis_results.json").read_text())
    assert numbers["bolt"]["sizes"] == {"12x10": 8, "20x30": 1}
    assert numbers["bolt"]["test"] == {"crack": 1, "dent": 2, "good": 2}
    page = (tmp_path / "out/summary.md").read_text()
    assert "9 images of 1 class." in page
    assert "ship no mask: bolt" in page
    for name in ("defect_areas", "sheet_bolt"):
        assert f"{name}.png" in page
        assert 1000 < (tmp_path / f"out/{name}.png").stat().st_size < 200_000


def test_facts_of_a_mask():
    mask = np.zeros((10, 20), bool)
    mask[2:4, 3:5] = mask[4, 5] = mask[9, 19] = True  # two pieces: a corner joins, and one is at the border
    assert defect_of(mask) == Defect(3.0, 2, True)
    mask[9, 19] = False
    assert defect_of(mask) == Defect(2.5, 1, False)


@pytest.mark.parametrize("place", [(0, 5), (9, 5), (5, 0), (5, 19)])
def test_every_side_is_a_border(place):
    mask = np.zeros((10, 20), bool)
    mask[place] = True
    assert defect_of(mask).at_border


def test_a_dataset_without_masks_has_no_areas(tmp_path):
    for split in ("train/good", "test/good", "test/fault"):
        image(tmp_path / "bolt" / split / "000.png")
    found = explore(FolderDataset(tmp_path))
    assert [picture.name for picture in found.pictures] == ["sheet_bolt"]


def test_examples_have_a_row_a_class_and_a_column_a_shift(dataset, tmp_path):
    figure = draw_examples(dataset, ["bolt", "bolt"])
    assert [axes.get_title() for axes in figure.axes[:5]] == ["original", "mild", "moderate", "severe", "rotation"]
    assert len(figure.axes) == 2 * 11
    original, mild, severe = (np.asarray(figure.axes[i].images[0].get_array(), float) for i in (0, 1, 3))
    assert 0 < np.abs(mild - original).mean() < np.abs(severe - original).mean()
    image(tmp_path / "bare/bolt/train/good/000.png")
    with pytest.raises(UsageError, match="no defective image with a mask"):
        draw_examples(FolderDataset(tmp_path / "bare"), ["bolt"])
