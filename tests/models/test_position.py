"""P2, P3, P4: what each position does that the contract tests do not ask."""

from dataclasses import replace

import pytest
import torch
from fakes import TINY, product_features, tiny_model, train_task, trained
from torch import Tensor
from torch.nn import functional as F

from moleflow.config.task import Task
from moleflow.config.variants import (
    ContentPosition,
    Flow,
    HybridPosition,
    RelativePosition,
    SinCosPosition,
    TapePosition,
)
from moleflow.extractors.batch import Batch, Batches
from moleflow.models.build.position import build_position
from moleflow.models.position.content import Codebook, drawn_patches, farthest_points, k_means
from moleflow.models.position.relative import RelativeAttention, clipped_offsets
from moleflow.models.position.sincos import sincos_grid
from moleflow.models.position.tape import TapeGrid
from moleflow.models.stages import Mapping
from moleflow.models.task import base_state, begin_task, expert_state, learners
from moleflow.trainer.optimizers import adamw
from moleflow.utils.errors import MoleflowError

SHAPE = (3, 4, 6)
BEFORE, FIRST, LATER = (Task((name,), index) for name, index in (("p", -1), ("a", 0), ("b", 1)))


def features(images: int = 2, seed: int = 1) -> Tensor:
    return torch.randn(images, *SHAPE, generator=torch.Generator().manual_seed(seed))


def built(variant: object, shape: tuple[int, int, int] = SHAPE, **flow: str) -> Mapping:
    return build_position(replace(TINY, position=variant, flow=Flow(**flow)), shape)


def as_batches(*parts: Tensor) -> Batches:
    return lambda: [Batch(part, torch.zeros(len(part), dtype=torch.long)) for part in parts]


# P2


def moved_attention(max_distance: int = 1) -> RelativeAttention:
    torch.manual_seed(0)
    part = RelativeAttention(SHAPE, max_distance, lambda task: True)
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape))
    return part


def test_relative_attention_starts_as_the_identity():
    assert torch.equal(built(RelativePosition())(features(), "a"), features())


def test_offsets_are_clipped_at_the_largest_distance():
    assert clipped_offsets(4, 2).tolist() == [[2, 3, 4, 4], [1, 2, 3, 4], [0, 1, 2, 3], [0, 0, 1, 2]]


def test_relative_attention_is_its_formula_patch_by_patch():
    part, x = moved_attention(), features(1)
    height, width, dim = SHAPE
    cells = [(row, column) for row in range(height) for column in range(width)]
    expected = torch.empty_like(x)
    for row, column in cells:
        query = part.query.weight @ F.layer_norm(x[0, row, column], (dim,))
        weights = torch.stack(
            [
                query @ (part.key.weight @ F.layer_norm(x[0, i, j], (dim,))) / dim**0.5
                + part.bias[max(-1, min(1, i - row)) + 1, max(-1, min(1, j - column)) + 1]
                for i, j in cells
            ]
        ).softmax(0)
        mixed = sum(weight * x[0, i, j] for weight, (i, j) in zip(weights, cells, strict=True))
        expected[0, row, column] = x[0, row, column] + part.gate.sigmoid() * part.out(mixed)
    torch.testing.assert_close(part(x, "a"), expected)


def test_a_steep_bias_copies_the_neighbour_it_points_to():
    """The bias alone carries position: with equal patches' likeness gone, offset (0, +1) reads the right neighbour."""
    part, x = RelativeAttention(SHAPE, 3, lambda task: True), features(1)
    with torch.no_grad():
        part.query.weight.zero_()
        part.bias[3, 4] = 50
        part.out.weight.copy_(torch.eye(SHAPE[-1]))
    torch.testing.assert_close(part(x, "a")[:, :, :-1], x[:, :, :-1] + 0.5 * x[:, :, 1:])


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("first", [False, True, False]), ("always", [True, True, True]), ("pretrained", [True, False, False])],
)
def test_relative_attention_learns_when_the_freeze_policy_says_so(policy, expected):
    part = built(RelativePosition(), base_policy=policy)
    learning = [[learner.shared for learner in learners(part, task)] for task in (BEFORE, FIRST, LATER)]
    everything = [True] * len(list(part.parameters()))
    assert learning == [everything if learns else [] for learns in expected]


# P3


@pytest.mark.parametrize(("start", "share"), [(0.0, 0.5), (2.0, 0.880797)])
def test_tape_scales_the_grid_by_the_gate(start, share):
    part = built(TapePosition(init_value=start))
    begin_task(part, FIRST, 0)
    torch.testing.assert_close(part(features(), "a"), features() + share * sincos_grid(*SHAPE))


def test_a_tasks_gate_is_its_own():
    part = TapeGrid(SHAPE, 0.0, 1.0)
    for task in (FIRST, LATER):
        begin_task(part, task, 0)
    before = part(features(), "b")
    with torch.no_grad():
        part.gates["a"].g.fill_(-100)
    assert torch.equal(part(features(), "a"), features())
    assert torch.equal(part(features(), "b"), before)


def test_the_gate_has_a_group_of_the_optimizer_with_its_own_learning_rate():
    model = tiny_model(replace(TINY, position=TapePosition(lr_multiplier=100.0)))
    model.begin_task(FIRST, 0)
    groups = adamw(learners(model, FIRST), 1e-3, 0.0).param_groups
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    assert rates.pop(id(model.position.gates["a"].g)) == pytest.approx(0.1)
    assert set(rates.values()) == {1e-3}


def test_the_multiplier_moves_the_gate():
    moves = [
        trained(["a"], replace(TINY, position=TapePosition(lr_multiplier=factor))).position.gates["a"].g.abs()
        for factor in (0.0, 1.0, 100.0)
    ]
    assert moves[0] == 0
    assert moves[2] > 10 * moves[1] > 0


# P4


def test_k_means_finds_the_centres_of_separate_groups():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 20.0]]).double()
    noise = torch.randn(3, 50, 2, generator=torch.Generator().manual_seed(0)).double()
    groups = centres[:, None] + noise
    found = k_means(groups.flatten(0, 1), 3)
    nearest = torch.cdist(groups.mean(1), found).min(1)
    assert sorted(nearest.indices.tolist()) == [0, 1, 2]
    assert nearest.values.max() < 1e-6


def test_farthest_points_by_hand():
    points = torch.tensor([[0.0], [1.0], [5.0], [11.0]])
    assert farthest_points(points, 3).tolist() == [[5.0], [11.0], [0.0]]


def learned(prototypes: int, *parts: Tensor) -> Codebook:
    book = Codebook(prototypes, parts[0].shape[-1])
    book.start_task(FIRST, as_batches(*parts))
    return book


def test_a_patch_gets_the_code_of_its_nearest_prototype_wherever_it_lies():
    kinds = 10 * torch.eye(4, 6)
    x = kinds[torch.arange(12).view(1, 3, 4) % 4] + 0.01 * features(1)
    book = learned(4, x)
    codes = book(x).flatten(0, 2)
    assert torch.equal(codes[:4], codes[4:8])
    assert torch.pdist(codes[:4]).min() > 0.1
    torch.testing.assert_close(book(x.flip(1, 2)), book(x).flip(1, 2))
    cells = {tuple(cell.tolist()) for cell in sincos_grid(2, 2, 6).flatten(0, 1)}
    assert {tuple(code.tolist()) for code in codes} == cells


def test_hybrid_is_the_mean_of_the_grids_code_and_the_contents():
    codes = []
    for variant in (SinCosPosition(), ContentPosition(5), HybridPosition(5)):
        torch.manual_seed(0)
        part = built(variant)
        for module in part.modules():
            if isinstance(module, Codebook):
                module.start_task(FIRST, as_batches(features(6)))
        codes.append(part(features(), "a") - features())
    torch.testing.assert_close(codes[2], (codes[0] + codes[1]) / 2)
    assert (codes[0] - codes[1]).abs().max() > 0.1


@pytest.mark.parametrize("first", [BEFORE, FIRST], ids=["before the stream", "first task"])
def test_the_codebook_is_learned_once(first):
    book = Codebook(4, SHAPE[-1])
    book.start_task(first, as_batches(features(5, seed=2)))
    kept = book.prototypes.clone()
    assert kept.abs().sum() > 0
    for task in (FIRST, LATER):
        book.start_task(task, as_batches(5 + features(5, seed=3)))
    assert torch.equal(book.prototypes, kept)


def test_a_later_task_refuses_to_make_the_codebook():
    with pytest.raises(MoleflowError, match="learned in the stream's first task and is empty at task 'b'"):
        Codebook(4, SHAPE[-1]).start_task(LATER, as_batches(features()))


@pytest.mark.parametrize("patches", [1, 2, 3])
def test_fewer_patches_than_prototypes_are_enough(patches):
    few = features(1)[:, :1, :patches]
    book = learned(64, few)
    assert torch.isfinite(book.prototypes).all()
    assert len(torch.unique(book.nearest(few))) == patches
    assert torch.isfinite(book(features())).all()


def test_an_empty_codebook_gives_every_patch_the_same_code():
    codes = Codebook(9, SHAPE[-1])(features()).flatten(0, 2)
    assert (codes == codes[0]).all()


def test_the_draw_depends_on_the_images_alone():
    x = torch.randn(7, 5, 5, 6, generator=torch.Generator().manual_seed(0))
    drawn = drawn_patches(as_batches(x))
    assert drawn.shape == (7 * 16, 6)
    assert torch.equal(drawn, drawn_patches(as_batches(x[:3], x[3:])))


def test_the_draw_has_an_upper_bound():
    assert len(drawn_patches(as_batches(torch.randn(300, 4, 4, 2)))) == 4096


def test_nearness_is_exact_far_from_zero_and_whatever_else_is_scored():
    x = 1e4 + torch.randn(16, 7, 7, 32, generator=torch.Generator().manual_seed(0))
    book = learned(32, x)
    exact = (x.double()[..., None, :] - book.prototypes.double()).square().sum(-1).argmin(-1)
    assert torch.equal(book.nearest(x), exact)
    assert torch.equal(book.nearest(x[5:6]), exact[5:6])


@pytest.mark.parametrize("variant", [ContentPosition(5), HybridPosition(5)], ids=["content", "hybrid"])
def test_the_codebook_is_saved_in_the_base_and_stays(variant):
    config = replace(TINY, position=variant)
    model = trained(["a"], config)
    stored = {name: tensor.clone() for name, tensor in base_state(model).items() if name.startswith("position.")}
    assert set(stored) == {"position.codebook.prototypes", "position.codebook.is_learned"}
    assert not any(name.startswith("position.") for name in expert_state(model, "a"))
    train_task(model, LATER, config)
    assert all(torch.equal(base_state(model)[name], tensor) for name, tensor in stored.items())
    other = tiny_model(config, seed=1)
    other.load_state_dict(base_state(model), strict=False)
    x = product_features("a", 3)
    assert torch.equal(other.position(x, "a"), model.position(x, "a"))
