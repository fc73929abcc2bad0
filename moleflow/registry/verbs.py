"""The verbs of the registry: their flags, and what runs them. Nothing heavy is imported before one runs."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

BAD_IMAGE = "What to do with an image that cannot be read (default: as the run)."
Declare = Callable[[argparse.ArgumentParser], None]
Run = Callable[[argparse.Namespace], int]


def _run_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", required=True, type=Path, metavar="DIR", help="Folder of the run.")


def _compute_flags(parser: argparse.ArgumentParser) -> None:
    _run_flag(parser)
    parser.add_argument("--device", help="cpu, cuda, cuda:N or auto (default: as the run).")


def _data_flags(parser: argparse.ArgumentParser) -> None:
    _compute_flags(parser)
    parser.add_argument("--data_path", metavar="DIR", help="Where the images are (default: where the run had them).")
    parser.add_argument("--on_bad_image", choices=("skip", "error"), help=BAD_IMAGE)


def _optional_evaluation_flags(parser: argparse.ArgumentParser) -> None:
    _data_flags(parser)
    parser.add_argument("--no_evaluate", action="store_true", help="Only mark the results as stale.")


def _add_flags(parser: argparse.ArgumentParser) -> None:
    _data_flags(parser)
    parser.add_argument("--task", required=True, nargs="+", metavar="CLASS", help="Classes of the new task.")


def _add(given: argparse.Namespace) -> int:
    from moleflow.registry.add import add_task
    from moleflow.registry.stored_run import writing

    with writing(given.run, given.device, given.on_bad_image) as run:
        add_task(run, given.task, given.data_path)
    return 0


def _remove_flags(parser: argparse.ArgumentParser) -> None:
    _optional_evaluation_flags(parser)
    parser.add_argument("--task", required=True, metavar="NAME", help="The task, as the ledger names it.")


def _remove(given: argparse.Namespace) -> int:
    from moleflow.registry.remove import remove_task
    from moleflow.registry.stored_run import writing

    with writing(given.run, given.device, given.on_bad_image) as run:
        remove_task(run, given.task, not given.no_evaluate, given.data_path)
    return 0


def _replace_flags(parser: argparse.ArgumentParser) -> None:
    _data_flags(parser)
    parser.add_argument("--task", required=True, metavar="NAME", help="The task, as the ledger names it.")


def _replace(given: argparse.Namespace) -> int:
    from moleflow.registry.replace import replace_task
    from moleflow.registry.stored_run import writing

    with writing(given.run, given.device, given.on_bad_image) as run:
        replace_task(run, given.task, given.data_path)
    return 0


def _export_flags(parser: argparse.ArgumentParser) -> None:
    _run_flag(parser)
    parser.add_argument("--task", required=True, metavar="NAME", help="The task, as the ledger names it.")
    parser.add_argument("--to", required=True, type=Path, metavar="FILE", help="File to write.")


def _export(given: argparse.Namespace) -> int:
    from moleflow.registry.move import export_task
    from moleflow.registry.stored_run import StoredRun

    export_task(StoredRun(given.run), given.task, given.to)
    return 0


def _import_flags(parser: argparse.ArgumentParser) -> None:
    _optional_evaluation_flags(parser)
    parser.add_argument("--from", required=True, type=Path, dest="file", metavar="FILE", help="What export-task wrote.")


def _import(given: argparse.Namespace) -> int:
    from moleflow.registry.move import import_task
    from moleflow.registry.stored_run import writing

    with writing(given.run, given.device, given.on_bad_image) as run:
        import_task(run, given.file, not given.no_evaluate, given.data_path)
    return 0


def _ledger_flags(parser: argparse.ArgumentParser) -> None:
    _run_flag(parser)
    parser.add_argument("--json", action="store_true", help="Print JSON, with whole hashes.")


def _ledger(given: argparse.Namespace) -> int:
    from moleflow.registry.ledger import as_table, ledger
    from moleflow.registry.stored_run import StoredRun

    content = ledger(StoredRun(given.run))
    print(json.dumps(content, indent=2) if given.json else as_table(content))
    return 0


def _verify(given: argparse.Namespace) -> int:
    from moleflow.registry.journal import in_words
    from moleflow.registry.stored_run import StoredRun
    from moleflow.registry.verify import notes, verify

    run = StoredRun(given.run, given.device)
    problems = list(verify(run))
    if interrupted := in_words(run.path):
        print(f"note: {interrupted}")
    for note in notes(run):
        print(f"note: {note}")
    print("\n".join(problems) if problems else f"{run.path}: {len(run.folder.finished)} tasks, everything as it was")
    return int(bool(problems))


def _evaluate(given: argparse.Namespace) -> int:
    from moleflow.registry.evaluate import evaluate
    from moleflow.registry.stored_run import writing

    with writing(given.run, given.device, given.on_bad_image) as run:
        return int(not evaluate(run, given.data_path))


REGISTRY: dict[str, tuple[str, Declare, Run]] = {
    "add-task": ("Let a finished run learn one more product.", _add_flags, _add),
    "remove-task": ("Let a run forget a product.", _remove_flags, _remove),
    "replace-task": ("Fit a product's expert again to the images as they are now.", _replace_flags, _replace),
    "export-task": ("Write a product's expert as one file.", _export_flags, _export),
    "import-task": ("Take an exported expert into a run of the same base.", _import_flags, _import),
    "ledger": ("Tell bytes, seconds, accuracy and hash of each task.", _ledger_flags, _ledger),
    "verify": ("Tell what in a run differs from what was written.", _compute_flags, _verify),
    "evaluate": ("Take a run's results again from the images as they are now.", _data_flags, _evaluate),
}
"""Verb -> a sentence, its flags, what runs it."""
