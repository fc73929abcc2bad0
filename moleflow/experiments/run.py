"""All experiments of a file, one after another; what is done is not done again."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from moleflow.analysis.tables import write_table
from moleflow.baselines.anomalib_parts import require_anomalib
from moleflow.baselines.cards import CARDS
from moleflow.config.knobs import knobs_of
from moleflow.config.resolve import modes, owners, run_groups, switches
from moleflow.evaluation.report.figures.canvas import save
from moleflow.experiments.conditions import Experiment
from moleflow.experiments.flow_stream import run_flow
from moleflow.experiments.kinds import FLOWS
from moleflow.experiments.peer_stream import PeerStream
from moleflow.experiments.table import comparison, drawn, row_of
from moleflow.run import open_data
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import as_written, read_json, write_json

EXPERIMENT, RUN = "experiment.json", "run"
"""In an experiment's folder: what it is, and the folder of what was found."""
TABLE, FIGURE, ROWS = "comparison", "comparison.png", "comparison.json"
PLACES = {"data_path", "feature_cache", "use_feature_cache", "device", "num_workers", "log_dir", "experiment_name",
          "backbone_weights", "resume", "overwrite", "tensorboard", "figures"}  # fmt: skip
"""Flags that say where, not what: an experiment that goes on may change them."""
FLOWS_OWN = {one.flag for one in knobs_of(run_groups()["training"])} - {"seed"}
"""How flows are trained: peers have their own options for that."""


class Experiments:
    """What to do, and where to.

    Args:
        experiments: in the table's order.
        out: folder; each experiment has its own in it.
        say: where sentences go.
    """

    def __init__(self, experiments: Sequence[Experiment], out: Path, say: Callable[[str], None] = print):
        self.experiments, self.out, self.say = experiments, out, say

    def run(self) -> dict[str, str]:
        """Do what is not done yet; one that fails stops no other.

        Returns:
            Name -> why it failed.

        Raises:
            UsageError: a folder holds another experiment of that name, or images are missing; nothing was run.
        """
        for experiment in self.experiments:
            open_data(experiment.resolved.run)
            self._claim(experiment)
        failed: dict[str, str] = {}
        for experiment in self.experiments:
            try:
                self._do(experiment)
            except MoleflowError as error:
                failed[experiment.name] = str(error)
                self.say(f"{experiment.name} failed: {error}")
            self.write()
        return failed

    def done(self, experiment: Experiment) -> bool:
        """Whether every task was evaluated, and latency measured."""
        row = self._row(experiment)
        return row is not None and row["tasks"][0] == row["tasks"][1] and row["ms_per_image"] is not None

    def rows(self) -> list[dict[str, Any]]:
        """What is known so far, in the table's order."""
        return [row for row in map(self._row, self.experiments) if row is not None]

    def _row(self, experiment: Experiment) -> dict[str, Any] | None:
        return row_of(experiment.name, experiment.model, self.out / experiment.name / RUN)

    def write(self) -> str:
        """Write table, figure and rows.

        Returns:
            The table, in Markdown; empty where nothing is known.
        """
        rows = self.rows()
        if not rows:
            return ""
        table = comparison(rows)
        write_json(self.out / ROWS, rows)
        write_table(table, self.out, TABLE)
        save(drawn(rows), self.out / FIGURE)
        return table.markdown()

    def _do(self, experiment: Experiment) -> None:
        if self.done(experiment):
            self.say(f"{experiment.name}: done before")
            return
        self.say(f"{experiment.name}: {experiment.description or experiment.model}")
        for note in experiment.notes:
            self.say(f"  {note}")
        folder = self.out / experiment.name / RUN
        cache = Path(experiment.resolved.run.features.feature_cache or self.out / "feature_cache")
        write_json(folder.parent / EXPERIMENT, _content(experiment))
        if experiment.model in FLOWS:
            run_flow(experiment, folder, cache)
            return
        if CARDS[experiment.model].wrapped:
            require_anomalib(f"the experiment {experiment.name!r}")
        PeerStream(experiment, folder, cache).run()

    def _claim(self, experiment: Experiment) -> None:
        """Refuse a folder of another experiment."""
        file = self.out / experiment.name / EXPERIMENT
        if not file.exists():
            return
        with as_written(file):
            if not _same(read_json(file), _content(experiment)):
                raise UsageError(f"{file} is of another experiment: rename this one, or choose another --out.")


def _content(experiment: Experiment) -> dict[str, Any]:
    flags: Mapping[str, Any] = experiment.resolved.flags
    kept = {flag: list(value) if isinstance(value, tuple) else value for flag, value in flags.items()}
    return {
        "name": experiment.name, "description": experiment.description, "model": experiment.model,
        "options": experiment.options,
        "flags": {flag: value for flag, value in kept.items() if _is_looked_at(flag, experiment.model)},
    }  # fmt: skip


def _is_looked_at(flag: str, model: str) -> bool:
    """Whether a flag says what is done: no place, and for a peer nothing of MoLE-Flow's but its extractor."""
    slots = {slot for slot, _ in owners().get(flag, [])} | {
        named[flag][0] for named in (modes(), switches()) if flag in named
    }
    return flag not in PLACES and (model in FLOWS or (bool(slots & {None, "extractor"}) and flag not in FLOWS_OWN))


def _same(stored: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
    """Whether two contents say the same; a flag that only one version of this project has says nothing."""
    both = stored["flags"].keys() & content["flags"].keys()
    equal = all(stored["flags"][flag] == content["flags"][flag] for flag in both)
    return equal and (stored["model"], stored["options"]) == (content["model"], content["options"])
