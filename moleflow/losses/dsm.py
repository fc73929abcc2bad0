"""L6: denoising score matching at the flow's input (Vincent 2011; Song and Ermon 2019; sliced: Song et al. 2020)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from moleflow.losses.terms import LossTerm, Step
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.stages import at_least_float32, gaussian_energy

NoiseLevels = Callable[[Tensor, float, float], Tensor]
"""Uniform numbers in 0..1, the smallest and the largest σ -> σ, one for each number."""


def geometric(u: Tensor, low: float, high: float) -> Tensor:
    """Log-uniform: every factor of noise is equally likely."""
    return low * (high / low) ** u


def uniform(u: Tensor, low: float, high: float) -> Tensor:
    """Uniform between the bounds."""
    return low + (high - low) * u


def fixed(u: Tensor, low: float, high: float) -> Tensor:
    """Always √(low·high), the middle of the geometric mode."""
    return torch.full_like(u, math.sqrt(low * high))


NOISE_MODES: dict[str, NoiseLevels] = {"geometric": geometric, "uniform": uniform, "fixed": fixed}


def score(model: MoLEFlow, x: Tensor, task: str) -> Tensor:
    """∇ₓ log p(x) with log p summed over the grid, at the flow's input: (B, H, W, D) -> the same.

    x is taken as data, detached: what stands before the flow (adapter, context) gets no gradient. It could only lower
    such a loss by making the data easier, in the end by collapsing them. Gradients reach what turns x into z.
    """
    x = at_least_float32(x).detach().requires_grad_(True)
    z, logdet = model.density(x, task)
    log_likelihood = (logdet - gaussian_energy(z)).sum()
    return torch.autograd.grad(log_likelihood, x, create_graph=True)[0]


class DenoisingScoreMatching(LossTerm):
    """mean over patches of λ(σ)·‖∇log p(x̃) + ε/σ‖² with x̃ = x + σε, ε ~ N(0, I), λ(σ) = σ²: all σ count alike.

    The sliced form is λ(σ)·(vᵀ(∇log p(x̃) + ε/σ))² with v ~ N(0, I) for each patch, mean over patches and directions:
    the same expectation, from random directions only. As the NLL it is a sum over channels, so a flow at its identity
    start gives about D: blended terms are of one size. σ is drawn for each image. Adapter and context learn nothing
    from it (see ``score``).

    Args:
        sigma_min, sigma_max: bounds of σ, in units of the flow's input.
        noise_mode: how σ is drawn, a key of ``NOISE_MODES``.
        projections: directions v for each patch; None: the full norm.
    """

    name = "dsm"

    def __init__(self, sigma_min: float, sigma_max: float, noise_mode: str, projections: int | None):
        self.bounds = (sigma_min, sigma_max)
        self.levels = NOISE_MODES[noise_mode]
        self.projections = projections

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        x = at_least_float32(step.latent.x)
        sigma = self.levels(torch.rand(len(x), 1, 1, 1, generator=step.generator), *self.bounds).to(x)
        noise = torch.randn(x.shape, generator=step.generator).to(x)
        residual = sigma * score(step.model, x + sigma * noise, step.task.name) + noise
        if self.projections is None:
            return residual.square().sum(-1).mean()
        directions = torch.randn(self.projections, *x.shape, generator=step.generator).to(x)
        return (directions * residual).sum(-1).square().mean()


class ScorePenalty(LossTerm):
    """w·mean over patches of ‖∇log p(x)‖² on clean features: they should lie where the density is flat.

    Args:
        weight: w.
    """

    name = "score_penalty"

    def __init__(self, weight: float):
        self.weight = weight

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        return self.weight * score(step.model, step.latent.x, step.task.name).square().sum(-1).mean()
