"""P5: scores under several orientations of the image, at feature level."""

import torch
from torch import Tensor

from moleflow.models.scoring.scorer import DataPath, PatchScorer


class MultiOrientation(PatchScorer):
    """The NLL of each image's features turned by 0, 90, 180 and 270°; the likeliest orientation counts.

    Per image the orientation of lowest mean NLL is kept whole, its map turned back, so patch scores stay those of one
    reading of the image. On a grid that is not square only 0 and 180° fit. Costs as many passes through the flow as
    there are orientations.
    """

    def everywhere(self, path: DataPath, features: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W), in nats."""
        height, width = features.shape[1:3]
        turns = range(4) if height == width else range(0, 4, 2)
        maps = torch.stack([self.turned(path, features, task, quarters) for quarters in turns])  # (R, B, H, W)
        likeliest = maps.mean(dim=(2, 3)).argmin(0)  # (B,)
        return maps[likeliest, torch.arange(len(features), device=features.device)]

    def turned(self, path: DataPath, features: Tensor, task: str, quarters: int) -> Tensor:
        """The NLL of the features turned by some quarters of a full turn, turned back: (B, H, W)."""
        turned = torch.rot90(features, quarters, dims=(1, 2))
        return torch.rot90(path.likelihood(turned, task).nll, -quarters, dims=(1, 2))
