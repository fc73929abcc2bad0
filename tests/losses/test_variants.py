"""Every variant of every slot of the loss trains a tiny model, and what it learns is not what the default learns."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from fakes import TINY, TRAINING, product_features, trained
from torch import Tensor

from moleflow.config import variants as v
from moleflow.config.knobs import variants_of
from moleflow.config.resolve import slots

VARIANTS: dict[str, dict[str, Any]] = {
    f"{slot}: {variant.__name__}": {slot: variant()}
    for slot in ("loss", "logdet_penalty", "center", "dsm", "pseudo")
    for variant in variants_of(slots()[slot])
} | {
    "dsm alone": {"dsm": v.Dsm(mode="dsm_only")},
    "dsm, likelihood only": {"dsm": v.Dsm(mode="nll_only")},
    "dsm, sliced": {"dsm": v.Dsm(sliced=True, projections=2)},
    "dsm, annealed": {"dsm": v.Dsm(alpha=0.9, alpha_end=0.1)},
    "dsm, uniform noise": {"dsm": v.Dsm(noise_mode="uniform")},
    "dsm, fixed noise": {"dsm": v.Dsm(noise_mode="fixed")},
    "dsm, clean penalty": {"dsm": v.Dsm(clean_penalty=0.1)},
    "dsm, likelihood only, clean penalty": {"dsm": v.Dsm(mode="nll_only", clean_penalty=0.1)},
}
SHORT = replace(TRAINING, num_steps=4)
AS_THE_DEFAULT = (
    "loss: TailAwareLoss", "logdet_penalty: LogDetPenalty", "center: NoCenterLoss", "dsm: NoDsm",
    "pseudo: NoPseudoMargin", "dsm, likelihood only",
)  # fmt: skip


def learned_scores(**changes: Any) -> Tensor:
    model = trained(["a"], replace(TINY, **changes), SHORT)
    with torch.no_grad():
        return model.score_as(product_features("a", 4, seed=9), "a").patches


@pytest.fixture(scope="module")
def scores() -> dict[str, Tensor]:
    return {name: learned_scores(**changes) for name, changes in VARIANTS.items()}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_loss_teaches_what_no_other_does(name, scores):
    assert torch.isfinite(scores[name]).all()
    alike = {other for other in VARIANTS if torch.equal(scores[other], scores[name])}
    assert alike == (set(AS_THE_DEFAULT) if name in AS_THE_DEFAULT else {name})


def test_noise_depends_on_the_tasks_name_alone():
    config = replace(TINY, dsm=v.Dsm(), pseudo=v.PseudoMargin())
    one, other = trained(["a", "b", "c"], config, SHORT), trained(["a", "c", "b"], config, SHORT)
    with torch.no_grad():
        pair = [model.score_as(product_features("c", 4), "c").images for model in (one, other)]
    assert torch.equal(*pair)
