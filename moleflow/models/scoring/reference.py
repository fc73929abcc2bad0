"""What a task's expert knows of normal scores: those of its held-out normal images, and the threshold they promise."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.models.scoring.limits import conformal_limit

Rule = Callable[[Tensor, float], Tensor]
"""(sorted scores (n,), share of normal images that may exceed the limit) -> the limit, a scalar."""


class ScoreReference(nn.Module):
    """Scores of normal images as new ones (n,), float64, sorted, a threshold for image scores, and what it promises.

    The threshold follows from the scores by a rule: a new normal image exceeds it with probability ``rate`` at most. It
    is set once, when the task ends, and never from test images.
    """

    scores: Tensor
    threshold: Tensor
    rate: Tensor

    def __init__(self, task: Task):
        super().__init__()
        self.register_buffer("scores", torch.zeros(0, dtype=torch.float64))
        self.register_buffer("threshold", torch.tensor(torch.nan, dtype=torch.float64))
        self.register_buffer("rate", torch.tensor(torch.nan, dtype=torch.float64))

    def learn(self, scores: Tensor, rate: float, rule: Rule = conformal_limit) -> None:
        """Keep the scores (n,) and set the threshold for a share ``rate`` of false alarms."""
        self.scores = scores.to(self.scores).sort().values
        self.threshold = rule(self.scores, rate)
        self.rate = self.scores.new_tensor(rate)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take the number of scores from what is loaded; older experts do not say what their threshold promises."""
        take_shape(self, "scores", state_dict, prefix)
        if prefix + "scores" in state_dict:  # else it is the base that is loaded, and this expert stays
            state_dict.setdefault(prefix + "rate", torch.full_like(self.rate, torch.nan))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def take_shape(module: nn.Module, buffer: str, state_dict: dict[str, Any], prefix: str) -> None:
    """Give a module's buffer the shape that a state dict about to be loaded has for it."""
    stored = state_dict.get(prefix + buffer)
    if stored is not None:
        setattr(module, buffer, torch.zeros_like(stored, device=getattr(module, buffer).device))
