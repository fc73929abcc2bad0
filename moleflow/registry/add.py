"""``add-task``: a finished run learns one more product."""

from collections.abc import Sequence

from moleflow.config.task import Task
from moleflow.registry.journal import begun, noted
from moleflow.registry.results import finish
from moleflow.registry.stored_run import StoredRun
from moleflow.utils.errors import UsageError


def add_task(run: StoredRun, classes: Sequence[str], data_path: str | None = None) -> None:
    """Train one more task and evaluate all; every file ends as if the stream had had the task from the start.

    The longer stream is noted first, then the expert is written, then the manifest: killed anywhere, the same command
    goes on.

    Args:
        run: a run that is being written.
        classes: the task's classes.
        data_path: where their images lie; None: where the run's other images are.

    Raises:
        UsageError: the run is not finished, knows one of the classes, or images are missing.
    """
    run.require_finished(but=classes)
    task = Task(tuple(classes), len(run.tasks))
    learned = begun(run.path) == ("add-task", task.name) and task.name in run.folder.finished
    if not learned:
        run.refuse_known(classes)
    if len(set(classes)) < len(classes):
        raise UsageError(f"--task lists a class twice: {' '.join(classes)}; list each once.")
    tasks = run.tasks if learned else [*run.tasks, task]
    runner = run.runner(tasks, {**run.places, **(dict.fromkeys(classes, data_path) if data_path else {})})
    with noted(run.path, "add-task", task.name):
        run.write_places(classes, data_path)
        run.write_stream(tasks)
        finish(runner)
