"""Streams from scenarios and orders; validation splits that depend on names alone."""

import random
from dataclasses import fields
from pathlib import Path

import pytest

from moleflow.config.run import StreamConfig
from moleflow.data.datasets import DATASETS, facts_of
from moleflow.data.facts import Facts
from moleflow.data.sample import Sample
from moleflow.data.tasks import ORDERS, drawn, left_out_parts, make_stream, scenario_of, split_validation
from moleflow.utils.errors import UsageError

FIVE = ("e", "b", "d", "a", "c")
KNOWN = Facts(textures=frozenset("ac"), image_auroc={"a": 97.0, "b": 98.5, "c": 100.0, "d": 81.6, "e": 97.0})


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("1-1", [["e"], ["b"], ["d"], ["a"], ["c"]]),
        ("3-3", [["e", "b", "d"], ["a", "c"]]),
        ("4-1", [["e", "b", "d", "a"], ["c"]]),
        ("1-2", [["e"], ["b", "d"], ["a", "c"]]),
        ("5-5", [["e", "b", "d", "a", "c"]]),
        ("2-9", [["e", "b"], ["d", "a", "c"]]),
    ],
)
def test_scenario_groups_the_classes(scenario: str, expected: list[list[str]]) -> None:
    stream = make_stream(FIVE, None, scenario)
    assert [list(task.classes) for task in stream] == expected
    assert [task.index for task in stream] == list(range(len(expected)))


def test_fifteen_classes_as_fourteen_and_one() -> None:
    stream = make_stream([f"c{k:02}" for k in range(15)], None, "14-1")
    assert [len(task.classes) for task in stream] == [14, 1]


@pytest.mark.parametrize("scenario", ["", "3", "3-", "a-b", "1–1", "0-1", "1-0", "-1-1", "1-1-1", " 1-1", "6-1"])
def test_impossible_scenario_states_the_number_of_classes_and_an_example(scenario: str) -> None:
    with pytest.raises(UsageError, match=r"5 classes, and '1-1'"):
        make_stream(FIVE, None, scenario)


def test_scenario_is_measured_against_the_chosen_classes() -> None:
    with pytest.raises(UsageError, match=r"'3-1' puts 3 classes .* there are 2 classes"):
        make_stream(FIVE, ["a", "b"], "3-1")


def test_chosen_classes_keep_their_order() -> None:
    assert [t.name for t in make_stream(FIVE, ["c", "a"], "1-1")] == ["c", "a"]
    assert make_stream(FIVE, (), "1-1") == make_stream(FIVE, None, "1-1")


def test_unknown_and_repeated_classes_are_errors() -> None:
    with pytest.raises(UsageError, match=r"'bottel', found bottle, cable; did you mean 'bottle'"):
        make_stream(["bottle", "cable"], ["bottel"], "1-1")
    with pytest.raises(UsageError, match=r"'a' is listed 2 times"):
        make_stream(FIVE, ["a", "b", "a"], "1-1")


def test_orders() -> None:
    names = [t.name for t in make_stream(FIVE, None, "1-1", "alphabetical")]
    assert names == ["a", "b", "c", "d", "e"]
    shuffled = [t.name for t in make_stream(FIVE, None, "1-1", "random:3")]
    assert sorted(shuffled) == names
    assert shuffled == [t.name for t in make_stream(sorted(FIVE), None, "1-1", "random:3")]
    assert len({tuple(t.name for t in make_stream(FIVE, None, "1-1", f"random:{k}")) for k in range(8)}) > 4


def ordered(order: str, chosen: list[str], facts: Facts = KNOWN) -> list[str]:
    return [name for task in make_stream(FIVE, chosen, "2-1", order, facts) for name in task.classes]


def test_textures_come_first_and_both_kinds_stay_as_given() -> None:
    assert ordered("texture_first", ["e", "c", "b", "a", "d"]) == ["c", "a", "e", "b", "d"]
    assert ordered("texture_first", ["b", "e"]) == ["b", "e"], "there need not be a texture among the chosen"


