#!/usr/bin/env python
"""What the tail-aware loss looks at: studies of one product, trained on its own if that has not been done.

Flags that are not listed here are run_moleflow.py's (--preset, --num_steps, --lr …; the preset is `measured` where none
is given). Runs are kept in --log_dir; the same line goes on where it stopped.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import studies
from here import guarded

from moleflow.config.cli import parse
from moleflow.utils.errors import UsageError

if TYPE_CHECKING:
    from moleflow.analysis.output import Analysis
    from moleflow.run import Runner

WEIGHTS = (0.0, 0.3, 0.5, 0.7, 1.0)
RATIOS = (0.005, 0.02, 0.05, 0.1)
STUDIES = {
    "spatial": "Where tail patches lie, and whether there are edges.",
    "train_test": "Whether defects look like the tail of training.",
    "latent": "Normality of latents, dimension by dimension.",
    "score": "Separation of scores.",
    "gradient": "The tail's share of the gradient at w = 0, 0.7, 1.",
    "sweep": "Accuracy by tail weight and tail ratio; trains a run for each value and seed.",
}
IMAGES = 16
"""Training images whose gradients are looked at."""


def main(words: Sequence[str]) -> int:
    """Write one folder a study."""
    parser = studies.parser(str(__doc__))
    parser.add_argument("--class_name", required=True, metavar="CLASS", help="The product.")
    parser.add_argument("--log_dir", type=Path, help="Folder of runs (default: OUTPUT_DIR/runs).")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="Of the sweep; the first of all else.")
    parser.add_argument("--run_all", action="store_true", help="Every study.")
    for name, sentence in STUDIES.items():
        parser.add_argument(f"--run_{name}", action="store_true", help=sentence)
    given, further = parser.parse_known_args(words)
    study(given, further)
    return 0


def study(given: argparse.Namespace, further: list[str]) -> None:
    chosen = [name for name in STUDIES if given.run_all or getattr(given, f"run_{name}")]
    if not chosen:
        raise UsageError(f"Which study? Give --run_all or some of {', '.join(f'--run_{name}' for name in STUDIES)}.")
    parse(line(given, further, given.seeds[0]))  # before anything heavy is imported
    found: dict[str, Analysis] = {}
    if chosen != ["sweep"]:
        found = looked_at(given, further, chosen)
    if "sweep" in chosen:
        found["sweep"] = swept(given, further)
    for name, analysis in found.items():
        analysis.write(given.output_dir / name)
        print("\n".join([f"{name}:", *(f"  {sentence}" for sentence in analysis.finding)]))
    write_index(given, {name: found[name] for name in chosen})


def line(given: argparse.Namespace, further: list[str], seed: int, **flags: float) -> list[str]:
    """The command line of one run."""
    name = "-".join([given.class_name, *(f"{flag}{value:g}" for flag, value in flags.items()), f"s{seed}"])
    values = [word for flag, value in flags.items() for word in (f"--{flag}", f"{value:g}")]
    preset = [] if "--preset" in further else ["--preset", "measured"]
    log_dir = given.log_dir or given.output_dir / "runs"
    places = ["--log_dir", str(log_dir), "--experiment_name", name]
    stream = ["--task_classes", given.class_name, "--cl_scenario", "1-1", "--task_order", "given", "--seed", str(seed)]
    return [*preset, *further, *stream, *places, *values, "--no_figures", "--no_tensorboard", "--resume"]


def trained(words: list[str], then: Callable[["Runner"], None] = lambda runner: None) -> Path:
    """The folder of a finished run; ``then`` may look at it before it is let go."""
    from moleflow.registry.results import finish
    from moleflow.run import Runner

    with Runner(parse(words)[0]) as runner:
        if not runner.complete:
            finish(runner)
        then(runner)
        return runner.folder.path


def looked_at(given: argparse.Namespace, further: list[str], chosen: Sequence[str]) -> "dict[str, Analysis]":
    """The studies of one trained model."""
    from moleflow.analysis.tail.gradients import gradients
    from moleflow.analysis.tail.latent import latent
    from moleflow.analysis.tail.overlap import train_test
    from moleflow.analysis.tail.patches import Product, patches_of
    from moleflow.analysis.tail.separation import separation
    from moleflow.analysis.tail.spatial import spatial
    from moleflow.registry.stored_run import StoredRun

    found: dict[str, Analysis] = {}

    def look(runner: "Runner") -> None:
        stored = StoredRun(runner.folder.path)
        model, task = stored.model(), runner.stream[0]
        stored.load(model, task.name)
        normal, _ = runner.data.training(task)
        test, resize = runner.data.test(given.class_name, task), runner.config.data.resize
        ratio = float(stored.resolved.flags.get("tail_top_k_ratio", 0.02))
        product = Product(given.class_name, patches_of(model, normal, task, resize),
                          patches_of(model, test, task, resize), ratio)  # fmt: skip
        some = normal.take(range(min(IMAGES, len(normal))))
        made = {
            "spatial": lambda: spatial(product, studies.command()),
            "train_test": lambda: train_test(product, studies.command()),
            "latent": lambda: latent(product, studies.command()),
            "score": lambda: separation(product, studies.command()),
            "gradient": lambda: gradients(model, some, task, ratio, given.class_name, studies.command()),
        }
        found.update({name: make() for name, make in made.items() if name in chosen})

    trained(line(given, further, given.seeds[0]), look)
    return found


def swept(given: argparse.Namespace, further: list[str]) -> "Analysis":
    """A run for each value of either flag and each seed."""
    from moleflow.analysis.tail.sweep import sweep

    found = {
        flag: {
            value: [trained(line(given, further, seed, **{flag: value})) for seed in given.seeds] for value in values
        }
        for flag, values in (("tail_weight", WEIGHTS), ("tail_top_k_ratio", RATIOS))
    }
    return sweep(found, given.class_name, studies.command())


def write_index(given: argparse.Namespace, found: "dict[str, Analysis]") -> None:
    """A page with the findings of all studies."""
    from moleflow.utils.io import write_text

    parts = [f"# The tail of {given.class_name}", f"    {studies.command()}"]
    parts += ["\n\n".join([f"## [{found[name].title}]({name}/summary.md)", *found[name].finding]) for name in found]
    write_text(given.output_dir / "summary.md", "\n\n".join(parts) + "\n")


if __name__ == "__main__":
    sys.exit(guarded(main))
