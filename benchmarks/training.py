"""Rows on training a task: with the cache, without it, in memory; how long a class takes; what evaluation adds."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from torch import Tensor

from benchmarks.inference import RESNET
from benchmarks.row import Found, Row
from benchmarks.setting import Setting
from benchmarks.timing import alternating, in_ms, ratio
from moleflow.config.presets import PRESETS
from moleflow.config.resolve import Resolved
from moleflow.config.task import Task
from moleflow.extractors.cache import FeatureStore
from moleflow.extractors.task_features import TaskFeatures
from moleflow.losses.build import build_loss
from moleflow.models.mole_nf import MoLEFlow
from moleflow.run import Runner
from moleflow.trainer.continual_trainer import ContinualTrainer
from moleflow.utils.io import read_json

TASK = Task(("product",), 0)
RANK = str(PRESETS["realstream"].flags["lora_rank"])
"""LoRA's rank in the preset."""


class InMemory(TaskFeatures):
    """Features that are held in memory."""

    def __init__(self, source: TaskFeatures):
        super().__init__(source.store, source.samples, ["product"], source.device)
        self.held = source.take(range(len(source)))

    def take(self, indices: Sequence[int]) -> Tensor:
        """Features of some images."""
        return self.held[list(indices)]


class Epochs(ContinualTrainer):
    """A trainer of which single epochs are asked for."""

    def epoch(self, normal: TaskFeatures) -> None:
        """All that an epoch of a task is: features, steps, log; the expert is begun anew and not finished."""
        course = self._begin(TASK, normal, normal, None)
        self._descend(course, self._fast(course), course.log)
        self.model.remove_task(TASK.name)


def trainer_of(resolved: Resolved, model: MoLEFlow) -> Epochs:
    """A trainer whose task is one epoch long."""
    config = replace(resolved.run.training, num_epochs=1, num_steps=None)
    return Epochs(model, build_loss(resolved.ablation), config, lambda *_: None, resolved.run.hardware.amp)


def features_of(setting: Setting, model: MoLEFlow, count: int, folder: Path | None) -> TaskFeatures:
    """Features of images in files, kept in a folder or computed whenever they are asked for."""
    store = FeatureStore(model.extractor, "squash", folder, device=setting.device)
    return TaskFeatures(store, setting.samples(count), ["washer"], setting.device)


def prepared(features: TaskFeatures) -> TaskFeatures:
    """The same, all of it computed."""
    features.store.prepare(features.samples)
    return features


def epoch_vs_ram(setting: Setting) -> Found:
    """An epoch on cached features over the same on features in memory."""
    resolved = setting.resolved("--preset", "realstream")
    model, count = setting.bare(resolved), 8 if setting.quick else 96
    cached = prepared(features_of(setting, model, count, setting.folder / "cache"))
    trainer = trainer_of(resolved, model)
    ways = {"cached": partial(trainer.epoch, cached), "in memory": partial(trainer.epoch, InMemory(cached))}
    calls = cached.store.backbone_calls
    times = alternating(ways, setting.rounds, setting.device)
    again = cached.store.backbone_calls - calls
    return Found(ratio(times, "cached", "in memory"), f"{count} images: {in_ms(times)}; {again} backbone calls")


def cached_vs_uncached(setting: Setting) -> Found:
    """An epoch that runs the backbone over one that reads its features; resnet50_v1, the flow of no flag at all."""
    resolved = setting.resolved("--preset", "demo", *setting.backbone(RESNET))
    model, count = setting.bare(resolved), 4 if setting.quick else 32
    trainer = trainer_of(resolved, model)
    ways = {
        "uncached": partial(trainer.epoch, features_of(setting, model, count, None)),
        "cached": partial(trainer.epoch, prepared(features_of(setting, model, count, setting.folder / "cache"))),
    }
    times = alternating(ways, min(setting.rounds, 5), setting.device)
    return Found(ratio(times, "uncached", "cached"), f"{count} images: {in_ms(times)}")


