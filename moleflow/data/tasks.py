"""From classes to the stream of tasks, and from a task's normal images to its held-out part."""

import re
from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

from moleflow.config.task import Task
from moleflow.data.facts import Facts
from moleflow.data.sample import Sample
from moleflow.utils.errors import UsageError
from moleflow.utils.seed import derive_seed
from moleflow.utils.text import did_you_mean

ORDERS = ("given", "alphabetical", "texture_first", "hard_first", "easy_first", "random:SEED")
NOTHING_KNOWN = Facts()


def make_stream(
    available: Sequence[str],
    chosen: Sequence[str] | None,
    scenario: str,
    order: str = "given",
    facts: Facts = NOTHING_KNOWN,
) -> tuple[Task, ...]:
    """The tasks in the order in which they are learned.

    Args:
        available: classes of the dataset, in its order.
        chosen: classes to learn, in stream order; None or empty: all that are available.
        scenario: ``"A-B"``: A classes in the first task, B in each later one (the last may be short); or the classes
            of every task one by one, as ``"1,1,2"``.
        order: ``given``; ``texture_first``: textures before objects, both as given; or, whatever the order given,
            ``alphabetical``, ``hard_first`` (lowest published AUROC first, equal ones by name), ``easy_first`` (its
            reverse), ``random:SEED``.
        facts: what is published about the classes.

    Raises:
        UsageError: a class is unknown or listed twice, the scenario or the order cannot be read or met, or the order
            needs what nobody has published about a class.
    """
    classes = _ordered(_checked_classes(available, chosen), order, facts)
    bounds = _bounds(scenario, len(classes))
    groups = [tuple(classes[start:end]) for start, end in pairwise(bounds)]
    return tuple(Task(group, index) for index, group in enumerate(groups))


def scenario_of(sizes: Sequence[int]) -> str:
    """The scenario that gives tasks of these sizes: ``[2, 1, 1]`` -> ``"2-1"``, ``[1, 1, 2]`` -> ``"1,1,2"``."""
    first, later = sizes[0], sizes[1] if len(sizes) > 1 else sizes[0]
    even = all(size == later for size in sizes[1:-1]) and (len(sizes) == 1 or sizes[-1] <= later)
    return f"{first}-{later}" if even else ",".join(map(str, sizes))


def drawn(samples: Sequence[Sample], most: int | None, seed: int, class_name: str) -> list[Sample]:
    """At most so many of a class's images, sorted by file name; None: all of them, as they come.

    The draw depends on the seed, the class and file names only; of two numbers the smaller one's images are among the
    larger one's.
    """
    if most is None:
        return list(samples)
    ordered = sorted(samples, key=lambda sample: sample.path.name)
    places = np.random.default_rng(derive_seed(seed, "training images", class_name)).permutation(len(ordered))
    return [ordered[place] for place in sorted(places[:most].tolist())]


def split_validation(
    samples: Sequence[Sample], fraction: float, seed: int, task_name: str
) -> tuple[list[Sample], list[Sample]]:
    """Split normal images into (training, held out), class by class.

    Of n images of a class, round(fraction·n) are held out: at least one and at most n − 1 when ``fraction``
    > 0 and n ≥ 2, else none. The choice depends on the seed, the task's name and the images' class and file
    names only, so it is the same on every machine and in any order of the input. Both parts are sorted by
    class and file name.

    Raises:
        UsageError: ``fraction`` is not in [0, 1).
    """
    if not 0 <= fraction < 1:
        raise UsageError(f"validation fraction {fraction} is out of range: expected at least 0 and below 1")
    train: list[Sample] = []
    held_out: list[Sample] = []
    for class_name in sorted({sample.class_name for sample in samples}):
        own = sorted((s for s in samples if s.class_name == class_name), key=lambda s: s.path.name)
        rng = np.random.default_rng(derive_seed(seed, "validation", task_name, class_name))
        chosen = set(rng.permutation(len(own))[: _held_out_count(len(own), fraction)].tolist())
        for index, sample in enumerate(own):
            (held_out if index in chosen else train).append(sample)
    return train, held_out


