#!/usr/bin/env python
"""How a finished run routes its test images, and how routers fare among up to a thousand simulated products."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import studies
import torch
from here import guarded

from moleflow.analysis.routing.observed import decide
from moleflow.analysis.routing.page import routing_analysis
from moleflow.analysis.routing.simulated import ROUTERS, Point, simulate, window_means, windows
from moleflow.extractors.task_features import TaskFeatures
from moleflow.models.routing.statistics import image_features
from moleflow.registry.stored_run import writing
from moleflow.run import Runner
from moleflow.utils.errors import UsageError
from moleflow.utils.progress import progress


def main(words: Sequence[str]) -> int:
    """Write margins, confusion, accuracy against the number of products, and cost."""
    parser = studies.parser(str(__doc__))
    parser.add_argument("--run", type=Path, required=True, help="Folder of a finished run.")
    parser.add_argument("--data_path", help="Folder of the images (default: where the run had them).")
    parser.add_argument("--products", type=int, nargs="+", default=[5, 10, 30, 100, 300, 1000], metavar="N",
                        help="Numbers of simulated products (default: 5 10 30 100 300 1000).")  # fmt: skip
    parser.add_argument("--routers", nargs="+", default=list(ROUTERS), choices=list(ROUTERS), help="Default: all.")
    parser.add_argument("--window", type=int, default=4, help="Side of a simulated product's window (default: 4).")
    parser.add_argument("--seed", type=int, default=0, help="Of the draw of windows (default: 0).")
    study(parser.parse_args(words))
    return 0


@torch.no_grad()
def study(given: argparse.Namespace) -> None:
    if given.window < 1 or min(given.products) < 2:
        raise UsageError("--window expects at least 1 and --products at least 2 each.")
    with writing(given.run) as stored:
        stored.require_finished()
        places = {} if given.data_path else stored.places
        with stored.runner(stored.tasks, places, given.data_path) as runner:
            runner.folder.load_base(runner.model)
            images, train, test = {}, {}, {}
            for task in runner.stream:
                stored.load(runner.model, task.name)
                tested = [runner.data.test(name, task) for name in task.classes]
                images[task.name] = torch.cat([means(features) for features in tested])
                for name, features in zip(task.classes, tested, strict=True):
                    train[name] = seen(runner, features_of(runner, name), given.window)
                    test[name] = seen(runner, features, given.window)
            decisions = decide(runner.model.router, images)
    points = list(scaled(given, train, test))
    found = routing_analysis(decisions, points, studies.command())
    found.write(given.output_dir)
    print("\n".join(found.finding))


def features_of(runner: Runner, name: str) -> TaskFeatures:
    """A class's training images."""
    task = next(task for task in runner.stream if name in task.classes)
    normal, _ = runner.data.training(task)
    chosen = [sample for sample in normal.samples if sample.class_name == name]
    return TaskFeatures(runner.data.store, chosen, task.classes, runner.device)


def means(features: TaskFeatures) -> torch.Tensor:
    """Image features, (n, D)."""
    return torch.cat([image_features(batch.features) for batch in features.batches()])


def seen(runner: Runner, features: TaskFeatures, window: int) -> torch.Tensor:
    """Window means, (n, P, Q, D)."""
    side = min(runner.model.extractor.grid)
    if window > side:
        raise UsageError(f"--window expects at most the grid's side {side}, found {window}.")
    return torch.cat([window_means(batch.features, window).float() for batch in features.batches()])


def scaled(
    given: argparse.Namespace, train: Mapping[str, torch.Tensor], test: Mapping[str, torch.Tensor]
) -> list[Point]:
    """The simulation, with its progress."""
    products = windows(train, test, max(given.products), given.seed)
    sizes = sorted({min(size, len(products)) for size in given.products})
    total = len(sizes) * len(given.routers)
    return list(progress(simulate(products, sizes, given.routers), total, "simulated products", "point"))


if __name__ == "__main__":
    sys.exit(guarded(main))
