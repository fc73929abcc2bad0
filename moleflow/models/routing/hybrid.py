"""R4: prototypes keep a few tasks, the flow's likelihood decides among them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from moleflow.models.routing.base import MeanNll
from moleflow.models.routing.mahalanobis import TiedMahalanobis
from moleflow.models.routing.statistics import image_features
from moleflow.utils.errors import UsageError


class HybridRouter(TiedMahalanobis):
    """The k tasks whose prototypes are nearest (as R5); of these, the one with the lowest mean NLL of the image.

    Layer norm and context are no bijections, so likelihoods of different tasks are not on one scale, and a task that
    spreads its mass wide is at a disadvantage: more candidates need not route better. An image costs k flow passes.

    Args:
        dim: channels D.
        top_k: k, at least 1; all tasks where there are fewer.
    """

    def __init__(self, dim: int, top_k: int):
        super().__init__(dim)
        self.top_k = top_k

    def forward(
        self, features: Tensor, given: Sequence[str] | None = None, mean_nll: MeanNll | None = None
    ) -> list[str]:
        """Task of each image, (B, H, W, D) -> B names.

        Raises:
            UsageError: no likelihood is given.
        """
        if mean_nll is None:
            raise UsageError("The hybrid router expects the flow's likelihood: route through the model's route().")
        distances = self.task_distances(image_features(features))
        kept = distances.argsort(dim=1, stable=True)[:, : self.top_k]  # (B, k)
        chosen = self._nll(features, kept, mean_nll).argmin(1).tolist()
        return [self.tasks[index] for index in chosen]

    def _nll(self, features: Tensor, kept: Tensor, mean_nll: MeanNll) -> Tensor:
        """NLL of each image under its candidates, infinite elsewhere: (B, tasks); one flow pass a candidate."""
        nll = features.new_full((len(features), len(self.tasks)), torch.inf)
        for index in kept.unique().tolist():
            rows = (kept == index).any(1)
            nll[rows, index] = mean_nll(features[rows], self.tasks[index]).to(nll.dtype)
        return nll
