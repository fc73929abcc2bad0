"""``evaluate``: a finished run's results from the images as they are now."""

from collections.abc import Mapping

from rich.console import Console

from moleflow.evaluation.report.table import print_results
from moleflow.evaluation.results import build_results
from moleflow.registry.results import finish, mark_stale
from moleflow.registry.stored_run import StoredRun, renumbered
from moleflow.utils.errors import MoleflowError


def evaluate(run: StoredRun, data_path: str | None = None) -> bool:
    """Take every row of the task matrix again; where the base has moved since, only the last one can be taken.

    Where an expert is broken the others are evaluated, their results are printed and nothing is written: they are not
    the results of this run.

    Args:
        run: a run that is being written.
        data_path: where all images are now; None: where the run had them.

    Returns:
        Whether every task could be evaluated.

    Raises:
        UsageError: the run is not finished, or images are missing.
        MoleflowError: the base or every expert is broken.
    """
    run.require_finished()
    places = {} if data_path else run.places
    broken = run.broken
    if broken:
        print_without(run, broken, places, data_path)
        return False
    runner = run.runner(run.tasks, places, data_path)
    mark_stale(run, 0, "evaluate")
    finish(runner)
    return True


def print_without(run: StoredRun, broken: Mapping[str, str], places: Mapping[str, str], data_path: str | None) -> None:
    """Print the results of the tasks whose experts are whole, and why the others are left out.

    Raises:
        UsageError: images are missing.
        MoleflowError: the base or every expert is broken.
    """
    left = renumbered([task for task in run.tasks if task.name not in broken])
    if not left:
        raise MoleflowError("; ".join(broken.values()))
    runner = run.runner(left, places, data_path)
    run.folder.load_base(runner.model)
    for task in left:
        run.load(runner.model, task.name)
    results = build_results(run.path.name, [task.classes for task in left], [runner.evaluator.evaluate(left)])
    print_results(results, Console())
    for name, why in broken.items():
        print(f"left out: {name}: {why}")
    print(f"the files of {run.path} stay as they were; replace-task fits an expert again, remove-task drops it")
