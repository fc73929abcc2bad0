"""The page: valid structure, names escaped, nothing from outside, figures where the page looks for them."""

import json
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from moleflow.evaluation.report.html import write_report
from moleflow.evaluation.results import METRICS, ClassResult, Evaluation, build_results

EVIL = '<b onclick="x()">bold</b> & {{ 7 * 7 }}'
VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Tags, attributes and text; complains about tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open[-1:] != ["style"]:
            self.words.append(data.strip())

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def results(done: int = 2) -> dict:
    def result(name: str, task: int) -> ClassResult:
        known = METRICS if task == 0 else METRICS[:3]
        oracle = {metric: 0.876 if metric in known else None for metric in METRICS}
        routed = {metric: 0.765 if metric in known else None for metric in METRICS}
        return ClassResult(name, task, oracle, routed, 0.912)

    first, second = result("screw", 0), result(EVIL, 1)
    rows = [Evaluation(0, (first,), 0.5), Evaluation(1, (first, second), 0.543, 0.654, "z-scores")]
    return build_results(EVIL, [["screw"], [EVIL]], rows[:done])


def write(tmp_path: Path, *, done: int = 2, cost: dict | None = None, figures: tuple[str, ...] = ()) -> Page:
    paths = [tmp_path / "figures" / name for name in figures]
    write_report(tmp_path, results(done), cost, paths, tmp_path / "report.html")
    return Page((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_names_are_text_not_markup(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"run": {"task_classes": [EVIL], EVIL: 1}}), encoding="utf-8")
    page = write(tmp_path, cost={"seconds_per_task": {EVIL: 1.0}}, figures=(f"{EVIL[:2]}.png",))
    assert page.count("script") == 0
    assert page.count("b") == 5  # the headline cards
    assert not any("onclick" in attributes for _, attributes in page.tags)
    assert EVIL in page.words


def test_nothing_comes_from_outside(tmp_path: Path) -> None:
    page = write(tmp_path, figures=("a.png",))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "http:" not in text
    assert "https:" not in text
    assert page.count("script") == page.count("link") == page.count("iframe") == 0


def test_figures_are_found_from_the_page(tmp_path: Path) -> None:
    names = ("task matrix #1.png", "100 %.png", "磁砖?.png")
    page = write(tmp_path, figures=names)
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert [unquote(source or "") for source in sources] == [f"figures/{name}" for name in names]
    assert all(set("#? ").isdisjoint(source or "") for source in sources)


def test_captions_read_like_the_names(tmp_path: Path) -> None:
    """File names hold class names quoted, for they may contain slashes."""
    assert {"gallery a/<b>", "score histograms"} <= set(
        write(tmp_path, figures=("gallery_a%2F%3Cb%3E.png", "score_histograms.png")).words
    )


def test_headline_and_tables_show_the_numbers(tmp_path: Path) -> None:
    words = write(tmp_path).words
    first_card = words.index("image AUROC")
    assert words[first_card + 1 : first_card + 3] == ["76.5", "87.6 oracle"]
    assert words[words.index("average incremental") + 1] == "87.6"
    assert words[words.index("average incremental, routed") + 1] == "76.5"
    oracle_table = words.index("The same when the task is known (oracle route)")
    assert words[words.index("screw") + 1] == "76.5"
    assert words[words.index("screw", oracle_table) + 1] == "87.6"
    for number in ("76.5", "87.6 oracle", "91.2", "54.3", "all images; 65.4 calibrated (z-scores)", "0.0", "–"):
        assert number in words
    assert words.count("mean") == 2
    assert "backward transfer BWT, routed" in words


def test_decisions_stand_beside_what_was_promised(tmp_path: Path) -> None:
    assert "Decisions" not in write(tmp_path).words, "no class has a threshold"
    content = results()
    routed = {"accuracy": 0.81, "precision": None, "recall": 0.82, "false_alarm_rate": 0.13}
    content["per_class"][EVIL] |= {"reference_n": 31, "decisions": {"promised_rate": 0.05, "routed": routed}}
    write_report(tmp_path, content, None, [], tmp_path / "report.html")
    words = Page((tmp_path / "report.html").read_text(encoding="utf-8")).words
    table = words[words.index("Decisions") : words.index("Continual learning")]
    assert table[-7:] == [EVIL, "31", "5.0", "13.0", "82.0", "–", "81.0"]
    assert "screw" not in table


def test_a_stream_that_has_not_ended(tmp_path: Path) -> None:
    words = " ".join(write(tmp_path, done=1).words)
    assert "1 of 2 tasks so far" in words


def test_cost_is_shown_with_units(tmp_path: Path) -> None:
    cost = {
        "seconds_per_task": [12.34, 5],
        "bytes_per_expert": {"screw": 9_100_000},
        "params_per_task": 2_270_000,
        "peak_memory_mb": 812.5,
        "energy": None,
    }
    words = write(tmp_path, cost=cost).words
    for text in ("12.3 s, 5.0 s", "screw: 9.10 MB", "2,270,000", "812.5", "peak memory mb"):
        assert text in words


@pytest.mark.parametrize("content", [None, "{broken", "[]", "{}"])
def test_settings_are_optional(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content, encoding="utf-8")
    assert "screw" in write(tmp_path).words


def test_settings_are_flattened(tmp_path: Path) -> None:
    config = {"ablation": {"flow": {"lora_rank": 64}}, "run": {"classes": ["a", "b"], "device": "cpu", "limit": None}}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    words = write(tmp_path).words
    for key, value in [("ablation.flow.lora_rank", "64"), ("run.classes", '["a", "b"]'), ("run.device", "cpu")]:
        assert words[words.index(key) + 1] == value
    assert words[words.index("run.limit") + 1] == "null"
