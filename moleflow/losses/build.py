"""From configuration to the terms of the loss."""

from moleflow.config import variants as cfg
from moleflow.config.ablation import AblationConfig
from moleflow.losses.center import CenterLoss
from moleflow.losses.dsm import DenoisingScoreMatching, ScorePenalty
from moleflow.losses.focal import FocalNll
from moleflow.losses.logdet import LogDetPenalty
from moleflow.losses.nll import MeanNll
from moleflow.losses.pseudo import PseudoMargin
from moleflow.losses.tail import TailAwareNll
from moleflow.losses.terms import LossTerm, PartPenalties
from moleflow.losses.weighted import Weighted, linear


def build_loss(config: AblationConfig) -> list[LossTerm]:
    """The terms of the loss: L8, the likelihood or what takes its place, and the penalties that were asked for."""
    terms: list[LossTerm] = [PartPenalties(), *blend(build_likelihood(config), config.dsm)]
    match config.logdet_penalty:
        case cfg.LogDetPenalty(weight):
            terms.append(LogDetPenalty(weight))
    match config.center:
        case cfg.CenterLoss(weight) if weight:
            terms.append(CenterLoss(weight))
    match config.pseudo:
        case cfg.PseudoMargin(weight, margin) if weight:
            terms.append(PseudoMargin(weight, margin))
    return terms


def build_likelihood(config: AblationConfig) -> LossTerm:
    """L1, L2 or L4."""
    match config.loss:
        case cfg.TailAwareLoss(weight, top_ratio):
            return TailAwareNll(weight, top_ratio)
        case cfg.FocalLoss(gamma):
            return FocalNll(gamma)
        case cfg.MeanLoss():
            return MeanNll()


def blend(likelihood: LossTerm, config: cfg.Dsm | cfg.NoDsm) -> list[LossTerm]:
    """The likelihood, L6, or both with shares α and 1 − α; and the penalty on clean features, whatever the mode."""
    match config:
        case cfg.NoDsm():
            return [likelihood]
        case cfg.Dsm():
            penalty = [ScorePenalty(config.clean_penalty)] if config.clean_penalty else []
            return [*by_mode(likelihood, config), *penalty]


def by_mode(likelihood: LossTerm, config: cfg.Dsm) -> list[LossTerm]:
    """L6 by its mode."""
    projections = config.projections if config.sliced else None
    dsm = DenoisingScoreMatching(config.sigma_min, config.sigma_max, config.noise_mode, projections)
    alpha, end = config.alpha, config.alpha if config.alpha_end is None else config.alpha_end
    shares = [Weighted(likelihood, linear(alpha, end)), Weighted(dsm, linear(1 - alpha, 1 - end))]
    modes: dict[str, list[LossTerm]] = {"hybrid": [*shares], "dsm_only": [dsm], "nll_only": [likelihood]}
    return modes[config.mode]
