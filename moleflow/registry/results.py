"""Results that a change of the registry puts out of date: marked first, taken again where the images are there."""

from collections.abc import Mapping, Sequence

from moleflow.config.task import Task
from moleflow.evaluation.kept import drop_scores
from moleflow.evaluation.report.write import write_report
from moleflow.registry.stored_run import StoredRun
from moleflow.run import Runner
from moleflow.utils.errors import UsageError
from moleflow.utils.io import as_written

DERIVED = ("report.html", "diagnostics.json", "results.csv", "predictions.csv")
"""What is written from the last evaluation."""


def mark_stale(run: StoredRun, first_row: int, why: str) -> None:
    """Drop the rows of the task matrix from one on and what was derived from them; results.json says why it is old."""
    sums = run.folder.sums
    results = run.path / "results.json"
    if results.exists():
        with as_written(results):
            content = {**sums.read_json(results.name), "stale": why}
        sums.write_json(results.name, content)
    rows = [file.name for file in (run.path / "evaluations").glob("after_*.json")]
    old = [f"evaluations/{name}" for name in rows if int(name[len("after_") : -len(".json")]) >= first_row]
    sums.remove([*old, *DERIVED])
    drop_scores(sums)


def forget_cost(run: StoredRun, task: str) -> None:
    """Drop a task's costs."""
    file = run.path / "cost.json"
    if file.exists():
        with as_written(file):
            cost = run.folder.sums.read_json(file.name)
            for table in cost.values():
                if isinstance(table, dict):
                    table.pop(task, None)
        run.folder.sums.write_json(file.name, cost)


def finish(runner: Runner) -> None:
    """Train and evaluate what is not there, and write the report."""
    results = runner.run()
    write_report(runner.folder.path, results, runner.evaluator, runner.config)


def take_again(run: StoredRun, tasks: Sequence[Task], places: Mapping[str, str], data_path: str | None) -> None:
    """Evaluate the rows that are not there; without images results stay marked, and why is said."""
    try:
        runner = run.runner(tasks, places, data_path)
    except UsageError as error:
        print(f"results are marked as stale, they were not taken again: {error}")
        return
    finish(runner)
