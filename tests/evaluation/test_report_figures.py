"""The figures: small PNG files with nothing cut off at the border, whatever the names and numbers."""

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

import numpy as np
import pytest
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from moleflow.analysis.output import save_figure
from moleflow.evaluation.report.figures import (
    GalleryRow,
    heatmap_gallery,
    score_histograms,
    task_matrix,
    training_curves,
)
from moleflow.evaluation.report.figures.canvas import FINEST, arrange, label, new_figure
from moleflow.evaluation.report.figures.gallery import CAPTION, CELL, GAP, HEADER, overlay

NAMES = ["screw", "$a$ and $b", "_hidden", "磁砖", "line\nbreak", *(f"a_long_class_name_number_{i}" for i in range(12))]


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def pixels(path: Path) -> np.ndarray:
    """(h, w, 3) of a file that is a small PNG with a white border, so that no label runs out of it."""
    assert path.stat().st_size <= 300_000
    with Image.open(path) as image:
        assert image.format == "PNG"
        array = np.asarray(image.convert("RGB"))
    for edge in (array[0], array[-1], array[:, 0], array[:, -1]):
        assert edge.min() == 255
    return array


def gallery_rows(count: int, size: int = 224, title: str = "scratch/003") -> list[GalleryRow]:
    """Pure noise, which no PNG can pack; the truths in turn: a corner, nothing, unknown."""
    rng = np.random.default_rng(0)
    corner = np.zeros((size, size), dtype=bool)
    corner[: size // 3, : size // 3] = True
    truths = [corner, np.zeros_like(corner), None]
    return [
        GalleryRow(
            rng.integers(0, 256, (size, size, 3), dtype=np.uint8),
            truths[i % 3],
            rng.normal(size=(size, size)).astype(np.float32),
            title,
            1234.5,
            threshold=1000.0 if i % 2 else None,
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("count", [1, 6])
def test_a_gallery_of_noise_stays_small(count: int, tmp_path: Path) -> None:
    heatmap_gallery(gallery_rows(count, title="manipulated_front_with_long_name/001"), tmp_path / "g.png", "$crew")
    array = pixels(tmp_path / "g.png")
    assert array.shape[0] > 100 * count


def test_a_gallery_takes_images_of_any_shape_and_flat_maps(tmp_path: Path) -> None:
    flat = np.full((90, 30), 3.0, dtype=np.float32)
    tall = GalleryRow(np.zeros((90, 30, 3), dtype=np.uint8), None, flat, "good", 1.0)
    heatmap_gallery([tall, *gallery_rows(1, 64)], tmp_path / "sub" / "mixed.png")
    heatmap_gallery([tall], tmp_path / "flat.png")
    pixels(tmp_path / "sub" / "mixed.png")
    pixels(tmp_path / "flat.png")


def test_the_outline_is_drawn_only_around_the_defect(tmp_path: Path) -> None:
    """On a grey image the only yellow is the outline: at its place in the middle of three columns."""
    grey = np.full((64, 64, 3), 128, dtype=np.uint8)
    truth = np.zeros((64, 64), dtype=bool)
    truth[4:20, 34:58] = True
    heatmap_gallery([GalleryRow(grey, truth, np.zeros((64, 64)), "hole", 1.0)], tmp_path / "g.png")
    array = pixels(tmp_path / "g.png").astype(int)
    yellow = (array[..., 0] > 230) & (array[..., 1] > 190) & (array[..., 2] < 120)
    yellow[:, int(0.85 * array.shape[1]) :] = False  # the colour bar
    found = np.argwhere(yellow) / FINEST  # inches
    left, top = CAPTION + CELL + GAP, HEADER
    assert found.min(axis=0) == pytest.approx([top + 4 / 64 * CELL, left + 34 / 64 * CELL], abs=0.03)
    assert found.max(axis=0) == pytest.approx([top + 20 / 64 * CELL, left + 58 / 64 * CELL], abs=0.03)


def test_overlay_grows_lighter_with_the_score_and_follows_the_shared_scale() -> None:
    grey = np.full((1, 5, 3), 100, dtype=np.uint8)
    shown = overlay(grey, np.array([[-9.0, 0.0, 1.0, 2.0, 9.0]]), Normalize(0.0, 2.0))
    lightness = shown.mean(axis=2)[0]
    assert np.array_equal(shown[0, 0], shown[0, 1])  # below the scale: as at its lower end
    assert np.array_equal(shown[0, 3], shown[0, 4])
    assert lightness[1] < lightness[2] < lightness[3]
    assert 0 <= shown.min() <= shown.max() <= 1


def test_overlay_shows_the_image_where_scores_are_low_and_hides_it_where_they_are_high() -> None:
    scores, scale = np.array([[0.0, 1.0]]), Normalize(0.0, 1.0)
    black, white = (overlay(np.full((1, 2, 3), value, dtype=np.uint8), scores, scale) for value in (0, 255))
    assert (white - black)[0, :, 0] == pytest.approx([0.75, 0.15])


def test_matrices_of_any_size(tmp_path: Path) -> None:
    task_matrix([[0.9]], ["screw"], "image AUROC", tmp_path / "one.png")
    task_matrix([[None, None]], ["a", "b"], "pixel AP", tmp_path / "none.png")
    rng = np.random.default_rng(0)
    rows = [rng.random(row + 1).tolist() for row in range(len(NAMES))]
    rows[3][1] = None
    task_matrix(rows, NAMES, "image AUROC, oracle route: " + "a long title " * 10, tmp_path / "many.png")
    for name in ("one", "none", "many"):
        pixels(tmp_path / f"{name}.png")


def test_matrix_cells_carry_their_percentage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[tuple[tuple[float, float], str]] = []
    monkeypatch.setattr(
        "moleflow.evaluation.report.figures.matrix.save",
        lambda figure, path: texts.extend((text.get_position(), text.get_text()) for text in figure.axes[0].texts),
    )
    task_matrix([[0.5, None], [0.25, 1.0]], ["a", "b"], "AUROC", tmp_path / "m.png")
    assert texts == [((0, 0), "50.0"), ((0, 1), "25.0"), ((1, 1), "100.0")]


def test_histograms_of_any_number_of_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    many = {name: (rng.integers(0, 2, 60), rng.normal(size=60)) for name in NAMES}
    odd = {
        "constant": (np.array([0, 1]), np.array([2.0, 2.0])),
        "one label": (np.array([0, 0]), np.array([1.0, 2.0])),
        "empty": (np.zeros(0, dtype=int), np.zeros(0)),
    }
    score_histograms(many, dict.fromkeys(NAMES, 0.5), tmp_path / "many.png")
    score_histograms(odd, {"constant": None}, tmp_path / "odd.png")
    pixels(tmp_path / "many.png")
    pixels(tmp_path / "odd.png")


def test_histograms_show_shares_of_each_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(
        "moleflow.evaluation.report.figures.histograms.save", lambda figure, path: figures.append(figure)
    )
    labels, scores = np.array([0] * 90 + [1] * 10), np.arange(100.0)
    score_histograms({"screw": (labels, scores)}, {"screw": 89.5}, tmp_path / "h.png")
    axes = figures[0].axes[0]
    assert [patch.get_data().values.sum() for patch in axes.patches] == pytest.approx([1.0, 1.0])
    assert axes.lines[0].get_xdata()[0] == 89.5


def test_training_curves_of_any_stream(tmp_path: Path) -> None:
    steps = range(40)
    many = {name: [(step, {"loss": 1 / (1 + step), "nll": -float(step)}) for step in steps] for name in NAMES}
    odd = {
        "never": [],
        "once": [(7, {"loss": 1.0})],
        "diverged": [(0, {"loss": 1.0}), (1, {"loss": float("nan")}), (2, {"lr": 1e-3})],
    }
    training_curves(many, tmp_path / "many.png")
    training_curves(odd, tmp_path / "odd.png")
    pixels(tmp_path / "many.png")
    pixels(tmp_path / "odd.png")


def test_tasks_follow_each_other_whether_or_not_their_steps_start_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr("moleflow.evaluation.report.figures.curves.save", lambda figure, path: figures.append(figure))
    for offset in (0, 10):
        first = [(step, {"loss": 1.0}) for step in range(10)]
        second = [(step + offset, {"loss": 2.0}) for step in range(10)]
        training_curves({"a": first, "b": second}, tmp_path / "c.png")
        lines = figures[-1].axes[0].lines
        assert lines[0].get_xdata().tolist() == list(range(10))
        assert lines[1].get_xdata().tolist() == list(range(10, 20))


def test_nothing_to_draw_writes_nothing(tmp_path: Path) -> None:
    heatmap_gallery([], tmp_path / "g.png")
    score_histograms({}, {}, tmp_path / "h.png")
    training_curves({"task": []}, tmp_path / "c.png")
    assert list(tmp_path.iterdir()) == []


def test_places_are_found_once_however_many_files_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda self, _: found.append(self))
    figure = new_figure(2, 1)
    figure.subplots()
    save_figure(figure, tmp_path / "a")
    assert {file.name for file in tmp_path.iterdir()} == {"a.pdf", "a.png"}
    assert len(found) == 1


def test_a_figure_that_cannot_be_drawn_leaves_the_one_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(self: FigureCanvasPdf, file: IO[bytes] | Path, **_: object) -> None:
        file.write_bytes(b"half") if isinstance(file, Path) else file.write(b"half")
        raise KeyboardInterrupt

    save_figure(new_figure(2, 1), tmp_path / "a")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    monkeypatch.setattr(FigureCanvasPdf, "print_pdf", stopped)
    with pytest.raises(KeyboardInterrupt):
        save_figure(new_figure(3, 1), tmp_path / "a")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_name_in_another_script_is_no_reason_for_warnings(tmp_path: Path) -> None:
    figure = new_figure(2, 1)
    figure.subplots().set_title("部品")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(figure, tmp_path / "a")


@pytest.mark.parametrize("layout", ["constrained", None])
def test_a_layout_makes_room_for_a_title_outside_the_axes(layout: Literal["constrained"] | None) -> None:
    figure = new_figure(2, 1, layout)
    title = figure.subplots().set_ylabel("score", labelpad=40)
    arrange(figure)
    assert (title.get_window_extent().x0 >= 0) == (layout is not None)


def test_labels_keep_both_ends_of_a_long_name() -> None:
    assert label("screw") == "screw"
    assert label("a_long_class_name_number_12", 12) == "a_long…er_12"
    assert len(label("x" * 100, 15)) == 15
    assert label("two\nlines $x$") == r"two lines \$x\$"


def test_pyplot_stays_out() -> None:
    """Its global list of figures would keep every figure of a long run in memory."""
    code = "import sys, moleflow.evaluation.report.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
