"""``remove-task``: a run forgets a product."""

from moleflow.registry.journal import begun, noted
from moleflow.registry.results import forget_cost, mark_stale, take_again
from moleflow.registry.stored_run import StoredRun, renumbered
from moleflow.utils.errors import UsageError


def remove_task(run: StoredRun, name: str, evaluate: bool = True, data_path: str | None = None) -> None:
    """Drop a task's expert and its line; the others' bytes stay, and the router is derived from those left.

    What the base learned from the task's images stays in it: other experts build on it. Killed anywhere, the same
    command goes on.

    Args:
        run: a run that is being written.
        name: the task.
        evaluate: whether to take the results again.
        data_path: where the images of the tasks left are now; None: where the run had them.

    Raises:
        UsageError: there is no such task, or it is the only one.
    """
    gone = begun(run.path) == ("remove-task", name) and name not in run.folder.finished
    if not gone:
        run.entry(name)
    left = renumbered([task for task in run.tasks if task.name != name])
    if not left:
        raise UsageError(f"{name!r} is the only task of the run in {run.path}; remove the folder instead.")
    with noted(run.path, "remove-task", name):
        if not gone:
            mark_stale(run, run.folder.finished.index(name), f"remove-task {name}")
        run.write_stream(left)
        run.folder.drop_task(name)
        forget_cost(run, name)
        print(f"removed {name}: {len(left)} task{'s' * (len(left) > 1)} left")
        if evaluate:
            take_again(run, left, run.places, data_path)
