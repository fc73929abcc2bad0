"""Tables in three forms, and the page of an analysis."""

import csv
import io
import json

import pytest
from PIL import Image

from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.tables import Table, latex, mean_std, write_table
from moleflow.evaluation.report.figures.canvas import new_figure

TABLE = Table("scores of 50 %", ("class", "n", "AUROC, %"), (("a_b|c", 3, 91.26), ("d", 4, None)), "oracle route")


def test_markdown_puts_numbers_right_and_escapes_bars():
    lines = TABLE.markdown().splitlines()
    assert lines[2:6] == ["| class | n | AUROC, % |", "| :-- | --: | --: |", r"| a_b\|c | 3 | 91.3 |", "| d | 4 | – |"]
    assert lines[0] == "**scores of 50 %**"
    assert lines[-1] == "oracle route"


def test_csv_keeps_full_precision_and_leaves_nothing_empty():
    rows = list(csv.reader(io.StringIO(TABLE.csv())))
    assert rows == [["class", "n", "AUROC, %"], ["a_b|c", "3", "91.26"], ["d", "4", ""]]


def test_latex_escapes_what_it_would_take_for_commands():
    text = TABLE.latex()
    assert r"a\_b|c & 3 & 91.3 \\" in text
    assert r"\caption{scores of 50 \%. oracle route.}" in text
    assert r"\begin{tabular}{lrr}" in text
    assert latex("1 ± 2_3\\") == r"1 $\pm$ 2\_3\textbackslash{}"


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="2 cells for 3 columns"):
        Table("t", ("a", "b", "c"), (("x", 1),))


def test_all_forms_are_written(tmp_path):
    write_table(TABLE, tmp_path, "scores")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["scores.csv", "scores.md", "scores.tex"]


@pytest.mark.parametrize(("values", "shown"), [([], "–"), ([90.04], "90.0"), ([1.0, 2.0, 3.0], "2.0 ± 1.0")])
def test_mean_and_sample_deviation(values, shown):
    assert mean_std(values) == shown


def test_an_analysis_leaves_numbers_figures_tables_and_a_page(tmp_path):
    figure = new_figure(2, 2)
    figure.subplots().plot([0, 1], [1, 0])
    found = Analysis("What", ["No effect (p = 0.4)."], {"p": 0.4}, "analyze x", [Picture("line", figure, "a line")],
                     {"scores": TABLE})  # fmt: skip
    found.write(tmp_path)
    assert json.loads((tmp_path / "analysis_results.json").read_text()) == {"p": 0.4}
    page = (tmp_path / "summary.md").read_text()
    assert page.startswith("# What\n\n    analyze x\n\nNo effect (p = 0.4).\n\n![a line](line.png)")
    assert "| d | 4 | – |" in page
    assert Image.open(tmp_path / "line.png").size[0] > 200
    assert (tmp_path / "line.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "scores.tex").exists()