def first_epoch(setting: Setting) -> Found:
    """The epoch that fills the cache over a plain pass of the backbone and an epoch on its features."""
    resolved = setting.resolved("--preset", "realstream")
    model, count = setting.bare(resolved), 4 if setting.quick else 64
    trainer, kept = trainer_of(resolved, model), InMemory(features_of(setting, model, count, None))
    fresh = iter(range(10**6))

    def filling() -> None:
        trainer.epoch(prepared(features_of(setting, model, count, setting.folder / f"fresh{next(fresh)}")))

    def plain() -> None:
        features_of(setting, model, count, None).take(range(count))
        trainer.epoch(kept)

    times = alternating({"filling": filling, "pass and epoch": plain}, min(setting.rounds, 5), setting.device)
    return Found(ratio(times, "filling", "pass and epoch"), f"{count} images: {in_ms(times)}")


@cache
def run_of(setting: Setting, *words: str) -> dict[str, float]:
    """Seconds and accuracy of a run of the preset realstream on one class of about 200 normal images."""
    root, name = setting.big_class
    data = ["--dataset", "folder", "--data_path", str(root), "--task_classes", name]
    experiment = f"run{len(list(setting.folder.glob('run*')))}"
    options = ["--experiment_name", experiment, "--no_figures", "--no_tensorboard", "--no_keep_scores"]
    with Runner(setting.resolved("--preset", "realstream", *data, *options, *setting.brief, *words)) as runner:
        final = runner.run()["final"]["routed"]
        cost = read_json(runner.folder.path / "cost.json")
    parts = ("feature_seconds", "seconds", "evaluation_seconds")
    return {part: cost[f"{part}_per_task"][name] for part in parts} | final | {"bytes": cost["bytes_per_expert"][name]}


def train_seconds(setting: Setting) -> Found:
    """Seconds of training a class to the preset's end, its features included."""
    cost = run_of(setting)
    seconds = cost["feature_seconds"] + cost["seconds"]
    detail = f"features {cost['feature_seconds']:.3g} s, steps {cost['seconds']:.3g} s"
    return Found(seconds, f"{setting.big_class[1]}: {detail}; {accuracy(cost)}")


def eval_share(setting: Setting) -> Found:
    """Seconds of evaluating a class, the features of its test images included, over those of training it."""
    cost = run_of(setting)
    trained = cost["feature_seconds"] + cost["seconds"]
    detail = f"evaluation {cost['evaluation_seconds']:.3g} s, training {trained:.3g} s"
    return Found(cost["evaluation_seconds"] / trained, detail)


def accuracy(cost: dict[str, float]) -> str:
    """Image AUROC and pixel AP in words."""
    shown = {"image AUROC": cost["image_auroc"], "pixel AP": cost["pixel_ap"]}
    return ", ".join(f"{name} {100 * value:.2f}" for name, value in shown.items() if value is not None)


def storage(dtype: str, rank: str) -> Sequence[str]:
    """Words for an expert's storage type and rank, none for the preset's own: that run serves other rows too."""
    return () if (dtype, rank) == ("float16", RANK) else ("--expert_dtype", dtype, "--lora_rank", rank)


def fp16_loss(setting: Setting) -> Found:
    """Points of image AUROC or pixel AP lost by storing experts in float16, the larger; and what the rank does."""
    few = () if setting.quick else ("--num_steps", "100")
    runs = {
        (dtype, rank): run_of(setting, *storage(dtype, rank), *few)
        for rank in (RANK,) + (() if setting.quick else ("64", "4"))
        for dtype in ("float32", "float16")
    }
    full, half = runs["float32", RANK], runs["float16", RANK]
    measured = [name for name in ("image_auroc", "pixel_ap") if full[name] is not None]
    lost = max(100 * (full[name] - half[name]) for name in measured)
    table = [
        f"{dtype} rank {rank}: {cost['bytes'] / 1e6:.3g} MB, {accuracy(cost)}" for (dtype, rank), cost in runs.items()
    ]
    return Found(lost, "; ".join(table))


ROWS = {
    "epoch_vs_ram": Row("an epoch on cached features over one on features in memory", "≤", 1.1, epoch_vs_ram),
    "cached_vs_uncached": Row("an epoch that runs resnet50_v1 over one on the cache", "≥", 3.0, cached_vs_uncached),
    "first_epoch": Row("the epoch that fills the cache over a plain pass and an epoch", "≤", 1.1, first_epoch),
    "train_seconds_200": Row("training a class of 200 images with lite0, s", "≤", 60.0, train_seconds),
    "eval_share": Row("evaluating a class over training it", "≤", 0.2, eval_share),
    "fp16_loss": Row("points lost by storing an expert in float16", "≤", 0.1, fp16_loss),
}  # fmt: skip
