"""Where a run's words and numbers go: the terminal, run.log, metrics.jsonl, TensorBoard."""

import json
import logging
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger("moleflow")


def say(sentence: str) -> None:
    """One line for the user, in the terminal and in run.log."""
    logger.info(sentence)


def open_board(folder: Path) -> "SummaryWriter":
    """TensorBoard's writer; imported only where it is used, because it is slow to import."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))


class RunLog:
    """The log of one run, open while it works.

    Args:
        folder: the run's folder.
        tensorboard: whether scalars also go to TensorBoard.
    """

    def __init__(self, folder: Path, tensorboard: bool):
        self.folder = folder
        self.metrics = (folder / "metrics.jsonl").open("a", encoding="utf-8")
        self.board = open_board(folder) if tensorboard else None
        logger.setLevel(logging.INFO)
        logger.propagate = False
        file = logging.FileHandler(folder / "run.log", encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self.handlers: list[logging.Handler] = [logging.StreamHandler(), file]
        for handler in self.handlers:
            logger.addHandler(handler)

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.metrics.close()
        if self.board:
            self.board.close()
        terminal, file = self.handlers
        logger.removeHandler(terminal)
        if error is not None:  # the terminal hears of it from the command line
            logger.error("%s: %s", type(error).__name__, error)
        logger.removeHandler(file)
        file.close()

    def scalars(self, task: str, step: int, values: dict[str, float]) -> None:
        """Numbers of one training step."""
        self._line({"task": task, "step": step, **values})
        if self.board:
            for name, value in values.items():
                self.board.add_scalar(f"{name}/{task}", value, step)

    def evaluation(self, after_task: int, values: dict[str, float | None]) -> None:
        """Means over the classes seen so far."""
        self._line({"after_task": after_task, **values})
        if self.board:
            for name, value in values.items():
                if value is not None:
                    self.board.add_scalar(f"evaluation/{name}", value, after_task)

    def diagnostics(self, task: int, values: dict[str, float]) -> None:
        """What diagnostics.json holds of a task, for TensorBoard alone."""
        if self.board:
            for name, value in values.items():
                self.board.add_scalar(f"diagnostics/{name}", value, task)

    def _line(self, values: dict[str, Any]) -> None:
        self.metrics.write(json.dumps(values) + "\n")
        self.metrics.flush()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl; a last line cut short by a crash is left out."""
    rows = []
    for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows
