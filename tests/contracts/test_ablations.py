"""Every row of the ablation table, trained on three fake products: it acts, isolates, and comes back from its tensors.

Rows act on a small version of the full method, with every slot as in ``AblationConfig()``.
"""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from moleflow.config.presets import ABLATIONS
from moleflow.config.resolve import Resolved, layer_from_flags, resolve
from moleflow.config.rules import shared_parts_keep_learning
from moleflow.config.run import TrainingConfig
from moleflow.config.task import Task
from moleflow.losses.build import build_loss
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.task import base_state, expert_state, load_expert
from moleflow.trainer.continual_trainer import ContinualTrainer
from moleflow.trainer.regularizers.build import build_protector
from tests.fakes import FakeFeatures, product_features, tiny_model

BASE = {"num_coupling_layers": 2, "scale_context_kernel": 5, "lora_rank": 4, "lora_alpha": 4.0, "dia_n_blocks": 4}
TRAINING = TrainingConfig(num_steps=3, batch_size=4, lr=5e-3)
TASKS = tuple(Task((name,), index) for index, name in enumerate("abc"))
ROWS = [name for name, row in ABLATIONS.items() if not row.reference]
NOT_SEEN_HERE = ("rotation_aug", "stn", "channels_by_root", "border_ramp", "tail_r_001", "tail_r_005", "tail_r_010",
                 "agg_spatial_cluster", "threshold_pareto")  # fmt: skip
"""Rows whose effect needs images, more of them or a finer grid: tests of their parts and tests/end_to_end show it."""


class Story:
    """A model trained on a, b, c, what it logged, and what a and the base were before c."""

    def __init__(self, resolved: Resolved):
        self.config = resolved.ablation
        self.losses: list[float] = []
        self.model = tiny_model(self.config)
        protector = build_protector(self.config, 0)
        slow_epochs = getattr(self.config.slow, "epochs", 0)
        trainer = ContinualTrainer(
            self.model, build_loss(self.config), TRAINING, self._log, protector=protector, slow_epochs=slow_epochs
        )
        for task in TASKS[:2]:
            self._train(trainer, task)
        self.expert = {name: value.clone() for name, value in expert_state(self.model, "a").items()}
        self.base = {name: value.clone() for name, value in base_state(self.model).items()}
        self.scores = self.model.score_as(product_features("a", 4, seed=9), "a").patches
        self._train(trainer, TASKS[2])

    def _log(self, task: Task, step: int, values: dict[str, float]) -> None:
        self.losses.append(values["loss"])

    def _train(self, trainer: ContinualTrainer, task: Task) -> None:
        normal, held_out = FakeFeatures(task.classes), FakeFeatures(task.classes, images=5)
        trainer.train(task, normal, held_out)  # type: ignore[arg-type]

    def behaviour(self) -> dict[str, Any]:
        """Everything an ablation may change, on a batch that mixes products and odd images."""
        features = torch.cat([product_features(name, 3, seed=9) for name in "abd"])
        features[0, :3, :3] += 4
        names = ["a"] * 3 + ["b"] * 6
        scores = self.model.score(features, names)
        return {
            "losses": self.losses,
            "patches": scores.patches,
            "images": scores.images,
            "maps": self.model.pixel_map(scores.patches),
            "calibrated": self.model.calibrated(scores.images, names),
            "distances": self.model.router.distances(features.double().mean((1, 2))),
            "router": type(self.model.router).__name__,
            "open set": type(self.model.open_set).__name__,
            "decision": type(self.model.decision).__name__,
        }


@cache
def story(row: str | None) -> Story:
    """The story of a row of the table; None: of the small full method."""
    layers = {"config": layer_from_flags(BASE, "test")}
    if row:
        layers["ablation"] = layer_from_flags(ABLATIONS[row].flags, row)
    return Story(resolve(layers))


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return one.shape == other.shape and torch.equal(one.nan_to_num(7.0), other.nan_to_num(7.0))
    return one == other


@pytest.mark.parametrize("row", [row for row in ROWS if row not in NOT_SEEN_HERE])
def test_a_row_acts(row):
    full, ablated = story(None).behaviour(), story(row).behaviour()
    assert any(not same(full[name], ablated[name]) for name in full), "the same losses, scores, maps and routes"
    assert torch.isfinite(ablated["patches"]).all()


@pytest.mark.parametrize("row", ROWS)
def test_older_experts_and_a_frozen_base_stay_as_they_were(row):
    told = story(row)
    assert all(same(value, expert_state(told.model, "a")[name]) for name, value in told.expert.items())
    if not shared_parts_keep_learning(told.config):
        assert all(same(value, base_state(told.model)[name]) for name, value in told.base.items())
        assert torch.equal(told.model.score_as(product_features("a", 4, seed=9), "a").patches, told.scores)


@pytest.mark.parametrize("row", ROWS)
def test_a_model_comes_back_from_its_base_and_experts(row):
    told = story(row)
    again: MoLEFlow = tiny_model(told.config, seed=5)
    for task in TASKS:
        again.begin_task(task, 5)
    again.load_state_dict(base_state(told.model), strict=False)
    for task in TASKS:
        load_expert(again, task.name, expert_state(told.model, task.name))
    features = product_features("c", 4, seed=9)
    assert torch.equal(again.score_as(features, "c").patches, told.model.score_as(features, "c").patches)
    assert torch.equal(again.score_as(features, "c").images, told.model.score_as(features, "c").images)
    assert torch.equal(again.router.distances(features.double().mean((1, 2))),
                       told.model.router.distances(features.double().mean((1, 2))))  # fmt: skip