def test_hard_first_goes_by_published_accuracy_and_easy_first_is_its_reverse() -> None:
    for chosen in (["a", "b", "c", "d", "e"], ["e", "d", "c", "b", "a"]):
        assert ordered("hard_first", chosen) == ["d", "a", "e", "b", "c"]
        assert ordered("easy_first", chosen) == ["c", "b", "e", "a", "d"]
    assert ordered("hard_first", ["c", "d"]) == ["d", "c"]


def test_orders_of_mvtec_and_visa() -> None:
    mvtec, visa = facts_of("mvtec"), facts_of("visa")
    names = [t.name for t in make_stream(tuple(mvtec.counts), None, "1-1", "texture_first", mvtec)]
    assert names[:6] == ["carpet", "grid", "leather", "tile", "wood", "bottle"]
    assert make_stream(tuple(mvtec.counts), None, "1-1", "hard_first", mvtec)[0].name == "pill"
    hard = [t.name for t in make_stream(tuple(visa.counts), None, "1-1", "hard_first", visa)]
    assert (hard[:2], hard[-1]) == (["macaroni2", "capsules"], "pipe_fryum")


def test_an_order_without_a_published_list_says_so_and_what_to_do() -> None:
    for order in ("hard_first", "easy_first"):
        with pytest.raises(UsageError, match=rf"'{order}' needs to know how hard .* for b, d: give .*--task_classes"):
            make_stream(FIVE, ["a", "b", "d"], "1-1", order, Facts(image_auroc={"a": 90.0}))
    with pytest.raises(UsageError, match=r"'texture_first' needs to know which classes show a texture.* for a, b: "):
        make_stream(FIVE, ["a", "b"], "1-1", "texture_first", facts_of("folder"))
    with pytest.raises(UsageError, match="texture"):
        make_stream(("candle",), None, "1-1", "texture_first", facts_of("visa"))


def test_help_names_the_datasets_whose_order_is_known() -> None:
    sentence = next(f.metadata["help"] for f in fields(StreamConfig) if f.name == "task_order")
    assert all(order in sentence for order in ORDERS)
    known = {name for name in DATASETS if facts_of(name).textures or facts_of(name).image_auroc}
    assert {name for name in DATASETS if name in sentence} == known


@pytest.mark.parametrize("order", ["hard", "random", "random:", "random:x", "random:-1", ""])
def test_unknown_order_lists_the_known(order: str) -> None:
    with pytest.raises(UsageError, match=r"given, alphabetical, texture_first, hard_first, easy_first, random:SEED"):
        make_stream(FIVE, None, "1-1", order)


def normals(class_name: str, n: int, root: str = "/data") -> list[Sample]:
    paths = [Path(root, class_name, "train/good", f"{k:03}.png") for k in range(n)]
    return [Sample(path, class_name, 0, "good", None) for path in paths]


def names(samples: list[Sample]) -> list[str]:
    return [f"{s.class_name}/{s.path.name}" for s in samples]


def test_a_draw_depends_on_seed_and_class_alone_and_grows_by_adding() -> None:
    images = normals("screw", 30)
    few = names(drawn(images, 5, 0, "screw"))
    assert few == sorted(few)
    assert len(few) == 5
    assert names(drawn(images[::-1], 5, 0, "screw")) == few
    assert set(few) < set(names(drawn(images, 10, 0, "screw")))
    assert names(drawn(images, 5, 1, "screw")) != few
    assert names(drawn(images, 5, 0, "cookie")) != few
    assert drawn(images, 99, 0, "screw") == drawn(images, None, 0, "screw") == images


def test_split_holds_out_the_fraction_of_every_class() -> None:
    train, held_out = split_validation(normals("a", 40) + normals("b", 11), 0.1, 0, "a+b")
    assert [s.class_name for s in held_out].count("a") == 4
    assert [s.class_name for s in held_out].count("b") == 1
    assert sorted(names(train) + names(held_out)) == names(normals("a", 40) + normals("b", 11))


