"""``replace-task``: a product's expert is fitted again to the images there are now."""

from dataclasses import replace

from moleflow.config.task import Task
from moleflow.models.task import shared_later
from moleflow.registry.journal import ended, note
from moleflow.registry.results import finish, mark_stale
from moleflow.registry.stored_run import StoredRun
from moleflow.run import Runner
from moleflow.utils.errors import UsageError


def replace_task(run: StoredRun, name: str, data_path: str | None = None) -> None:
    """Fit a task's expert anew on the base as it is; the base and the other experts stay as they are.

    The expert of the stream's first task is fitted as a later task's would be: the base it once trained is not touched.
    The old expert need not be readable, so this is the way out where it is broken. Killed anywhere, the same command
    goes on: an expert that is fitted twice is the same.

    Args:
        run: a run that is being written.
        name: the task.
        data_path: where the images of its classes are now; None: where the run had them.

    Raises:
        UsageError: the run is not finished or has no such task, images are missing, or the base would move.
    """
    run.entry(name)
    run.require_finished()
    place = run.folder.finished.index(name)
    task = run.tasks[place]
    places = {**run.places, **(dict.fromkeys(task.classes, data_path) if data_path else {})}
    runner = run.runner(run.tasks, places)
    later = replace(task, index=max(task.index, 1))
    if _moves_base(runner, later):
        raise UsageError(
            f"The base of the run in {run.path} goes on learning with each task, so a new {name!r} would change the "
            "others; train the stream again."
        )

    def replacing() -> None:
        note(run.path, "replace-task", name)
        mark_stale(run, place, f"replace-task {name}")

    runner.refit(later, replacing)
    run.write_places(task.classes, data_path)
    finish(run.runner(run.tasks, places))
    ended(run.path)


def _moves_base(runner: Runner, task: Task) -> bool:
    runner.model.begin_task(task, runner.config.training.seed)
    moving = shared_later(runner.model, task)
    runner.model.remove_task(task.name)
    return bool(moving)
