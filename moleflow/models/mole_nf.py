"""MoLE-Flow: the whole model, from image to scores."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.extractors.base import Extractor
from moleflow.extractors.batch import Batch, Batches
from moleflow.models.experts import AllInMemory, Experts
from moleflow.models.routing.base import Router
from moleflow.models.routing.open_set import OpenSet
from moleflow.models.scoring.aggregation import Aggregation
from moleflow.models.scoring.calibration import Calibration
from moleflow.models.scoring.decision import Decision
from moleflow.models.scoring.fusion import Fusion
from moleflow.models.scoring.limits import LimitRule
from moleflow.models.scoring.reference import ScoreReference
from moleflow.models.scoring.scorer import PatchScorer, ScoreMapping
from moleflow.models.scoring.smoothing import PixelMap
from moleflow.models.stages import ImageMapping, Latent, Mapping, Stage, taken
from moleflow.models.task import (
    AsksOfItsParameters,
    LearnsFromHeldOut,
    PerTask,
    begin_task,
    end_task,
    parts_of,
    per_task_parts,
    round_expert,
    start_task,
    tell_experts_changed,
)
from moleflow.utils.errors import UsageError
from moleflow.utils.products import fast_products


class Parts(NamedTuple):
    """The parts of the data path, in the order data passes them."""

    warp: ImageMapping
    extractor: Extractor
    position: Mapping
    adapter: Stage
    context: Mapping
    flow: Stage
    dia: Stage
    scorer: PatchScorer
    fusion: Fusion
    border: ScoreMapping
    consistency: ScoreMapping
    aggregation: Aggregation
    pixel_map: PixelMap
    calibration: Calibration
    router: Router
    open_set: OpenSet
    limit_rule: LimitRule
    decision: Decision


class Scores(NamedTuple):
    """Scores of a batch of images: higher is more anomalous; comparable within a task.

    Attributes:
        patches: what the map shows, (B, H, W).
        images: (B,).
    """

    patches: Tensor
    images: Tensor


class Prediction(NamedTuple):
    """What the model says of a batch of images.

    Attributes:
        tasks: the task each image was scored under.
        unknown: whether the image looks like none of the tasks, (B,).
        scores: image scores on the calibration's scale, (B,).
        maps: pixel maps, (B, h, h).
        thresholds: each image's task's threshold on the same scale, (B,), NaN where none was set.
        anomalous: the decision of each image's task, (B,): whether its score lies beyond the threshold, on the scale's
            anomalous side, or with S8 a region's beyond that region's; False where no threshold was set.
    """

    tasks: list[str]
    unknown: Tensor
    scores: Tensor
    maps: Tensor
    thresholds: Tensor
    anomalous: Tensor


class MoLEFlow(nn.Module):
    """Frozen backbone, shared flow, one expert a task, a router.

    Args:
        parts: the parts of the data path.
    """

    def __init__(self, parts: Parts):
        super().__init__()
        self.warp, self.extractor, self.position, self.adapter, self.context, self.flow, self.dia = parts[:7]
        self.scorer, self.fusion, self.border, self.consistency, self.aggregation = parts[7:12]
        self.pixel_map, self.calibration, self.router, self.open_set, self.limit_rule, self.decision = parts[12:]
        self.reference = PerTask(ScoreReference)
        self.experts: Experts = AllInMemory()
        self.tasks: dict[str, Task] = {}
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor, task: str) -> Latent:
        """Images (B, 3, h, h) in 0..1, scored as products of one task, to latent patches and log-determinants."""
        features = self.features(images)  # (B, H, W, D)
        return self.likelihood(features, task)  # (B, H, W, D), (B, H, W)

    def features(self, images: Tensor) -> Tensor:
        """Images (B, 3, h, h) in 0..1 to patch features."""
        images = self.warp(images)  # (B, 3, h, h)
        return self.extractor(images)  # (B, H, W, D)

    def likelihood(self, features: Tensor, task: str, places: Tensor | None = None) -> Latent:
        """The data path after the backbone.

        Args:
            features: (B, H, W, D).
            task: whose expert to use.
            places: which patches are asked for, (B, K) of the flattened grid: they are a grid of one row, (B, 1, K, D),
                from the flow on. None: all.
        """
        self.experts.use(task)
        x = self.position(features, task)  # (B, H, W, D)
        return self.likelihood_in_place(x, task, places)  # (B, H, W, D), (B, H, W)

    def likelihood_in_place(self, x: Tensor, task: str, places: Tensor | None = None) -> Latent:
        """The data path after the position."""
        apart = self.adapter.maps_apart and self.context.maps_apart
        sooner, later = (places, None) if apart else (None, places)
        x, adapter_logdet = self.adapter(taken(x, sooner), task)  # (B, H, W, D), (B, H, W)
        x, adapter_logdet = taken(self.context(x, task), later), taken(adapter_logdet, later)
        with self.flow.looking_at(places, task):
            z, flow_logdet = self.density(x, task)  # (B, H, W, D), (B, H, W)
        return Latent(x, z, adapter_logdet, flow_logdet)

    def density(self, x: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """The bijections: from the flow's input to the latent and its log|det|."""
        z, flow_logdet = self.flow(x, task)  # (B, H, W, D), (B, H, W)
        z, dia_logdet = self.dia(z, task)  # (B, H, W, D), (B, H, W)
        return z, flow_logdet + dia_logdet

    @torch.no_grad()
    def predict(self, images: Tensor, tasks: Sequence[str] | None = None) -> Prediction:
        """Score images of any mix of products; one backbone pass serves the router and the flow.

        Args:
            images: (B, 3, h, h) in 0..1.
            tasks: the task of each image, where known; else the router names it.
        """
        features = self.features(images)  # (B, H, W, D)
        names = self.route(features) if tasks is None else list(tasks)  # (B,) names
        patches, raw = self.score(features, names)  # (B, H, W), (B,)
        thresholds = torch.stack([self.threshold(task) for task in names])  # (B,)
        scores, limits = self.calibrated(raw, names), self.calibrated(thresholds, names)  # (B,), (B,)
        unknown, maps = self.unknown(features, names), self.pixel_map(patches)  # (B,), (B, h, h)
        return Prediction(names, unknown, scores, maps, limits, self.decide(Scores(patches, raw), names))

    def decide(self, scores: Scores, tasks: Sequence[str]) -> Tensor:
        """Whether images with these scores are anomalous as products of the given tasks, (B,) bool."""
        anomalous = torch.zeros(len(tasks), dtype=torch.bool, device=scores.images.device)
        for task in dict.fromkeys(tasks):
            rows = torch.tensor([index for index, name in enumerate(tasks) if name == task], device=anomalous.device)
            reference = self.reference[self._known(task)]
            anomalous[rows] = self.decision(scores.patches[rows], scores.images[rows], reference, task)
        return anomalous

    def route(self, features: Tensor, given: Sequence[str] | None = None) -> list[str]:
        """The task of each image, (B, H, W, D) -> B names; only the oracle looks at those given."""
        return self.router(features, given, self.mean_nll)

    def unknown(self, features: Tensor, tasks: Sequence[str]) -> Tensor:
        """Whether each image, as a product of the task it was routed to, is unknown: (B, H, W, D) -> (B,) bool."""
        return self.open_set(features, tasks, self.router)

    def score(self, features: Tensor, tasks: Sequence[str]) -> Scores:
        """Scores of features (B, H, W, D) under the given tasks: images are grouped by task, scored, reordered."""
        different = dict.fromkeys(tasks)
        if len(different) == 1:  # nothing to gather and to put back
            return self.score_as(features, self._known(*different))
        patches = features.new_empty(features.shape[:-1])
        images = features.new_empty(len(features))
        for task in different:
            rows = torch.tensor([index for index, name in enumerate(tasks) if name == task], device=features.device)
            patches[rows], images[rows] = self.score_as(features[rows], self._known(task))
        return Scores(patches, images)

    @fast_products()
    def score_as(self, features: Tensor, task: str) -> Scores:
        """Scores of features (B, H, W, D) as products of one task."""
        self.experts.use(task)
        fused = self.fusion(partial(self.scorer, self, features, task), features, task)  # twice (B, H, W)
        where, whether = (self._in_context(patches, features, task) for patches in fused)
        return Scores(where, self.aggregation(whether, task))  # (B, H, W), (B,)

    def _in_context(self, patches: Tensor, features: Tensor, task: str) -> Tensor:
        """Patch scores (B, H, W) after a look at the frame and at their neighbours."""
        patches = self.border(patches, features, task)  # (B, H, W)
        return self.consistency(patches, features, task)  # (B, H, W)

    @fast_products()
    def mean_nll(self, features: Tensor, task: str) -> Tensor:
        """Mean NLL of each image's patches as a product of the task, (B, H, W, D) -> (B,)."""
        return self.likelihood(features, self._known(task)).nll.mean(dim=(1, 2))

    def calibrated(self, scores: Tensor, tasks: Sequence[str], scale: Calibration | None = None) -> Tensor:
        """Image scores (B,) of the given tasks on a scale (default: the model's own calibration), (B,)."""
        scale = scale or self.calibration
        calibrated = scores
        for task in dict.fromkeys(tasks):
            mine = torch.tensor([name == task for name in tasks], device=scores.device)
            values = scale(scores, self.reference[self._known(task)])
            calibrated = torch.where(mine, values, calibrated)
        return calibrated

    def threshold(self, task: str) -> Tensor:
        """The task's threshold for image scores, a scalar; NaN where none was set."""
        return self.reference[self._known(task)].threshold

    def begin_task(self, task: Task, seed: int) -> None:
        """Give a task its expert, with first weights that depend on (seed, the task's name) only."""
        device = next(self.buffers()).device
        begin_task(self, task, seed)
        for _, part in per_task_parts(self):
            part.freeze(task.name, device)
        self.tasks[task.name] = task
        self.experts.use(task.name)
        self._tell_router()

    @torch.no_grad()
    def prepare_task(self, task: Task, batches: Batches) -> None:
        """Learn, without gradients, what the task's training builds on: each part from what will reach it."""

        def placed() -> Iterator[Batch]:
            return (batch._replace(features=self.position(batch.features, task.name)) for batch in batches())

        start_task(self.position, task, batches)
        start_task(self.adapter, task, placed)

    @torch.no_grad()
    def finish_task(self, task: Task, batches: Batches, dtype: torch.dtype) -> None:
        """Learn what is learned without gradients, and round the expert to its storage type."""
        end_task(self, task, batches)
        round_expert(self, task.name, dtype)
        tell_experts_changed(self)

    @torch.no_grad()
    def calibrate(self, task: Task, held_out: Batches, rate: float, crossed: Iterable[Scores] = ()) -> None:
        """Learn what normal images say that are new to the expert, or scored as if they were: scales and thresholds.

        Args:
            task: a finished task.
            held_out: features of normal images that it was not trained on.
            rate: share of normal images that may exceed its threshold.
            crossed: scores of further normal images, as if they were new to the expert; taken once scales are known.
        """
        self.learn_scales(task, held_out)
        found = self._joined([*crossed, self.scored(task, held_out)])
        self.reference[task.name].learn(found.images, rate, self.limit_rule)
        self.decision.learn(found.patches, task.name, rate, self.limit_rule)

    @torch.no_grad()
    def learn_scales(self, task: Task, held_out: Batches) -> None:
        """Let every part that looks at held-out normal images learn from them."""
        for part in parts_of(self, task.name):
            if isinstance(part, LearnsFromHeldOut):
                part.learn_from_held_out(task, held_out, self)

    @torch.no_grad()
    def scored(self, task: Task, batches: Batches) -> Scores:
        """Scores of all features of some batches as products of one task."""
        return self._joined([self.score_as(batch.features, task.name) for batch in batches()])

    def remove_task(self, task: str) -> None:
        """Forget a task's expert; the others' bytes stay, and the router is derived from those left."""
        self.experts.use(self._known(task))
        for _, part in list(per_task_parts(self)):
            part.drop(task)
        del self.tasks[task]
        self._tell_router()

    def penalties(self, task: Task) -> Iterator[Tensor]:
        """L8: what parts ask of their own parameters, scalars."""
        for module in parts_of(self, task.name):
            if isinstance(module, AsksOfItsParameters):
                yield module.penalty(task)

    def _joined(self, parts: Sequence[Scores]) -> Scores:
        device = next(self.buffers()).device
        nothing = Scores(torch.zeros(0, *self.extractor.grid, device=device), torch.zeros(0, device=device))
        return Scores(*map(torch.cat, zip(nothing, *parts, strict=True)))

    def _tell_router(self) -> None:
        self.router.know([name for name, task in self.tasks.items() if not task.is_before_stream])

    def _known(self, task: str) -> str:
        if task not in self.tasks:
            raise UsageError(f"No expert is called {task!r}; there are: {', '.join(self.tasks) or 'none yet'}.")
        return task