def test_split_depends_on_neither_order_nor_folder() -> None:
    samples = normals("a", 30) + normals("b", 20)
    expected = [names(part) for part in split_validation(samples, 0.2, 7, "a+b")]
    shuffled = normals("b", 20, "/elsewhere/x") + normals("a", 30, "/elsewhere/x")
    random.Random(0).shuffle(shuffled)
    assert [names(part) for part in split_validation(shuffled, 0.2, 7, "a+b")] == expected


def test_split_changes_with_seed_and_task() -> None:
    draws = {
        tuple(names(split_validation(normals("a", 50), 0.2, seed, task)[1]))
        for seed in range(3)
        for task in ("a", "a+b")
    }
    assert len(draws) == 6


@pytest.mark.parametrize(("n", "fraction", "held"), [
    (1, 0.5, 0), (2, 0.01, 1), (2, 0.99, 1), (10, 0.0, 0), (10, 0.99, 9), (10, 0.25, 2), (0, 0.1, 0),
])  # fmt: skip
def test_split_keeps_training_images_and_holds_out_at_least_one(n: int, fraction: float, held: int) -> None:
    train, held_out = split_validation(normals("a", n), fraction, 0, "a")
    assert (len(train), len(held_out)) == (n - held, held)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 1.5, float("nan")])
def test_split_refuses_impossible_fractions(fraction: float) -> None:
    with pytest.raises(UsageError, match="at least 0 and below 1"):
        split_validation(normals("a", 4), fraction, 0, "a")


@pytest.mark.parametrize(("sizes", "scenario"), [
    ([1], "1-1"), ([3], "3-3"), ([1, 1, 1], "1-1"), ([2, 1, 1], "2-1"), ([1, 2, 1], "1-2"),
    ([1, 1, 2], "1,1,2"), ([1, 2, 3], "1,2,3"), ([3, 1, 2, 1], "3,1,2,1"),
])  # fmt: skip
def test_a_scenario_for_any_sizes_gives_them_back(sizes: list[int], scenario: str) -> None:
    assert scenario_of(sizes) == scenario
    classes = [f"c{number}" for number in range(sum(sizes))]
    assert [len(task.classes) for task in make_stream(classes, None, scenario)] == sizes


def test_sizes_that_are_not_all_classes_are_refused() -> None:
    with pytest.raises(UsageError, match="is of 4 classes, and there are 3"):
        make_stream(["a", "b", "c"], None, "1,1,2")


def test_every_image_is_left_out_once_and_classes_are_dealt_evenly() -> None:
    samples = [
        Sample(Path(f"{name}/{i:03d}.png"), name, 0, "good", None)
        for name, n in (("a", 10), ("b", 5))
        for i in range(n)
    ]
    pairs = left_out_parts(samples, 3, 0, "a+b")
    assert sorted((s for _, left_out in pairs for s in left_out), key=str) == sorted(samples, key=str)
    for rest, left_out in pairs:
        assert sorted([*rest, *left_out], key=str) == sorted(samples, key=str)
        assert rest == sorted(rest, key=lambda s: (s.class_name, s.path.name))
        assert [sum(s.class_name == name for s in left_out) for name in "ab"] in ([4, 2], [3, 2], [3, 1])
    assert left_out_parts(samples[::-1], 3, 0, "a+b") == pairs
    assert left_out_parts(samples, 3, 1, "a+b") != pairs


def test_parts_of_few_images_are_never_empty_and_never_all() -> None:
    one, two, three = (Sample(Path(f"{i}.png"), "a", 0, "good", None) for i in range(3))
    assert left_out_parts([one, two, three], 1, 0, "a") == []
    assert left_out_parts([one], 5, 0, "a") == []
    assert [(len(rest), len(left_out)) for rest, left_out in left_out_parts([one, two, three], 5, 0, "a")] == [
        (2, 1)
    ] * 3
