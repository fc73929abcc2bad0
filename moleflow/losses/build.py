"""From configuration to the terms of the loss."""

from moleflow.config import ablation as cfg
from moleflow.config.ablation import AblationConfig
from moleflow.losses.logdet import LogDetPenalty
from moleflow.losses.nll import MeanNll
from moleflow.losses.tail import TailAwareNll
from moleflow.losses.terms import LossTerm, PartPenalties


def build_loss(config: AblationConfig) -> list[LossTerm]:
    """The terms of the loss."""
    terms: list[LossTerm] = [PartPenalties()]
    match config.loss:
        case cfg.TailAwareLoss(weight, top_ratio):
            terms.append(TailAwareNll(weight, top_ratio))
        case cfg.MeanLoss():
            terms.append(MeanNll())
    match config.logdet_penalty:
        case cfg.LogDetPenalty(weight):
            terms.append(LogDetPenalty(weight))
    return terms
