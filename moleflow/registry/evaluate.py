"""``evaluate``: a finished run's results from the images as they are now."""

from moleflow.registry.results import finish, mark_stale
from moleflow.registry.stored_run import StoredRun


def evaluate(run: StoredRun, data_path: str | None = None) -> None:
    """Take every row of the task matrix again; where the base has moved since, only the last one can be taken.

    Args:
        run: a run that is being written.
        data_path: where all images are now; None: where the run had them.

    Raises:
        UsageError: the run is not finished, or images are missing.
        MoleflowError: an expert is broken.
    """
    run.require_finished()
    runner = run.runner(run.tasks, {} if data_path else run.places, data_path)
    mark_stale(run, 0, "evaluate")
    finish(runner)
