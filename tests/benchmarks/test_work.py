"""A guard that counts work instead of seconds: backbone calls, matrix products, new tensors. More of them is slower."""

from collections import Counter
from functools import partial
from typing import Any

import torch
from fakes import SIZE, PixelExtractor, product_features, tiny_model, train_task, trained
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from moleflow.config.task import Task
from moleflow.models.coupling import CouplingFlow, every_task
from moleflow.models.lora import SharedLinear
from moleflow.models.stages import gaussian_energy
from moleflow.models.subnets.plain import PlainSubnet
from moleflow.models.task import per_task_parts
from moleflow.models.views.patch_memory import Bank

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")
DIM, SIDE, LAYERS = 8, 4, 3


class Work(TorchDispatchMode):
    """Counts matrix products and tensors of some size that own new memory."""

    def __init__(self, least: int = 1) -> None:
        super().__init__()
        self.least = least
        self.calls: Counter[str] = Counter()
        self.new = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.calls[func.overloadpacket.__name__] += 1
        known = {leaf.untyped_storage().data_ptr() for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        fresh = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor) and leaf.numel() >= self.least]
        self.new += sum(leaf.untyped_storage().data_ptr() not in known for leaf in fresh)
        return result

    @property
    def products(self) -> int:
        return sum(self.calls[name] for name in PRODUCTS)


def flow() -> CouplingFlow:
    subnet = partial(PlainSubnet, hidden=DIM, linear=SharedLinear)
    made = CouplingFlow((SIDE, SIDE, DIM), LAYERS, subnet, 1.9, every_task)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.1)
    return made


def test_a_coupling_step_costs_six_products_a_block_and_few_new_tensors() -> None:
    """Two forwards, four backwards, less one: the first block's input is data."""
    blocks, x = flow(), torch.randn(2, SIDE, SIDE, DIM)
    with Work(least=2 * SIDE * SIDE * DIM // 2) as work:
        z, logdet = blocks(x, "a")
        (gaussian_energy(z) - logdet).mean().backward()
    assert work.products == 6 * LAYERS - 1
    assert work.new == 43, "fewer: lower the number; more: say why"


def test_inference_folds_the_deltas_once() -> None:
    model = trained(["a", "b"])
    features = product_features("b", 3)
    with torch.no_grad():
        model.score(features, ["b"] * 3)
        with Work() as first:
            model.score(features, ["b"] * 3)
        with Work() as again:
            model.score(features, ["b"] * 3)
    assert first.products == again.products
    folded = 2 * 2  # two linears in each of the flow's two couplings
    model.router.experts_changed()
    for module in model.flow.modules():
        getattr(module, "experts_changed", lambda: None)()
    with torch.no_grad(), Work() as anew:
        model.score(features, ["b"] * 3)
    assert anew.products == again.products + folded


def test_predict_calls_the_backbone_once_an_image_and_scores_each_product_together() -> None:
    model = trained(["a", "b"])
    assert isinstance(model.extractor, PixelExtractor)
    images, sizes = torch.rand(6, 3, SIZE, SIZE), []
    before = model.extractor.calls
    model.flow.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    model.predict(images, ["a", "b"] * 3)
    assert model.extractor.calls - before == 6
    assert sizes == [3, 3]


def test_training_never_calls_the_backbone() -> None:
    model = tiny_model()
    train_task(model, Task(("a",), 0))
    assert isinstance(model.extractor, PixelExtractor)
    assert model.extractor.calls == 0


def test_one_more_task_moves_and_freezes_no_expert_but_its_own(monkeypatch) -> None:
    """Else adding a task would take the longer, the more there are."""
    model, walked = trained(["a", "b"]), []
    for name in ("requires_grad_", "_apply"):
        plain = getattr(nn.Module, name)
        monkeypatch.setattr(nn.Module, name, lambda self, *args, plain=plain: walked.append(self) or plain(self, *args))
    train_task(model, Task(("c",), 2))
    reached = {id(inner) for module in walked for inner in module.modules()}
    own = {task: {id(inner) for _, part in per_task_parts(model) for inner in part[task].modules()} for task in "abc"}
    assert own["c"] <= reached
    assert not reached & (own["a"] | own["b"])


def test_a_map_is_two_products_and_a_memory_is_one() -> None:
    model, bank = tiny_model(), Bank(5 * DIM, DIM)
    model.pixel_map(torch.randn(2, SIDE, SIDE))
    with Work() as work:
        model.pixel_map(torch.randn(2, SIDE, SIDE))
    assert work.products <= 2
    assert work.calls["convolution"] == 0
    with Work(least=2 * SIDE * SIDE * 5 * DIM) as work:
        bank(torch.randn(2, SIDE * SIDE, 2 * DIM)[..., :DIM])
    assert work.products == 1
    assert work.new == 1, "one matrix of distances, no copy of it"
