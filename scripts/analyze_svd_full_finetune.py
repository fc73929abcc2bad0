#!/usr/bin/env python
"""Train the flow alone on one product, fine-tune all of it on another, and look at the rank of what changed.

Flags that are not listed here are run_moleflow.py's (--data_path, --backbone, --coupling_layers, --num_epochs, --lr,
--batch_size, --num_steps, --preset …). The runs are kept in --log_dir; the same line goes on where it stopped.
"""

import argparse
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from here import guarded

from moleflow.config.cli import Parser, parse
from moleflow.utils.errors import UsageError

if TYPE_CHECKING:
    from moleflow.analysis.weights.full_finetune import Finetuned

FLOW_ONLY = ["--no_lora", "--base_policy", "always", "--adapter_mode", "none", "--no_dia", "--no_spatial_context"]
"""The whole flow learns in both tasks, and nothing else does."""

DEFAULTS = ["--log_dir", "logs/svd_full_finetune", "--no_figures", "--no_tensorboard"]


def build_parser() -> Parser:
    """The script's own flags."""
    form = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="analyze_svd_full_finetune.py", description=__doc__, formatter_class=form, allow_abbrev=False)
    parser.add_argument("--task0_class", metavar="CLASS", help="Product the flow is trained on first.")
    parser.add_argument("--task1_class", metavar="CLASS", help="Product it is fine-tuned on.")
    parser.add_argument("--task_pairs", nargs="+", default=[], metavar="A:B", help="Several such pairs.")
    parser.add_argument("--draws", type=int, default=20, help="Random matrices a layer (default: 20).")
    parser.add_argument("--output_dir", type=Path, required=True, metavar="DIR", help="Where the findings go.")
    return parser


def pairs_of(given: argparse.Namespace) -> list[tuple[str, str]]:
    """The pairs asked for.

    Raises:
        UsageError: there is none, or one is no pair of two products.
    """
    if (given.task0_class is None) != (given.task1_class is None):
        raise UsageError("Give both --task0_class and --task1_class, or --task_pairs A:B.")
    named = [f"{given.task0_class}:{given.task1_class}"] if given.task0_class is not None else []
    pairs = [tuple(word.split(":")) for word in [*named, *given.task_pairs]]
    if not pairs:
        raise UsageError("Which products? Give --task0_class and --task1_class, or --task_pairs A:B.")
    for pair in pairs:
        if len(pair) != 2 or not all(pair) or pair[0] == pair[1]:
            raise UsageError(
                f"--task_pairs expects two different products like screw:cookie, found {':'.join(pair)!r}."
            )
    return [(first, second) for first, second in dict.fromkeys(pairs)]


def words_for(first: str, further: list[str]) -> list[str]:
    """The command line of the run that trains the flow on one product."""
    stream = ["--task_classes", first, "--cl_scenario", "1-1", "--task_order", "given", "--experiment_name", first]
    return [*DEFAULTS, *further, *FLOW_ONLY, *stream, "--resume"]


def finetuned(first: Path, pair: tuple[str, str]) -> "Finetuned":
    """Copy the run that knows the first product, and let the copy learn the second one.

    Raises:
        UsageError: there is such a copy already, of another run.
    """
    from moleflow.analysis.weights.full_finetune import Finetuned
    from moleflow.registry.add import add_task
    from moleflow.registry.stored_run import writing
    from moleflow.utils.io import read_json

    folder = first.with_name("-".join(pair))
    if not folder.exists():
        unfinished = folder.with_name(f".{folder.name}.copy")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(first, unfinished).rename(folder)
    with writing(folder) as run:
        if run.entry(pair[0])["sha256"] != read_json(first / "stream.json")["tasks"][0]["sha256"]:
            raise UsageError(f"{folder} was fine-tuned from another flow than the one in {first}; remove it.")
        if len(run.tasks) == 1 or not (folder / "report.html").exists():
            add_task(run, [pair[1]])
    matrix = read_json(folder / "results.json")["matrix"]["image_auroc"]
    return Finetuned(*pair, first / "base.safetensors", folder / "base.safetensors", matrix)


def trained(first: str, further: list[str]) -> Path:
    """The folder of a run that has learned one product, trained now if it is not there yet."""
    from moleflow.registry.results import finish
    from moleflow.run import Runner

    with Runner(parse(words_for(first, further))[0]) as runner:
        if not runner.complete:
            finish(runner)
        return runner.folder.path


def main(words: list[str]) -> int:
    """Train and analyse.

    Raises:
        MoleflowError: misuse, or something fails.
    """
    given, further = build_parser().parse_known_args(words)
    if given.draws < 2:
        raise UsageError(f"--draws expects at least 2, found {given.draws}.")
    pairs = pairs_of(given)
    parse(words_for(pairs[0][0], further))  # before anything heavy is imported
    from moleflow.analysis.weights.full_finetune import full_finetune

    firsts = {first: trained(first, further) for first in dict.fromkeys(first for first, _ in pairs)}
    found = [finetuned(firsts[pair[0]], pair) for pair in pairs]
    command = shlex.join(["python", "scripts/analyze_svd_full_finetune.py", *words])
    analysis = full_finetune(found, given.draws, command)
    analysis.write(given.output_dir)
    print("\n".join(analysis.finding))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
