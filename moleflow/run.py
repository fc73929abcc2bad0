"""One run from start to end: build, train task after task, evaluate, write. Where all packages meet."""

import resource
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from moleflow.config.resolve import Resolved
from moleflow.config.run import RunConfig
from moleflow.config.task import Task
from moleflow.config.variants import RandomRotation, SlowStage, SpatialTransformer
from moleflow.data.datasets import ImageDataset, dataset_root, facts_of, open_dataset
from moleflow.data.demo import write_demo
from moleflow.data.rotation import Rotation
from moleflow.data.skipped import in_words
from moleflow.data.tasks import make_stream
from moleflow.evaluation.diagnostics import diagnose, flattened
from moleflow.evaluation.evaluator import Evaluator
from moleflow.evaluation.results import Evaluation, build_results, read_evaluation
from moleflow.evaluation.run_record import run_record
from moleflow.extractors.cache import FeatureStore
from moleflow.extractors.live import LiveStore
from moleflow.extractors.stream_data import StreamData
from moleflow.losses.build import build_loss
from moleflow.models.build import build_extractor, build_model
from moleflow.models.experts import LastUsed
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.scoring.calibration import FEW
from moleflow.models.task import per_task_parts, shared_later
from moleflow.trainer.checkpoint import BASE, RunFolder, file_name
from moleflow.trainer.continual_trainer import BASE_TASK, ContinualTrainer
from moleflow.trainer.lock import RunLock
from moleflow.trainer.memory import StepOutOfMemory
from moleflow.trainer.opening import check_writable, open_run, refuse_foreign
from moleflow.trainer.pretraining import base_features, holds_base, images_below, take_base
from moleflow.trainer.probe import take_probe
from moleflow.trainer.progress_file import PROGRESS, ProgressFile
from moleflow.trainer.regularizers.build import build_protector
from moleflow.utils.env import choose_device, describe_environment
from moleflow.utils.interrupt import held
from moleflow.utils.log import RunLog, say

REPORT, DIAGNOSTICS, COST = "report.html", "diagnostics.json", "cost.json"
"""The page that is written last, what --run_diagnostics writes, and what a run has cost."""
HALVED = "halved_batch_sizes"
"""Entry of the costs: task -> images a step, where memory ran out with more."""


def data_root(run: RunConfig) -> Path:
    """The dataset's folder: --data_path, or $MOLEFLOW_DATA/<dataset>, or where the demo's images are made.

    Raises:
        UsageError: none of them is given.
    """
    if run.data.dataset == "demo" and not run.data.data_path:
        return Path(run.output.log_dir) / "demo_data"
    return dataset_root(run.data.dataset, run.data.data_path)


def open_data(run: RunConfig) -> ImageDataset:
    """The run's dataset; the demo's images are made if they are not there yet."""
    root = data_root(run)
    if run.data.dataset == "demo" and not run.data.data_path:
        write_demo(root, classes=list(run.stream.task_classes) or None)
    return open_dataset(run.data.dataset, root)


def run_name(run: RunConfig) -> str:
    """The name of the run's folder: as given, or dataset, backbone and seed."""
    return run.output.experiment_name or f"{run.data.dataset}-{run.features.backbone_name}-seed{run.training.seed}"


def open_store(resolved: Resolved, model: MoLEFlow, device: torch.device) -> FeatureStore:
    """Where features come from: the cache, or the backbone, or what learns before it."""
    run = resolved.run
    resize, workers = run.data.resize, run.hardware.num_workers
    if isinstance(resolved.ablation.image, SpatialTransformer):
        return LiveStore(model.features, model.extractor, resize, workers, device)
    folder = Path(run.features.feature_cache or Path(run.output.log_dir) / "feature_cache")
    kept = folder if run.features.cache_features else None
    return FeatureStore(model.extractor, resize, kept, num_workers=workers, device=device)


def rotation_of(resolved: Resolved) -> Rotation | None:
    """How training images are rotated, if they are."""
    match resolved.ablation.image:
        case RandomRotation(degrees, views):
            return Rotation(degrees, views, resolved.run.training.seed)
    return None


