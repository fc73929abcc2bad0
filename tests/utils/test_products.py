"""oneDNN's products are asked for only where they are float32's, and only within the block that asks."""

import pytest
import torch
from fakes import product_features, train_task, trained

from moleflow.config.task import Task
from moleflow.utils import products


def setting() -> str:
    return torch.backends.mkldnn.matmul.fp32_precision  # type: ignore[attr-defined]


def test_products_within_are_as_exact_as_products_without() -> None:
    random = torch.Generator().manual_seed(0)
    left, right = torch.randn(256, 176, generator=random), torch.randn(176, 300, generator=random)
    with products.fast_products():
        found = left @ right
    assert (found.double() - left.double() @ right.double()).abs().max() < 1e-4, "bfloat16 would be off by 0.1"


def test_the_setting_ends_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "is_exact", lambda: True)
    before = setting()
    with products.fast_products():
        assert setting() == "bf16"
    assert setting() == before
    with pytest.raises(ValueError, match="stop"), products.fast_products():
        raise ValueError("stop")
    assert setting() == before


def test_where_it_would_round_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "is_exact", lambda: False)
    before = setting()
    with products.fast_products():
        assert setting() == before


def test_a_training_step_and_scores_use_them_and_the_backbone_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "is_exact", lambda: True)
    seen: set[tuple[str, str]] = set()
    model = trained(["a"])
    model.flow.register_forward_hook(lambda *_: seen.add(("flow", setting())))
    model.extractor.register_forward_hook(lambda *_: seen.add(("backbone", setting())))
    before = setting()
    train_task(model, Task(("b",), 1))
    model.predict(torch.rand(2, 3, 16, 16))
    model.mean_nll(product_features("a", 2), "a")
    assert seen == {("flow", "bf16"), ("backbone", before)}
