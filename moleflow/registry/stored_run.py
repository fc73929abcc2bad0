"""A run that is there: its folder, its configuration, its tasks; what every verb starts from."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from moleflow.config.resolve import Resolved
from moleflow.config.stored import stored_config
from moleflow.config.task import Task
from moleflow.data.datasets import facts_of
from moleflow.data.tasks import make_stream, scenario_of
from moleflow.models.build import build_extractor, build_model
from moleflow.models.mole_nf import MoLEFlow
from moleflow.registry.images import gathered
from moleflow.run import Runner, open_data
from moleflow.trainer.checkpoint import RunFolder
from moleflow.trainer.links import refuse_links_out
from moleflow.trainer.lock import RunLock
from moleflow.utils.env import choose_device
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import as_written, read_json
from moleflow.utils.text import did_you_mean

PLACES = "data_paths.json"
"""Class -> the folder of its images, for classes that came from elsewhere than the run's own."""


class StoredRun:
    """A run's folder as verbs see it.

    Args:
        path: the folder.
        device: where to compute; None: as the run did.
        on_bad_image: ``skip`` or ``error``; None: as the run did.

    Raises:
        UsageError: there is no run.
        MoleflowError: its configuration or its manifest cannot be read.
    """

    def __init__(self, path: Path, device: str | None = None, on_bad_image: str | None = None):
        self.folder = RunFolder(path)
        file = path / "config.json"
        if not file.is_file():
            raise UsageError(f"There is no run in {path} (no config.json); give --run the folder of one.")
        self.content = read_json(file)
        self.resolved = stored_config(self.content, str(file))
        run = self.resolved.run
        hardware = replace(run.hardware, device=device or run.hardware.device)
        data = replace(run.data, on_bad_image=on_bad_image or run.data.on_bad_image)
        self.resolved = replace(self.resolved, run=replace(run, hardware=hardware, data=data))

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder.path

    @property
    def tasks(self) -> list[Task]:
        """The finished tasks, in stream order."""
        return [Task(tuple(entry["classes"]), place) for place, entry in enumerate(self.folder.manifest["tasks"])]

    @property
    def planned(self) -> list[str]:
        """The classes that the run was to learn: as configured, else as its results list them."""
        chosen = self.resolved.run.stream.task_classes
        results = self.path / "results.json"
        if chosen or not results.exists():
            return list(chosen)
        with as_written(results):
            return [str(name) for name in chain.from_iterable(self.folder.sums.read_json(results.name)["tasks"])]

    @property
    def pending(self) -> list[str]:
        """Planned classes that no finished task holds."""
        learned = {name for task in self.tasks for name in task.classes}
        return [name for name in self.planned if name not in learned]

    def entry(self, name: str) -> dict[str, Any]:
        """What the manifest says of a task.

        Raises:
            UsageError: it has no such task.
        """
        entries = {entry["name"]: entry for entry in self.folder.manifest["tasks"]}
        if name not in entries:
            hint = did_you_mean(name, entries)
            raise UsageError(f"The run in {self.path} has no task {name!r}, only {', '.join(entries) or 'none'}{hint}")
        return entries[name]

    def require_finished(self, but: Sequence[str] = ()) -> None:
        """Refuse a run that still has something to train.

        Raises:
            UsageError: nothing is finished, or classes are pending, other than those in ``but``.
        """
        missing = [name for name in self.pending if name not in but]
        if missing or not self.folder.finished:
            found = f"lacks {', '.join(missing)}" if missing else "holds no finished task"
            raise UsageError(f"The run in {self.path} {found}; finish it with run_moleflow.py --resume.")

    def refuse_known(self, classes: Sequence[str]) -> None:
        """Refuse classes that the run has learned.

        Raises:
            UsageError: one of them is in a task.
        """
        for task in self.tasks:
            for name in set(classes) & set(task.classes):
                raise UsageError(
                    f"The run in {self.path} knows {name!r} already, in its task {task.name!r}; "
                    "replace-task fits it again, remove-task drops it."
                )

    def with_stream(self, tasks: Sequence[Task], data_path: str | None = None) -> Resolved:
        """The configuration of this run, where it lies now, with these tasks as its stream."""
        run = self.resolved.run
        stream = replace(run.stream, **self._stream_flags(tasks))
        here = self.path.resolve()
        output = replace(
            run.output,
            log_dir=str(here.parent),
            experiment_name=here.name,
            resume=True,
            overwrite=False,
            stop_after=None,
        )
        data = replace(run.data, data_path=data_path or run.data.data_path)
        return replace(self.resolved, run=replace(run, stream=stream, output=output, data=data))

    def write_stream(self, tasks: Sequence[Task]) -> None:
        """Make these tasks the stream that config.json names; the rest of it stays."""
        flags = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self._stream_flags(tasks).items()
        }
        self.content["run"]["stream"] |= flags
        self.content["flags"] |= flags
        self.content["sources"] |= dict.fromkeys(flags, "cli")
        self.folder.sums.write_json("config.json", self.content)

    def _stream_flags(self, tasks: Sequence[Task]) -> dict[str, Any]:
        """What gives these tasks as a stream: scenario and order as configured where those still do."""
        classes = tuple(name for task in tasks for name in task.classes)
        run = self.resolved.run
        scenario, order = run.stream.cl_scenario, run.stream.task_order
        try:
            same = make_stream(classes, classes, scenario, order, facts_of(run.data.dataset)) == tuple(tasks)
        except UsageError:  # a scenario of more classes, an order that knows nothing of one of them
            same = False
        if not same:
            scenario, order = scenario_of([len(task.classes) for task in tasks]), "given"
        return {"task_classes": classes, "cl_scenario": scenario, "task_order": order}

    @property
    def places(self) -> dict[str, str]:
        """Class -> folder, where it is not the run's own."""
        file = self.path / PLACES
        with as_written(file):
            content = self.folder.sums.read_json(PLACES) if file.exists() else {}
            return {name: str(Path(place)) for name, place in content.items()}

    def write_places(self, classes: Sequence[str], folder: str | None) -> None:
        """Note where the images of classes lie; None: nothing new."""
        if folder is not None:
            new = dict.fromkeys(classes, str(Path(folder).resolve()))
            self.folder.sums.write_json(PLACES, {**self.places, **new})

    def runner(self, tasks: Sequence[Task], places: Mapping[str, str], data_path: str | None = None) -> Runner:
        """What trains and evaluates this run with a stream of these tasks.

        Args:
            tasks: the stream.
            places: class -> folder of its images, where it is not the run's own.
            data_path: the folder of all other images; None: the run's own.

        Raises:
            UsageError: images, weights or the device are missing.
        """
        resolved = self.with_stream(tasks, data_path)
        run = resolved.run
        roots = {name: places.get(name, run.data.data_path) for name in run.stream.task_classes}
        dataset = gathered(roots, lambda root: open_data(replace(run, data=replace(run.data, data_path=root))))
        return Runner(resolved, self.folder, dataset)

    @property
    def broken(self) -> dict[str, str]:
        """Task -> what is wrong with its expert's file, for those that cannot be used."""
        found = {}
        for entry in self.folder.manifest["tasks"]:
            try:
                self.folder.verified(entry)
            except MoleflowError as error:
                found[entry["name"]] = str(error)
        return found

    def model(self) -> MoLEFlow:
        """The run's model with its base and no expert.

        Raises:
            UsageError: the backbone's weights or the device are missing.
            MoleflowError: the base is damaged.
        """
        ablation, run = self.resolved.ablation, self.resolved.run
        device = choose_device(run.hardware.device)
        model = build_model(ablation, build_extractor(ablation, run).to(device), run.training.seed).to(device)
        if self.folder.manifest["base"] is not None:
            self.folder.load_base(model)
        return model

    def load(self, model: MoLEFlow, name: str) -> None:
        """Give the model the expert of a finished task; where that fails the model is as before.

        Raises:
            MoleflowError: the expert is missing, damaged or of another model.
        """
        task = self.folder.stored_task(name)
        model.begin_task(task, self.resolved.run.training.seed)
        try:
            self.folder.load_task(model, task)
        except MoleflowError:
            model.remove_task(name)
            raise


@contextmanager
def writing(path: Path, device: str | None = None, on_bad_image: str | None = None) -> Iterator[StoredRun]:
    """A run that nobody else writes meanwhile.

    Raises:
        UsageError: there is no run, or another process writes it.
        MoleflowError: a link in it leads elsewhere, or its configuration is not as it was written.
    """
    StoredRun(path)  # leaves no lock in a folder without a run
    refuse_links_out(path)
    with RunLock(path):
        RunFolder(path).tidy()
        stored = StoredRun(path, device, on_bad_image)
        stored.folder.sums.found("config.json")
        yield stored


def renumbered(tasks: Sequence[Task]) -> list[Task]:
    """The tasks as a stream of their own: numbered from 0."""
    return [replace(task, index=index) for index, task in enumerate(tasks)]