def left_out_parts(
    samples: Sequence[Sample], count: int, seed: int, task_name: str
) -> list[tuple[list[Sample], list[Sample]]]:
    """``count`` pairs (rest, left out) of normal images, in which every image is left out once, class by class.

    Every class is dealt evenly. As in ``split_validation`` the choice depends on the seed and on names only, and parts
    are sorted. A class of fewer images than parts is left out of some; one of a single image is always in the rest.
    With ``count`` 1 there are no pairs.
    """
    if count < 2:
        return []
    ordered = sorted(samples, key=lambda sample: (sample.class_name, sample.path.name))
    part_of: dict[Sample, int] = {}
    for class_name in sorted({sample.class_name for sample in ordered}):
        own = [sample for sample in ordered if sample.class_name == class_name]
        rng = np.random.default_rng(derive_seed(seed, "folds", task_name, class_name))
        shuffled = [own[index] for index in rng.permutation(len(own))] if len(own) > 1 else []
        part_of |= {sample: place % count for place, sample in enumerate(shuffled)}
    pairs = [
        ([sample for sample in ordered if part_of.get(sample) != part], [s for s in ordered if part_of.get(s) == part])
        for part in range(count)
    ]
    return [pair for pair in pairs if pair[1]]


def _held_out_count(n: int, fraction: float) -> int:
    return min(max(round(fraction * n), 1), n - 1) if fraction > 0 else 0


def _checked_classes(available: Sequence[str], chosen: Sequence[str] | None) -> list[str]:
    classes = list(chosen or available)
    for name in classes:
        if name not in available:
            found = ", ".join(available)
            raise UsageError(f"unknown class {name!r}, found {found}{did_you_mean(name, available)}")
        if classes.count(name) > 1:
            raise UsageError(f"class {name!r} is listed {classes.count(name)} times: list each class once")
    return classes


def _ordered(classes: list[str], order: str, facts: Facts) -> list[str]:
    match order:
        case "given":
            return classes
        case "alphabetical":
            return sorted(classes)
        case "texture_first":
            if not facts.textures:
                raise UsageError(_unknown("which classes show a texture", order, classes))
            return sorted(classes, key=lambda name: name not in facts.textures)
        case "hard_first":
            return _hard_first(classes, order, facts)
        case "easy_first":
            return _hard_first(classes, order, facts)[::-1]
    if seed := re.fullmatch(r"random:(\d+)", order, re.ASCII):
        rng = np.random.default_rng(derive_seed(int(seed[1]), "task order"))
        return [str(name) for name in rng.permutation(sorted(classes))]
    hint = did_you_mean(order, ORDERS)
    raise UsageError(f"unknown task order {order!r}, expected {', '.join(ORDERS)} (such as random:7){hint}")


def _hard_first(classes: list[str], order: str, facts: Facts) -> list[str]:
    if unknown := [name for name in classes if name not in facts.image_auroc]:
        raise UsageError(_unknown("how hard each class is", order, unknown))
    return sorted(classes, key=lambda name: (facts.image_auroc[name], name))


def _unknown(fact: str, order: str, classes: Sequence[str]) -> str:
    return (
        f"task order {order!r} needs to know {fact}, and this dataset has no published list that says so for "
        f"{', '.join(classes)}: give your own order with --task_classes, and --task_order given"
    )


def _bounds(scenario: str, n_classes: int) -> list[int]:
    """Where each task's classes start, and where the last one's end."""
    if re.fullmatch(r"[1-9]\d*(,[1-9]\d*)+", scenario, re.ASCII):
        bounds = list(accumulate(map(int, scenario.split(",")), initial=0))
        if bounds[-1] != n_classes:
            raise UsageError(f"scenario {scenario!r} is of {bounds[-1]} classes, and there are {n_classes}")
        return bounds
    first, later = _read_scenario(scenario, n_classes)
    return [0, *range(first, n_classes, later), n_classes]


def _read_scenario(scenario: str, n_classes: int) -> tuple[int, int]:
    """(classes in the first task, classes in each later one)."""
    match = re.fullmatch(r"(\d+)-(\d+)", scenario, re.ASCII)
    counts = f"{n_classes} class{'es' * (n_classes != 1)}"
    example = f"there are {counts}, and '1-1' for example learns them one by one"
    if match is None or 0 in (int(match[1]), int(match[2])):
        raise UsageError(f"scenario {scenario!r} is not FIRST-LATER, two numbers from 1 up; {example}")
    if int(match[1]) > n_classes:
        raise UsageError(f"scenario {scenario!r} puts {match[1]} classes in its first task; {example}")
    return int(match[1]), int(match[2])