class Runner:
    """Everything one run needs, built from its configuration before anything is written.

    From then on until it is closed nobody else can write the run's folder.

    Args:
        resolved: the configuration.
        opened: the run's folder where whoever calls has opened and locked it; else it is made, continued or replaced as
            the configuration says.
        dataset: the images; else those the configuration names.

    Raises:
        UsageError: data, weights, device or folder are not what the configuration says, or another process writes the
            folder.
    """

    def __init__(self, resolved: Resolved, opened: RunFolder | None = None, dataset: ImageDataset | None = None):
        run = resolved.run
        self._lock: RunLock | None = None
        self.config = run
        check_writable(Path(run.output.log_dir))
        self.device = choose_device(run.hardware.device)
        dataset = dataset or open_data(run)
        chosen = list(run.stream.task_classes) or None
        facts = facts_of(run.data.dataset)
        self.stream = make_stream(dataset.classes, chosen, run.stream.cl_scenario, run.stream.task_order, facts)
        for task in self.stream:
            file_name(task)  # refuses names that no file can have
        path = Path(run.output.log_dir) / run_name(run)
        extractor = build_extractor(resolved.ablation, run).to(self.device)
        self.model = build_model(resolved.ablation, extractor, run.training.seed).to(self.device)
        store = open_store(resolved, self.model, self.device)
        self.data = StreamData(dataset, store, run.data, run.training.seed, self.device, rotation_of(resolved))
        self.data.check(self.stream)
        if run.features.base_from and not (run.output.resume and (path / BASE).exists()):
            take_base(self.model, Path(run.features.base_from))
        self.record = run_record(resolved, self.stream)
        self.terms = build_loss(resolved.ablation)
        self.protector = build_protector(resolved.ablation, run.training.seed)
        self.slow = resolved.ablation.slow if isinstance(resolved.ablation.slow, SlowStage) else SlowStage()
        if opened is None:
            refuse_foreign(path)
            self._lock = RunLock(path)
        self.folder = opened or open_run(path, resolved.to_store(), run.output.resume, run.output.overwrite)
        self.data.skipped.keep_in(self.folder.sums)
        self.keeper = ProgressFile(self.folder.path / PROGRESS, self._builds_on)
        if run.hardware.expert_memory_mb is not None:
            limit = run.hardware.expert_memory_mb * 2**20
            self.model.experts = LastUsed(self.model, self.model.tasks, self.folder, limit)
        self.evaluator = Evaluator(self.model, self.data, run.data.resize)
        self.cost = self._stored_cost()

    def __enter__(self) -> "Runner":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.release()

    def run(self) -> dict[str, Any]:
        """Train and evaluate what is not there yet.

        Returns:
            The content of results.json so far.
        """
        if self.complete:
            return self.results()
        self.folder.sums.remove([REPORT, DIAGNOSTICS])  # a paused run's: they would pass for the whole run's
        self.folder.sums.write_json("env.json", describe_environment(self.device))
        with RunLog(self.folder.path, self.config.output.tensorboard) as log:
            for doubt in self.data.doubts(self.stream):
                say(f"warning: {doubt}")
            trainer = self._trainer(log)
            self._start_from(trainer, log)
            for task in self.stream[: self.config.output.stop_after]:
                self._learn(task, trainer, log)
                self._evaluate(task, log)
            if len(self.folder.finished) == len(self.stream):
                self.keeper.remove()
            if self.config.output.run_diagnostics:
                self._diagnose(log)
            self._tell_skipped()
        return self.results()

    def _trainer(self, log: RunLog) -> ContinualTrainer:
        return ContinualTrainer(
            self.model,
            self.terms,
            self.config.training,
            lambda task, step, values: log.scalars(task.name, step, values),
            self.config.hardware.amp,
            self.protector,
            self.slow.epochs,
            self.slow.lr_ratio,
            self.keeper,
        )

    @property
    def complete(self) -> bool:
        """Whether every task is trained and evaluated, and the report is written."""
        needed = [*map(_row_of, self.stream), REPORT, *([DIAGNOSTICS] if self.config.output.run_diagnostics else [])]
        return all((self.folder.path / name).exists() for name in needed)

    def results(self, newest: Evaluation | None = None) -> dict[str, Any]:
        """The content of results.json, from the evaluations that are there and one that is to be written."""
        tasks = [list(task.classes) for task in self.stream]
        evaluations = [*self.evaluations(), *([newest] if newest else [])]
        return build_results(self.folder.path.name, tasks, evaluations, self.record, self._skipped())

    def evaluations(self) -> list[Evaluation]:
        """The evaluations that are there, in stream order."""
        there = [name for name in map(_row_of, self.stream) if (self.folder.path / name).exists()]
        return [read_evaluation(self.folder.sums.found(name)) for name in there]

    def refit(self, task: Task, before_commit: Callable[[], None]) -> None:
        """Fit a finished task's expert again on the base as it is, and replace it.

        Args:
            task: the task; its place in the stream says whether shared weights would move.
            before_commit: called once the expert is there, before it is listed.
        """
        if not self.keeper.path.exists():  # else it goes on with what is kept there
            self.cost.get(HALVED, {}).pop(task.name, None)
        with RunLog(self.folder.path, self.config.output.tensorboard) as log:
            self.folder.load_base(self.model)
            self._learn_new(task, self._trainer(log), log, before_commit)

    def _start_from(self, trainer: ContinualTrainer, log: RunLog) -> None:
        """The shared part as the last finished task left it, or as it is before the stream."""
        if self.folder.manifest["base"] is not None:
            self.folder.load_base(self.model)
            self.protector.load(self.folder.load_protector())
        elif self.config.features.base_from is not None:
            if not holds_base(Path(self.config.features.base_from)):  # else it was loaded before anything was written
                self._pretrain(Path(self.config.features.base_from), trainer, log)
            self.folder.save_base(self.model)
            self.keeper.remove()

    def _builds_on(self) -> str:
        """What the manifest says of the shared part and of what its protector keeps: training starts from both."""
        manifest = self.folder.manifest
        return f"{manifest['base']} {manifest.get('protector')}"

    def _pretrain(self, source: Path, trainer: ContinualTrainer, log: RunLog) -> None:
        say(f"base: training on the images in {source}")
        normal, bad = base_features(source, self.data.store, self.config.data.on_bad_image, self.device)
        self.data.skipped.note(images_below(source), bad, "train")
        with held():
            self._fit(BASE_TASK, log, lambda batch_size: trainer.pretrain(normal, batch_size))

    def _learn(self, task: Task, trainer: ContinualTrainer, log: RunLog) -> None:
        if task.name in self.folder.finished:
            self.model.begin_task(self.folder.stored_task(task.name), self.config.training.seed)
            self.folder.load_task(self.model, task)
            return
        say(f"task {task.index + 1}/{len(self.stream)}: {task.name}")
        self._learn_new(task, trainer, log)

    def _learn_new(
        self, task: Task, trainer: ContinualTrainer, log: RunLog, before_commit: Callable[[], None] | None = None
    ) -> None:
        start = time.perf_counter()
        normal, held_out = self.data.training(task)
        prepared = time.perf_counter()
        folds = self.config.training.calibration_folds if len(held_out) < FEW else 1
        with held():  # a signal stops it after a step, or once the task is finished
            fit = lambda batch: trainer.train(task, normal, held_out, self.data.folds(task, folds), batch)
            self._fit(task, log, fit)
            dtype = getattr(torch, self.config.training.expert_dtype)
            probe = take_probe(self.model, task.name, (held_out if len(held_out) else normal).batches)
            if before_commit is not None:
                before_commit()
            self.folder.save_task(self.model, task, dtype, self.config.training.seed, self.protector.state(), probe)
            self.keeper.remove()
            trained = time.perf_counter() - prepared
            costs = {"feature_seconds": prepared - start, "seconds": trained, "progress_seconds": self.keeper.seconds}
            self._note_cost(task, **costs)

    def _fit(self, task: Task, log: RunLog, fit: Callable[[int | None], int]) -> None:
        """Fit a task; where a step does not fit into memory, once more from its start with half the batch.

        That is noted first: whoever resumes halves the batch, of folds too, also where memory has come back.
        """
        log.forget(task=task.name)
        try:
            fit(self.cost.get(HALVED, {}).get(task.name))
            return
        except StepOutOfMemory as error:
            if error.last:
                raise
            half = error.batch_size // 2
            say(f"warning: memory ran out with {error.batch_size} images a step; {task.name} starts anew with {half}")
        self.cost.setdefault(HALVED, {})[task.name] = half  # from here on the failed step's memory is free
        self.folder.sums.write_json(COST, self.cost)
        self.keeper.remove()
        log.forget(task=task.name)
        fit(half)

    def _evaluate(self, task: Task, log: RunLog) -> None:
        last = task is self.stream[-1]
        if not last and ((self.folder.path / _row_of(task)).exists() or self._is_past(task)):
            return
        start = time.perf_counter()
        evaluation = self.evaluator.evaluate(self.stream[: task.index + 1])
        results = self.results(evaluation)
        self.folder.sums.write_json("results.json", results)
        log.forget(after_task=task.index)
        log.evaluation(task.index, results["final"]["routed"])
        self.folder.sums.write_json(_row_of(task), evaluation.to_dict())  # last: what is there is not done again
        say(f"  {summary(results)}")
        self._note_cost(task, evaluation_seconds=time.perf_counter() - start)

    def _is_past(self, task: Task) -> bool:
        """Whether the model as it was after the task is lost: the base has moved since."""
        return task.name != self.folder.finished[-1] and bool(shared_later(self.model, task))

    def _diagnose(self, log: RunLog) -> None:
        tasks = [task for task in self.stream if task.name in self.model.tasks]
        content = diagnose(self.model, self.data, tasks, self.config.data.resize)
        self.folder.sums.write_json(DIAGNOSTICS, content)
        for task in tasks:
            found = content["tasks"][task.name]
            log.diagnostics(task.index, dict(flattened(found)))
            for warning in found["warnings"]:
                say(f"warning: {task.name}: {warning}")

    def _skipped(self) -> dict[str, Any]:
        """What was left out of the stream's classes and of what its base was trained on."""
        return self.data.skipped.of({BASE_TASK.name, *(name for task in self.stream for name in task.classes)})

    def _tell_skipped(self) -> None:
        for line in in_words(self._skipped()):
            say(line)

    def _stored_cost(self) -> dict[str, Any]:
        if (self.folder.path / COST).exists():
            return dict(self.folder.sums.read_json(COST))
        fields = ("seconds_per_task", "feature_seconds_per_task", "evaluation_seconds_per_task")
        return {name: {} for name in fields}

    def _note_parameters(self) -> None:
        """Count what each task learns by gradient, once: its expert may be out of memory later."""
        known = self.cost.get("params_per_task", {})
        self.cost["params_per_task"] = {
            name: known[name] if name in known else parameters_of(self.model, name) for name in self.model.tasks
        }

    def _note_cost(self, task: Task, **seconds: float) -> None:
        for name, value in seconds.items():
            self.cost.setdefault(f"{name}_per_task", {})[task.name] = round(value, 3)
        entries = self.folder.manifest
        self.cost["bytes_per_expert"] = {entry["name"]: entry["bytes"] for entry in entries["tasks"]}
        self.cost["base_bytes"] = entries["base"]["bytes"]
        self._note_parameters()
        self.cost["peak_memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        self.folder.sums.write_json(COST, self.cost)


def _row_of(task: Task) -> str:
    """The file of the task matrix's row that is taken after a task."""
    return f"evaluations/after_{task.index:03d}.json"


def summary(results: dict[str, Any]) -> str:
    """One line on the tasks seen so far."""
    final = results["final"]
    values = {"image AUROC": final["routed"]["image_auroc"], "pixel AP": final["routed"]["pixel_ap"]}
    values["routing"] = final["routing_accuracy"]
    shown = ", ".join(f"{name} {100 * value:.1f}" for name, value in values.items() if value is not None)
    return f"mean of {len(results['per_class'])} classes, in %: {shown or 'nothing to measure'}"


def parameters_of(model: MoLEFlow, task: str) -> int:
    """Numbers that a task's expert learns by gradient."""
    return sum(value.numel() for _, part in per_task_parts(model) for value in part[task].parameters())
