"""L7: synthetic anomalies, the margin on them, and the parts that learn from nothing else."""

from dataclasses import replace

import pytest
import torch
from fakes import TINY, TRAINING, product_features, trained
from torch import Tensor

from moleflow.config import variants as v
from moleflow.config.cli import parse
from moleflow.config.task import Task
from moleflow.losses.pseudo import PseudoMargin
from moleflow.losses.pseudo_anomalies import corrupt
from moleflow.losses.terms import Step
from moleflow.models.mole_nf import Scores
from moleflow.models.stages import Latent
from moleflow.models.task import expert_state


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(images: int, grid: tuple[int, int] = (14, 14)) -> Tensor:
    """Features that say which image they are of, and on average nothing else."""
    own = torch.arange(images, dtype=torch.float32)[:, None, None, None]
    return own.expand(images, *grid, 3).clone()


def test_a_rectangle_is_touched_and_nothing_else():
    features = torch.randn(64, 14, 12, 5, generator=seeded(1))
    before = features.clone()
    corrupted, mask = corrupt(features, seeded())
    assert torch.equal(features, before), "normal features are left as they are"
    assert torch.equal((corrupted != features).any(-1), mask)
    for one in mask:
        rows, columns = one.any(1).nonzero(), one.any(0).nonzero()
        height, width = rows.max() - rows.min() + 1, columns.max() - columns.min() + 1
        assert one.sum() == height * width, "a full rectangle"
    share = mask.float().mean((1, 2))
    assert share.min() > 0.01
    assert share.max() < 0.2


def test_rectangles_are_pasted_disturbed_or_both_and_lie_anywhere():
    features = numbered(90)
    corrupted, mask = corrupt(features, seeded())
    kinds = {"pasted": 0, "disturbed": 0, "both": 0}
    for image in range(90):
        inside = corrupted[image][mask[image]]
        whole = torch.equal(inside, inside.round())
        if whole:
            assert (inside == inside[0, 0]).all()
            assert inside[0, 0] != image, "pasted from another image"
        foreign = (inside.mean() - image).abs() > 60  # noise spreads by about 26 a channel, less in the mean
        kinds["pasted" if whole else "both" if foreign else "disturbed"] += 1
    assert kinds["pasted"] > 15
    assert kinds["disturbed"] > 15
    assert kinds["both"] > 0
    assert mask.any((0, 1)).all()
    assert mask.any((0, 2)).all(), "some rectangle reaches every row and column"


def test_noise_is_in_proportion_to_each_channels_spread():
    features = torch.randn(200, 8, 8, 2, generator=seeded(1)) * torch.tensor([1.0, 100.0])
    corrupted, mask = corrupt(features, seeded())
    change = (corrupted - features)[mask].square().mean(0).sqrt()
    assert change[1] / change[0] == pytest.approx(100, rel=0.2)
    assert 0.5 < change[0] < 2


def test_chance_comes_from_the_generator_alone():
    features = torch.randn(4, 6, 6, 3, generator=seeded(1))
    torch.manual_seed(0)
    one, other = corrupt(features, seeded(5)), corrupt(features, seeded(5))
    assert torch.equal(one.features, other.features)
    assert not torch.equal(one.features, corrupt(features, seeded(6)).features)


@pytest.mark.parametrize("shape", [(1, 14, 14, 3), (1, 1, 1, 2), (3, 1, 5, 2)])
def test_small_batches_and_grids_are_corrupted_too(shape):
    features = torch.randn(shape, generator=seeded(1))
    for seed in range(10):
        corrupted, mask = corrupt(features, seeded(seed))
        assert mask.flatten(1).any(1).all()
        assert torch.isfinite(corrupted).all()


class Summing:
    """A model whose image score is 10 times the mean feature."""

    def score_as(self, features: Tensor, task: str) -> Scores:
        patches = 10 * features.mean(-1)
        return Scores(patches, patches.mean((1, 2)))


@pytest.mark.parametrize("margin", [0.0, 0.02, 5.0])
def test_margin_by_hand(margin):
    features = torch.randn(6, 8, 8, 4, generator=seeded(1))
    zeros = torch.zeros(6, 8, 8)
    step = Step(Summing(), Task(("a",), 0), features, Latent(features, features, zeros, zeros), 0.0, seeded(3))
    missing = 4 * margin + 10 * (features.mean((1, 2, 3)) - corrupt(features, seeded(3)).features.mean((1, 2, 3)))
    expected = 0.5 * missing.clamp_min(0).mean()
    assert (missing < 0).any() or margin == 5.0, "an image that keeps the margin costs nothing"
    torch.testing.assert_close(PseudoMargin(0.5, margin)(step), expected)


LEARNED = {
    "adaptive": ({"aggregation": v.Adaptive()}, "aggregation.attention.a"),
    "multiscale": ({"consistency": v.MultiscaleConsistency()}, "consistency.fusion.a"),
}


@pytest.mark.parametrize("name", LEARNED)
def test_learned_parts_of_the_score_learn_with_the_margin_and_stay_at_their_start_without(name):
    slots, path = LEARNED[name]
    config = replace(TINY, **slots)
    at_start = expert_state(trained(["a"], config, replace(TRAINING, lr=0.0)), "a")[path]
    without = expert_state(trained(["a"], config), "a")[path]
    assert torch.equal(without, at_start)
    model = trained(["a", "b"], replace(config, pseudo=v.PseudoMargin(1.0, 5.0)))
    learned = {task: expert_state(model, task)[path] for task in "ab"}
    assert (learned["a"] - at_start).abs().max() > 0.01
    assert not torch.equal(learned["a"], learned["b"]), "each task learns its own"


@pytest.mark.parametrize(
    ("words", "stays"),
    [
        (["--score_aggregation_mode", "adaptive"], True),
        (["--use_multiscale_consistency", "--pseudo_margin_weight", "0"], True),
        (["--use_dual_branch"], True),
        (["--use_dual_branch", "--dual_blend", "guided"], False),
        (["--score_aggregation_mode", "adaptive", "--pseudo_margin_weight", "0.1"], False),
        (["--use_local_consistency"], False),
    ],
)
def test_a_run_says_which_learned_parts_stay_at_their_start(words, stays):
    warnings = parse(words)[0].warnings
    assert [warning.startswith(words[0]) and "stays at its initial values" in warning for warning in warnings] == (
        [True] if stays else []
    )


def test_the_margin_sets_synthetic_anomalies_apart():
    """Without the adapter, whose layer norm makes all patches of this small a D nearly as likely."""
    training = replace(TRAINING, num_steps=40, batch_size=8)
    config, gaps = replace(TINY, adapter=v.NoAdapter()), {}
    features = product_features("a", 64, seed=5)
    pseudo = corrupt(features, seeded(9)).features
    for weight in (0.0, 3.0):
        model = trained(["a"], replace(config, pseudo=v.PseudoMargin(weight, 5.0)), training)
        with torch.no_grad():
            gaps[weight] = (model.score_as(pseudo, "a").images - model.score_as(features, "a").images).mean().item()
    assert gaps[3.0] > 2 * gaps[0.0] > 0
