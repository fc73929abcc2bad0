"""What a task's expert knows of normal scores: those of its held-out normal images, and the threshold they promise."""

from typing import Any

import torch
from torch import Tensor, nn

from moleflow.config.task import Task


class ScoreReference(nn.Module):
    """Scores of held-out normal images (n,), float64, sorted, and a threshold for image scores.

    The threshold is the smallest reference score s with (1 + #{reference > s}) / (n + 1) ≤ rate (split-conformal: a new
    normal image exceeds it with at most that probability). Where n is too small to promise the rate it is the
    largest reference score, and without reference scores it is NaN: no decision can be made.
    """

    scores: Tensor
    threshold: Tensor

    def __init__(self, task: Task):
        super().__init__()
        self.register_buffer("scores", torch.zeros(0, dtype=torch.float64))
        self.register_buffer("threshold", torch.tensor(torch.nan, dtype=torch.float64))

    def learn(self, scores: Tensor, rate: float) -> None:
        """Keep the scores (n,) and set the threshold for a share ``rate`` of false alarms."""
        self.scores = scores.double().sort().values
        if len(scores):
            allowed = int(rate * (len(scores) + 1) + 1e-9) - 1
            self.threshold = self.scores[-1 - max(allowed, 0)].clone()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take the number of scores from what is loaded."""
        stored = state_dict.get(prefix + "scores")
        if stored is not None:
            self.scores = torch.zeros_like(stored, device=self.scores.device)
        super()._load_from_state_dict(state_dict, prefix, *rest)
