"""What moleflow does beside a run: ``python -m moleflow <verb>``, one row of ``VERBS`` a verb."""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from moleflow.config.cli import Parser
from moleflow.registry.verbs import REGISTRY
from moleflow.utils.collecting import freeze_at_exit, not_collecting
from moleflow.utils.ending import exit_code
from moleflow.utils.errors import UsageError
from moleflow.utils.interrupt import listening
from moleflow.utils.memory import reuse_blocks
from moleflow.utils.text import did_you_mean

PROGRAM = "python -m moleflow"


class Verb(NamedTuple):
    """One row of the table.

    Attributes:
        help: a sentence.
        declare: adds the verb's flags to its parser.
        run: does it and returns the exit code: 0 fine, 1 failed or different; misuse raises ``UsageError``.
        needs: the module that imports what is large.
    """

    help: str
    declare: Callable[[Parser], None]
    run: Callable[[argparse.Namespace], int]
    needs: str = "moleflow.registry.stored_run"


def _data_check_flags(parser: Parser) -> None:
    parser.add_argument("--dataset", default="mvtec", help="Dataset layout (default: mvtec).")
    parser.add_argument("--data_path", help="Folder of the dataset (default: $MOLEFLOW_DATA/<dataset>).")
    parser.add_argument(
        "--task_classes", nargs="+", default=(), metavar="CLASS", help="Classes to check (default: all)."
    )
    parser.add_argument("--decode", action="store_true", help="Read every pixel too: slow, finds damage inside files.")
    parser.add_argument("--num_workers", type=int, default=2, help="Threads that read files (default: 2).")


def _data_check(given: argparse.Namespace) -> int:
    from moleflow.data.check import check_dataset, describe
    from moleflow.data.datasets import dataset_root, facts_of, open_dataset

    if given.num_workers < 1:
        raise UsageError(f"--num_workers expects at least 1, found {given.num_workers}.")
    dataset = open_dataset(given.dataset, dataset_root(given.dataset, given.data_path))
    checks = check_dataset(dataset, facts_of(given.dataset), given.task_classes, given.decode, given.num_workers)
    print("\n".join(describe(checks)))
    return int(any(check.problems for check in checks))


def _report_flags(parser: Parser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--run", type=Path, metavar="DIR", help="Folder of a run.")
    which.add_argument("--experiment", type=Path, metavar="DIR", help="Folder of runs, analyses, figures and tables.")


def _report(given: argparse.Namespace) -> int:
    from moleflow.analysis.index.page import write_index, write_run_index

    print(write_run_index(given.run) if given.run is not None else write_index(given.experiment))
    return 0


def _cache_flags(parser: Parser) -> None:
    where = Path("logs/feature_cache")
    parser.add_argument("--dir", type=Path, default=where, help=f"Folder of the cache (default: {where}).")


def _cache_info(given: argparse.Namespace) -> int:
    from moleflow.extractors.upkeep import as_table, kept_folders

    print(as_table(kept_folders(given.dir)))
    return 0


def _cache_prune_flags(parser: Parser) -> None:
    _cache_flags(parser)
    parser.add_argument(
        "--unused_days",
        type=float,
        metavar="N",
        help="Remove what was neither read nor written for so many days (where the system notes no reading: written).",
    )
    parser.add_argument("--max_gb", type=float, metavar="G", help="Then what was not used for longest, down to G GB.")
    parser.add_argument("--dry_run", action="store_true", help="Only tell what would go.")


def _cache_prune(given: argparse.Namespace) -> int:
    from moleflow.extractors.upkeep import kept_folders, remove, superfluous, told

    limits = {"--unused_days": given.unused_days, "--max_gb": given.max_gb}
    if all(limit is None for limit in limits.values()):
        raise UsageError("cache prune expects --unused_days or --max_gb: what may go.")
    for flag, limit in limits.items():
        if limit is not None and not limit >= 0:
            raise UsageError(f"{flag} expects at least 0, found {limit:g}.")
    files = superfluous(kept_folders(given.dir), given.unused_days, given.max_gb)
    if not given.dry_run:
        remove(given.dir, files)
    print(f"{'would remove' if given.dry_run else 'removed'} {told(files)}")
    return 0


def _bench_flags(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")
    parser.add_argument("--quick", action="store_true", help="Smaller shapes, fewer rounds: under a minute.")
    parser.add_argument("--rows", nargs="+", default=(), metavar="ROW", help="Which rows (default: all).")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or auto (default: cpu).")
    parser.add_argument("--data_path", type=Path, metavar="DIR", help="Classes in MVTec AD's layout (default: made).")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="Weights of resnet50_v1 (default: random).")


def _bench(given: argparse.Namespace) -> int:
    from benchmarks.table import run

    return run(given.rows, given.quick, given.device, given.data_path, given.weights, given.json)


VERBS = {
    "data check": Verb("Tell what a dataset's folder lacks or has twice.", _data_check_flags, _data_check,
                       "moleflow.data.check"),
    **{name: Verb(*row) for name, row in REGISTRY.items()},
    "cache info": Verb("Tell what a feature cache holds.", _cache_flags, _cache_info, "moleflow.extractors.upkeep"),
    "cache prune": Verb("Remove features that were not used for long.", _cache_prune_flags, _cache_prune,
                        "moleflow.extractors.upkeep"),
    "bench": Verb("Measure speed: ratios of two ways to do a thing, taken in turns.", _bench_flags, _bench,
                  "benchmarks.table"),
    "report": Verb("Collect a folder's runs, findings, figures and tables in index.html.", _report_flags, _report,
                   "moleflow.analysis.index.page"),
}  # fmt: skip


def main(words: Sequence[str]) -> int:
    """Run one verb; the exit code is 0 (fine), 1 (failed or different), 2 (misuse), 130 or 143 (interrupted)."""
    freeze_at_exit()
    return exit_code(lambda: _verb(words))


def _verb(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(_overview(), file=sys.stdout if words else sys.stderr)
        return 0 if words else 2
    name, flags = _split(words)
    given = _parse(name, flags)
    reuse_blocks()
    with listening():
        with not_collecting():
            import_module(VERBS[name].needs)
        return VERBS[name].run(given)


def _overview() -> str:
    rows = [f"  {name:<12} {verb.help}" for name, verb in VERBS.items()]
    return "\n".join([f"usage: {PROGRAM} VERB [FLAG …]      ({PROGRAM} VERB --help lists its flags)", *rows])


def _split(words: Sequence[str]) -> tuple[str, list[str]]:
    """The verb, of one word or two, and what follows it."""
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in VERBS:
            return name, list(words[length:])
    spoken = " ".join(word for word in words[:2] if not word.startswith("-"))
    raise UsageError(f"unknown verb {spoken!r}, expected one of {', '.join(VERBS)}{did_you_mean(spoken, VERBS)}")


def _parse(name: str, flags: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog=f"{PROGRAM} {name}", description=VERBS[name].help, allow_abbrev=False)
    VERBS[name].declare(parser)
    known, unknown = parser.parse_known_args(flags)
    if unknown:
        options = [option for action in parser._actions for option in action.option_strings]
        raise UsageError(f"Unknown argument {unknown[0]!r}{did_you_mean(unknown[0], options)}")
    return known


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
