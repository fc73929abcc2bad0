"""R2: Euclidean distance to prototypes."""

import torch
from torch import Tensor

from moleflow.models.routing.base import Router
from moleflow.models.routing.statistics import RouterStatistics


class NearestPrototype(Router):
    """‖x − μ‖² to each class's mean image feature."""

    def _fit(self, parts: list[RouterStatistics]) -> None:
        """Prototypes are all it needs."""

    def _distances(self, images: Tensor) -> Tensor:
        return torch.cdist(images, self._means).square()
