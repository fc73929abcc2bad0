"""oneDNN's products are asked for only where they are float32's; least products are the same with and without units."""

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


def factors(rows: int = 300, columns: int = 500) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape, generator=random).bfloat16() for shape in ((rows, 64), (64, columns)))  # type: ignore[return-value]


@pytest.mark.parametrize("units", [True, False])
def test_the_least_product_is_that_of_float64_to_eight_bits(units: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "has_units_for_bfloat16", lambda device: units)
    left, right = factors()
    squares = torch.cat([left.double(), 200 * torch.ones(300, 1)], dim=1).bfloat16()  # all products positive
    of_right = torch.cat([right.double(), torch.ones(1, 500)]).bfloat16()
    expected = (squares.double() @ of_right.double()).amin(1)
    assert expected.min() > 100
    found = products.least_products(squares, of_right)
    assert found.dtype == torch.float32
    assert (found / expected - 1).abs().max() < 2.0**-8
    assert torch.equal(found.bfloat16().float(), found)
    assert not products.least_products(left, right).any(), "negative ones are none"


def test_a_number_of_float32_is_the_sum_of_its_pieces() -> None:
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * torch.logspace(-6, 6, 1000)
    found = products.pieces(values)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found.double().sum(1).float(), values)


def test_units_are_those_of_the_processor_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for known, expected in (({"amx_bf16": True}, True), ({"avx512_bf16": True}, True), ({"avx2": True}, False)):
        products.has_units_for_bfloat16.cache_clear()
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda known=known: known)
        assert products.has_units_for_bfloat16(torch.device("cpu")) is expected
        assert products.has_units_for_bfloat16(torch.device("meta")) is False
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    products.has_units_for_bfloat16.cache_clear()
    assert products.has_units_for_bfloat16(torch.device("cpu")) is False
    products.has_units_for_bfloat16.cache_clear()


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
