"""The page over a folder of runs and analyses."""

import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

from moleflow.__main__ import main
from moleflow.analysis.index.collect import MOST_ROWS, collect, read_table
from moleflow.analysis.index.page import write_index
from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.tables import Table
from moleflow.evaluation.report.figures.canvas import new_figure
from moleflow.utils.errors import UsageError
from moleflow.utils.io import write_json


def run_of(folder: Path, image_auroc: float | None = 0.925) -> Path:
    """A finished run of two tasks, as far as tables read it."""
    folder.mkdir(parents=True)
    routed = {"image_auroc": image_auroc, "pixel_ap": None}
    content = {
        "tasks": [["a"], ["b"]],
        "matrix": {"image_auroc": [[0.9], [0.9, 0.9]]},
        "final": {"routed": routed, "routing_accuracy": 1.0},
        "continual": {"fm": {"image_auroc": 0.0}},
    }
    write_json(folder / "results.json", content)
    (folder / "report.html").write_text("")
    return folder


def analysis(folder: Path) -> Path:
    """What an analysis leaves."""
    table = Table("Ranks", ("pair", "rank"), (("a → b", 15.123456), ("a & <c>", 7)))
    pictures = [Picture("spectrum", new_figure(1, 1), "Singular values, one line a layer.")]
    finding = ["No effect: ρ = 0.30 <n.s.>.", "A second paragraph."]
    Analysis("Is ΔW low-rank?", finding, {}, "python scripts/x.py --run logs", pictures, {"ranks": table}).write(folder)
    return folder


def words(page: str) -> str:
    """A page's text without its tags."""
    return unescape(re.sub(r"<[^>]+>", " ", page))


def links(page: str) -> list[str]:
    """Where a page leads, and what it shows."""
    return [unquote(unescape(target)) for target in re.findall(r'(?:href|src)="([^"]+)"', page)]


def test_an_experiment_shows_its_runs_findings_figures_and_tables(tmp_path: Path) -> None:
    run_of(tmp_path / "study" / "full one-s0")
    analysis(tmp_path / "study" / "analyses" / "svd")
    page = write_index(tmp_path / "study").read_text()
    text = words(page)
    for told in (
        *("full one-s0", "92.5", "100.0", "Is ΔW low-rank?", "No effect: ρ = 0.30 <n.s.>.", "A second paragraph."),
        *("python scripts/x.py --run logs", "Singular values, one line a layer.", "15.12", "a & <c>"),
    ):
        assert told in text, told
    assert "15.123" not in text
    assert text.count("Singular values, one line a layer.") == 1, "a caption is no finding"
    assert {"full one-s0/report.html", "analyses/svd/spectrum.png", "analyses/svd/ranks.csv"} <= set(links(page))
    assert all((tmp_path / "study" / target).exists() for target in links(page))
    (tmp_path / "study").rename(tmp_path / "moved")
    assert all((tmp_path / "moved" / target).exists() for target in links(page)), "links move with the folder"
    assert write_index(tmp_path / "moved").read_text() == page.replace("study", "moved"), (
        "the page does not list itself"
    )


def test_a_runs_own_figures_are_its_pages_and_not_the_experiments(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    analysis(run / "figures")
    analysis(run / "analyses" / "lora")
    (run / "experts").mkdir()
    (run / "experts" / "x.csv").write_text("a\n1\n")
    assert [section.folder.name for section in collect(tmp_path).sections] == ["lora"]
    assert {section.folder.name for section in collect(run).sections} == {"lora", "figures"}


def test_a_run_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    run_of(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "results.json").write_text("{}")
    found = collect(tmp_path)
    assert [folder.name for folder in found.runs] == ["good"]
    assert found.trouble[0].startswith("bad: ")
    assert "not read: bad: " in words(write_index(tmp_path).read_text())


def test_long_tables_are_cut_and_say_so(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("n,x\n" + "".join(f"{n},{n / 3}\n" for n in range(MOST_ROWS + 5)))
    shown = read_table(tmp_path / "t.csv")
    assert (len(shown.rows), shown.hidden) == (MOST_ROWS, 5)
    assert shown.rows[1] == ["1", "0.3333"]
    assert "5 more rows are in the file." in words(write_index(tmp_path).read_text())
    (tmp_path / "t.csv").write_text("")
    assert read_table(tmp_path / "t.csv").columns == []


def test_the_verb_writes_either_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "logs" / "one", image_auroc=None)
    assert main(["report", "--run", str(run)]) == 0
    assert capsys.readouterr().out == f"{run / 'index.html'}\n"
    assert main(["report", "--experiment", str(run.parent)]) == 0
    assert "one/report.html" in links((run.parent / "index.html").read_text())


@pytest.mark.parametrize(("flags", "expected"), [
    (["--run", "absent"], "There is no run in absent"),
    (["--experiment", "absent"], "There is no folder absent"),
    (["--experiment", "."], "There is nothing to show in ."),
    (["--run", "."], "There is no run in ."),
    ([], "One of the arguments --run --experiment is required"),
    (["--run", "a", "--experiment", "b"], "not allowed with"),
])  # fmt: skip
def test_misuse_ends_with_2(
    flags: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", *flags]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert expected in printed.err
    with pytest.raises(UsageError):
        collect(tmp_path)
