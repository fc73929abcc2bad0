"""Where a run's words and numbers go: the terminal, run.log, metrics.jsonl, TensorBoard.

Logs give way: where one cannot be written (a full disk, a broken one), that is said once and the run does without it.
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from moleflow.utils.errors import MoleflowError
from moleflow.utils.io import write_text

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger("moleflow")


def say(sentence: str) -> None:
    """One line for the user, in the terminal and in run.log."""
    logger.info(sentence)


def open_board(folder: Path) -> "SummaryWriter":
    """TensorBoard's writer; imported only where it is used, because it is slow to import."""
    from torch.utils.tensorboard import SummaryWriter

    threading.excepthook = _leave_out_boards
    return SummaryWriter(str(folder))


def _leave_out_boards(raised: threading.ExceptHookArgs) -> None:
    """No traceback of TensorBoard's thread, which cannot write: it raises the same error where it is given a value."""
    if type(raised.thread).__name__ != "_AsyncWriterThread" or not isinstance(raised.exc_value, OSError):
        threading.__excepthook__(raised)


class RunLog:
    """The log of one run, open while it works.

    Args:
        folder: the run's folder.
        tensorboard: whether scalars also go to TensorBoard.
    """

    def __init__(self, folder: Path, tensorboard: bool):
        self.folder = folder
        self.metrics: TextIO | None = None
        self.board: SummaryWriter | None = None
        logger.setLevel(logging.INFO)
        logger.propagate = False
        self.handlers: list[logging.Handler] = [logging.StreamHandler()]
        logger.addHandler(self.handlers[0])
        self._attempt("run.log", self._open_words)
        self._attempt("metrics.jsonl", self._open_metrics)
        if tensorboard:
            self._attempt("TensorBoard", self._open_board)

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._attempt("metrics.jsonl", self._close_metrics)
        self._attempt("TensorBoard", self._close_board)
        terminal, *files = self.handlers
        logger.removeHandler(terminal)
        for file in files:
            if error is not None:  # the terminal hears of it from the command line
                file.handle(logger.makeRecord(logger.name, logging.ERROR, "", 0, _named(error), (), None))
            logger.removeHandler(file)
            file.close()

    def forget(self, **fields: object) -> None:
        """Take lines with these values, and torn ones, out of metrics.jsonl: what a stopped run began is done again."""
        if self.metrics:
            self._attempt("metrics.jsonl", lambda: self._leave_out(fields))

    def scalars(self, task: str, step: int, values: dict[str, float]) -> None:
        """Numbers of one training step."""
        self._line({"task": task, "step": step, **values})
        self._draw({f"{name}/{task}": value for name, value in values.items()}, step)

    def evaluation(self, after_task: int, values: dict[str, float | None]) -> None:
        """Means over the classes seen so far."""
        self._line({"after_task": after_task, **values})
        known = {f"evaluation/{name}": value for name, value in values.items() if value is not None}
        self._draw(known, after_task)

    def diagnostics(self, task: int, values: dict[str, float]) -> None:
        """What diagnostics.json holds of a task, for TensorBoard alone."""
        self._draw({f"diagnostics/{name}": value for name, value in values.items()}, task)

    def _open_words(self) -> None:
        file = WordsFile(self.folder / "run.log", encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self.handlers.append(file)
        logger.addHandler(file)

    def _open_metrics(self) -> None:
        self.metrics = open_lines(self.folder / "metrics.jsonl")

    def _open_board(self) -> None:
        self.board = open_board(self.folder)

    def _leave_out(self, fields: dict[str, object]) -> None:
        path = self.folder / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        kept = [line for line in lines if _is_row_without(line, fields)]
        if len(kept) == len(lines):
            return
        self._close_metrics()
        try:
            write_text(path, "".join(kept))
        except MoleflowError as error:
            logger.warning("warning: %s; it keeps rows of a stopped run", error)
        self._open_metrics()

    def _close_metrics(self) -> None:
        file, self.metrics = self.metrics, None
        if file:
            file.close()

    def _close_board(self) -> None:
        board, self.board = self.board, None
        if board:
            board.close()

    def _line(self, values: dict[str, Any]) -> None:
        file = self.metrics
        if file and not self._attempt("metrics.jsonl", lambda: _write_line(file, values)):
            self.metrics = None

    def _draw(self, values: dict[str, float], step: int) -> None:
        board = self.board
        if board and not self._attempt("TensorBoard", lambda: _draw_on(board, values, step)):
            self.board = None

    def _attempt(self, place: str, write: Callable[[], None]) -> bool:
        """Whether it could be written; where not, why is said."""
        try:
            write()
        except OSError as error:
            logger.warning("warning: %s", given_up(f"{place} of {self.folder}", error))
            return False
        return True


class WordsFile(logging.FileHandler):
    """run.log; the first line that cannot be written ends it."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Leave the file, and say so to the other handlers."""
        error = sys.exc_info()[1]
        logger.removeHandler(self)
        with suppress(OSError):
            self.close()
        logger.warning("warning: %s", given_up(self.baseFilename, error))


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def given_up(place: str, error: BaseException | None) -> str:
    """The sentence on a log that cannot be written."""
    reason = getattr(error, "strerror", None) or error
    return f"{place} cannot be written ({reason}); the run goes on without it."


def open_lines(path: Path) -> TextIO:
    """A file of lines to append to; a last line that a crash cut short is ended first."""
    file = path.open("a", encoding="utf-8")
    with path.open("rb") as before:
        if before.seek(0, os.SEEK_END):
            before.seek(-1, os.SEEK_END)
            if before.read(1) != b"\n":
                file.write("\n")
    return file


def _write_line(file: TextIO, values: dict[str, Any]) -> None:
    try:
        file.write(json.dumps(values) + "\n")
        file.flush()
    except OSError:
        with suppress(OSError):
            file.close()
        raise


def _draw_on(board: "SummaryWriter", values: dict[str, float], step: int) -> None:
    for name, value in values.items():
        board.add_scalar(name, value, step)


def _is_row_without(line: str, fields: dict[str, object]) -> bool:
    """Whether a line is a JSON object that lacks some of these values."""
    try:
        values = json.loads(line)
    except json.JSONDecodeError:
        return False
    return isinstance(values, dict) and any(values.get(name) != value for name, value in fields.items())


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl; a line cut short by a crash is left out, and a lost file has none."""
    rows = []
    file = folder / "metrics.jsonl"
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows
