"""O1 to O4: what each protector promises, by formula. That each forgets less: test_collapse.py."""

from dataclasses import replace

import pytest
import torch
from fakes import TINY, FakeFeatures, product_features, tiny_model
from textures import Textures, learn, stream
from torch import nn

from moleflow.config.task import Task
from moleflow.config.variants import Distillation, Ewc, Flow, NoProtector, Ogp, Replay
from moleflow.losses.terms import Step
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.task import base_state, expert_state, learners, shared_later
from moleflow.trainer.opening import open_run
from moleflow.trainer.regularizers.base import Learned, Protector
from moleflow.trainer.regularizers.build import build_protector
from moleflow.trainer.regularizers.distillation import LatentDistillation, with_frozen_base
from moleflow.trainer.regularizers.ewc import ElasticConsolidation
from moleflow.trainer.regularizers.gradients import chosen_images, per_image_gradients
from moleflow.trainer.regularizers.ogp import OrthogonalProjection, extended_basis

ALWAYS = replace(TINY, flow=Flow(layers=2, base_policy="always"))
PROTECTORS = {
    "ogp": Ogp(max_rank=3, samples=12), "ewc": Ewc(1000.0), "replay": Replay(per_task=6, weight=2.0),
    "distillation": Distillation(20.0),
}  # fmt: skip
A, B, C = stream("abc")


def protected(name: str | None, names: str = "abc") -> tuple[MoLEFlow, Protector]:
    """A model whose base always learns, trained under a protector."""
    config = replace(ALWAYS, protector=PROTECTORS[name] if name else NoProtector())
    protector = build_protector(config, seed=0)
    return learn(tiny_model(config), stream(names), config, protector), protector


def step_of(model: MoLEFlow, task: Task) -> Step:
    features = product_features(task.name, 4)
    latent = model.likelihood(features, task.name)
    return Step(model, task, features, latent, 0.0, torch.Generator())


@pytest.mark.parametrize("name", PROTECTORS)
def test_old_experts_stay_as_they_are_and_the_base_still_learns(name):
    model, protector = protected(name, "ab")
    stored = {key: value.clone() for key, value in expert_state(model, "a").items()}
    base = {key: value.clone() for key, value in base_state(model).items()}
    learn(model, [C], ALWAYS, protector)
    assert all(
        torch.equal(stored[key], value) or value.isnan().all() for key, value in expert_state(model, "a").items()
    )
    assert any(not torch.equal(base[key], value) for key, value in base_state(model).items())
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("name", PROTECTORS)
def test_a_resumed_stream_ends_with_the_same_bytes(name, tmp_path):
    """Base, experts and the protector's state go through files after every task."""
    whole, _ = protected(name)
    config = replace(ALWAYS, protector=PROTECTORS[name])
    folder = open_run(tmp_path / "run", {"flags": {}}, False, False)
    done: list[Task] = []
    for index, task in enumerate("abc"):
        model, protector = tiny_model(config), build_protector(config, seed=0)
        if done:
            folder.load_base(model)
            protector.load(folder.load_protector())
        for old in done:
            model.begin_task(old, 0)
            folder.load_task(model, old)
        learn(model, [Task((task,), index)], config, protector)
        done.append(Task((task,), index))
        folder.save_task(model, done[-1], torch.float16, 0, protector.state())
    assert (folder.path / "protector.safetensors").exists() == bool(protector.state())
    for state in (base_state, *(lambda m, t=task: expert_state(m, t) for task in "abc")):
        one, other = state(whole), state(model)
        assert all(one[key].numpy().tobytes() == other[key].numpy().tobytes() for key in one)


def test_with_a_frozen_base_a_protector_is_never_asked():
    class Asked(Protector):
        def begin(self, model, task):
            assert task.is_first

        def end(self, learned):
            raise AssertionError("nothing shared will move")

    learn(tiny_model(TINY), [A, B], TINY, Asked())


# O1


class Watched(OrthogonalProjection):
    """Notes how far each step, and the way since the task's start, leans on protected directions."""

    before: dict[str, torch.Tensor]

    def begin(self, model, task):
        super().begin(model, task)
        self.leaning, self.steps, self.moved = [], [], 0.0
        self.before = {name: start.clone() for name, start in self._start.items()}

    def after_update(self, shared):
        super().after_update(shared)
        for name, weight, *_ in shared:
            if name in self.before:
                basis = self.bases[name].double()
                way = (weight.detach() - self._start[name]).double().flatten()
                step = (weight.detach() - self.before[name]).double().flatten()
                self.steps.append((basis @ step).abs().max().item())
                if way.norm() > 1e-3:  # a weight whose whole space is protected stays, but for float32
                    self.leaning.append(((basis @ way).abs().max() / way.norm()).item())
                self.moved = max(self.moved, step.norm().item())
                self.before[name] = weight.detach().clone()


def test_ogp_every_update_is_orthogonal_to_every_stored_basis():
    protector = Watched(threshold=0.99, max_rank=3, samples=12, seed=0)
    model = learn(tiny_model(ALWAYS), [A], ALWAYS, protector)
    assert {basis.shape[0] for basis in protector.bases.values()} <= {1, 2, 3}
    for task in (B, C):
        learn(model, [task], ALWAYS, protector)
        assert len(protector.leaning) > 50
        assert max(protector.leaning) < 1e-5
        assert max(protector.steps) < 1e-7
        assert protector.moved > 1e-2
    for name, basis in protector.bases.items():
        torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis)), rtol=0, atol=1e-5, msg=name)


def test_ogp_protects_what_decay_and_momentum_do_not_only_gradients():
    """The gradient is orthogonal to the basis; AdamW's step is not, and is projected all the same."""
    weight = nn.Parameter(torch.tensor([1.0, 1.0, 0.0]))
    holder = nn.Module()
    holder.weight = weight
    protector = OrthogonalProjection(0.99, 3, 1, 0)
    protector.bases = {"weight": torch.tensor([[0.6, 0.8, 0.0]])}
    protector.begin(holder, A)
    optimizer = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.5)
    weight.grad = torch.tensor([0.8, -0.6, 0.2])
    optimizer.step()
    assert (torch.tensor([0.6, 0.8, 0.0]) @ (weight - torch.tensor([1.0, 1.0, 0.0]))).abs() > 0.01
    protector.after_update([("weight", weight, True, 1.0)])
    assert (torch.tensor([0.6, 0.8, 0.0]) @ (weight - torch.tensor([1.0, 1.0, 0.0]))).abs() < 1e-6
    assert weight[2] != 0


def gradients(m: int = 12, n: int = 40, seed: int = 0) -> torch.Tensor:
    """Rows whose singular values fall geometrically."""
    generator = torch.Generator().manual_seed(seed)
    left = torch.linalg.qr(torch.randn(m, m, generator=generator)).Q
    right = torch.linalg.qr(torch.randn(n, m, generator=generator)).Q
    return left * 2.0 ** -torch.arange(m) @ right.T


def test_ogp_the_basis_is_that_of_a_singular_value_decomposition():
    rows = gradients()
    basis = extended_basis(rows[:0], rows.clone(), threshold=0.99, max_rank=50)
    energy = torch.linalg.svdvals(rows).square()
    wanted = int((energy.cumsum(0) / energy.sum() < 0.99).sum()) + 1
    assert len(basis) == wanted == 4
    right = torch.linalg.svd(rows, full_matrices=False).Vh[:wanted]
    torch.testing.assert_close((basis @ right.T).abs(), torch.eye(wanted), rtol=0, atol=1e-5)
    assert len(extended_basis(rows[:0], rows.clone(), 0.99, max_rank=2)) == 2


def test_ogp_a_second_task_adds_only_what_the_first_lacks():
    first = extended_basis(torch.zeros(0, 40), gradients(seed=0), 0.99, 50)
    assert torch.equal(extended_basis(first, (torch.randn(9, 4) @ first), 0.99, 50), first)
    both = extended_basis(first, gradients(seed=1), 0.99, 50)
    assert torch.equal(both[: len(first)], first)
    torch.testing.assert_close(both @ both.T, torch.eye(len(both)), rtol=0, atol=1e-5)
    second = gradients(seed=1)
    assert (second @ both.T).square().sum() >= 0.99 * second.square().sum() * (1 - 1e-6)
    assert (second @ both[:-1].T).square().sum() < 0.99 * second.square().sum()


def test_ogp_weak_directions_are_orthonormal_too():
    """In float32 the singular vectors of small values lean on those of large ones."""
    rows = gradients()
    left, _, right = torch.linalg.svd(rows, full_matrices=False)
    steep = left * 3.0 ** -torch.arange(12) @ right
    basis = extended_basis(rows[:0], steep, threshold=1.0, max_rank=50)
    assert len(basis) >= 9
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis)), rtol=0, atol=1e-5)


def test_ogp_no_gradient_no_direction_and_never_more_than_the_space_has():
    assert len(extended_basis(torch.zeros(0, 5), torch.zeros(3, 5), 0.99, 50)) == 0
    basis = extended_basis(torch.zeros(0, 3), torch.randn(9, 3), 1.0, 50)
    assert len(basis) == 3
    assert len(extended_basis(basis, torch.randn(9, 3), 1.0, 50)) == 3


# O2


def test_ewc_is_half_lambda_fisher_times_the_squared_way():
    model = learn(tiny_model(ALWAYS), [A], ALWAYS)
    name = next(learner.name for learner in learners(model, A) if learner.shared)
    weight = dict(model.named_parameters())[name]
    protector = ElasticConsolidation(strength=10.0, seed=0)
    protector.load({name: torch.full_like(weight, 3.0)})
    protector.begin(model, B)
    assert protector.loss(step_of(model, A)) == 0
    with torch.no_grad():
        weight += 0.1
    expected = 0.5 * 10.0 * 3.0 * 0.01 * weight.numel()
    assert protector.loss(step_of(model, A)).item() == pytest.approx(expected, rel=1e-4)


def test_ewc_fisher_is_the_mean_squared_gradient_summed_over_tasks():
    model = learn(tiny_model(ALWAYS), [A, B], ALWAYS)
    shared = shared_later(model, B)
    protector, expected = ElasticConsolidation(1.0, seed=0), {learner.name: 0.0 for learner in shared}
    for task in (A, B):
        normal = FakeFeatures([task.name], images=3)
        protector.end(Learned(model, task, normal, shared, lambda features: features.sum()))
        for image in range(3):
            for learner in shared:
                learner.parameter.requires_grad_(True)
            loss = model.likelihood(normal.take([image]), task.name).nll.mean()
            found = torch.autograd.grad(loss, [learner.parameter for learner in shared])
            for learner, gradient in zip(shared, found, strict=True):
                expected[learner.name] += gradient.square() / 3
    for name, fisher in protector.state().items():
        torch.testing.assert_close(fisher, expected[name])
    assert max(fisher.max() for fisher in protector.state().values()) > 0


# O3


def test_replay_is_the_mean_nll_of_kept_features_under_the_old_expert():
    model, protector = protected("replay", "a")
    kept = protector.bank["a"].float()
    assert len(kept) == 6
    assert all(any(torch.allclose(row, image, atol=2e-2) for image in Textures("a").features) for row in kept)
    model.begin_task(B, 0)
    protector.begin(model, B)
    step = step_of(model, B)._replace(features=product_features("b", 6))
    expected = 2.0 * model.likelihood(kept, "a").nll.mean()
    torch.testing.assert_close(protector.loss(step), expected)


def test_replay_moves_shared_weights_only_and_knows_no_removed_task():
    model, protector = protected("replay", "ab")
    model.begin_task(C, 0)
    for learner in learners(model, C):
        learner.parameter.requires_grad_(True)
        learner.parameter.grad = None
    protector.begin(model, C)
    protector.loss(step_of(model, C)).backward()
    moved = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert moved
    assert not any("task:" in name for name in moved)
    model.remove_task("a")
    protector.begin(model, C)
    assert protector._old == ["b"]


# O4


def test_distillation_is_zero_at_the_start_and_then_the_latents_squared_distance():
    model, _ = protected(None, "a")
    model.begin_task(B, 0)
    protector = LatentDistillation(weight=3.0, seed=0)
    protector.begin(model, B)
    step = step_of(model, B)
    before = model.likelihood(step.features, "a").z
    assert protector.loss(step) == 0
    with torch.no_grad():
        for learner in learners(model, B):
            if learner.shared:
                learner.parameter.add_(0.05)
    for module in model.modules():
        if hasattr(module, "experts_changed"):
            module.experts_changed()
    after = model.likelihood(step.features, "a").z
    assert protector.loss(step).item() == pytest.approx(3.0 * (after - before).square().mean().item(), rel=1e-5)
    assert protector.state() == {}


def test_a_frozen_copy_owns_its_base_and_nothing_else():
    model, _ = protected(None, "a")
    model.requires_grad_(True)
    copy = with_frozen_base(model)
    own = {id(parameter) for parameter in model.parameters()}
    shared = [name for name, parameter in copy.named_parameters() if id(parameter) not in own]
    assert set(shared) == {name for name in base_state(model) if name in dict(model.named_parameters())}
    assert not any(dict(copy.named_parameters())[name].requires_grad for name in shared)
    assert copy.extractor is model.extractor
    assert all(parameter.requires_grad for parameter in model.parameters())


# what they share


def test_images_are_chosen_by_name_and_never_twice():
    assert chosen_images(10, 4, 0, "a", "ogp") == chosen_images(10, 4, 0, "a", "ogp")
    assert chosen_images(10, 4, 0, "a", "ogp") != chosen_images(10, 4, 0, "b", "ogp")
    assert chosen_images(3, 300, 0, "a") == [0, 1, 2]


def test_gradients_are_per_image_and_leave_requires_grad_as_it_was():
    weight, unused = nn.Parameter(torch.ones(6)), nn.Parameter(torch.ones(1), requires_grad=False)
    normal = FakeFeatures(["a"], images=3)
    loss = lambda features: (features * weight).sum()
    found = list(per_image_gradients(loss, [weight, unused], normal, [2, 0]))
    torch.testing.assert_close(found[0][0], normal.features[2].sum((0, 1)))
    torch.testing.assert_close(found[1][0], normal.features[0].sum((0, 1)))
    assert found[0][1] == 0
    assert (weight.requires_grad, unused.requires_grad) == (True, False)
