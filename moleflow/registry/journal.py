"""What a verb has begun and not ended: whoever repeats a command that was killed goes on, wherever that was."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moleflow.utils.io import as_written, read_json, write_json

JOURNAL = "unfinished.json"


def begun(run: Path) -> tuple[str, str] | None:
    """(verb, task) of a command that changed a run's folder and did not come to its end; None: there is none.

    Raises:
        MoleflowError: the file that says so is damaged.
    """
    file = run / JOURNAL
    if not file.exists():
        return None
    with as_written(file):
        content = read_json(file)
        return str(content["verb"]), str(content["task"])


def note(run: Path, verb: str, task: str) -> None:
    """Note a command, before its first change."""
    write_json(run / JOURNAL, {"verb": verb, "task": task})


def ended(run: Path) -> None:
    """Take the note away, after the last change."""
    (run / JOURNAL).unlink(missing_ok=True)


@contextmanager
def noted(run: Path, verb: str, task: str) -> Iterator[None]:
    """Note a command all of whose work changes something; the note stays where that fails."""
    note(run, verb, task)
    yield
    ended(run)


def in_words(run: Path) -> str | None:
    """What to do about a command that was killed."""
    found = begun(run)
    return found and f"{found[0]} of {found[1]} was interrupted in {run}; the same command goes on where it stopped"
