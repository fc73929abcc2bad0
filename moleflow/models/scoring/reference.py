"""What a task's expert knows of normal scores: those of its held-out normal images, and the threshold they promise."""

from typing import Any

import torch
from torch import Tensor, nn

from moleflow.config.task import Task


class ScoreReference(nn.Module):
    """Scores of held-out normal images (n,), float64, sorted, and a threshold for image scores.

    The threshold is their ``conformal_limit``: a new normal image exceeds it with at most the promised probability.
    """

    scores: Tensor
    threshold: Tensor

    def __init__(self, task: Task):
        super().__init__()
        self.register_buffer("scores", torch.zeros(0, dtype=torch.float64))
        self.register_buffer("threshold", torch.tensor(torch.nan, dtype=torch.float64))

    def learn(self, scores: Tensor, rate: float) -> None:
        """Keep the scores (n,) and set the threshold for a share ``rate`` of false alarms."""
        self.scores = scores.to(self.scores).sort().values
        self.threshold = conformal_limit(self.scores, rate)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take the number of scores from what is loaded."""
        take_shape(self, "scores", state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def conformal_limit(ascending: Tensor, rate: float) -> Tensor:
    """The smallest reference value s with (1 + #{reference > s}) / (n + 1) ≤ rate (split conformal, Vovk et al. 2005).

    Args:
        ascending: (n,) values of normal images, sorted.
        rate: share of new normal images that may exceed the limit.

    Returns:
        A scalar: the largest value where n is too small to promise the rate, and NaN (no decision) where n = 0.
    """
    if not len(ascending):
        return ascending.new_tensor(torch.nan)
    allowed = int(rate * (len(ascending) + 1) + 1e-9) - 1
    return ascending[-1 - max(allowed, 0)].clone()


def take_shape(module: nn.Module, buffer: str, state_dict: dict[str, Any], prefix: str) -> None:
    """Give a module's buffer the shape that a state dict about to be loaded has for it."""
    stored = state_dict.get(prefix + buffer)
    if stored is not None:
        setattr(module, buffer, torch.zeros_like(stored, device=getattr(module, buffer).device))
