"""S5: from patch scores (B, H, W) to a pixel map (B, h, h)."""

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PixelMap(nn.Module):
    """Bilinear enlargement to the input size, then a fixed mix of Gaussians there.

    Both are linear and go along rows and columns apart, so together they are A·s·Aᵀ with one small matrix a Gaussian.

    Args:
        size: side h of the map, in pixels.
        mix: σ in pixels -> weight; empty: no smoothing. Kernels reach 4σ; borders repeat the edge.
    """

    def __init__(self, size: int, mix: dict[float, float]):
        super().__init__()
        self.size = size
        self.mix = mix

    def forward(self, patch_scores: Tensor) -> Tensor:
        """(B, H, W) -> (B, h, h)."""
        mix = self.mix or {0.0: 1.0}
        return torch.stack([weight * self._spread(patch_scores, sigma) for sigma, weight in mix.items()]).sum(0)

    def _spread(self, scores: Tensor, sigma: float) -> Tensor:
        rows, columns = (spreading(cells, self.size, sigma).to(scores) for cells in scores.shape[1:])  # (h, H), (h, W)
        return rows @ scores @ columns.T  # (B, h, h)


@lru_cache(maxsize=16)
def spreading(cells: int, size: int, sigma: float) -> Tensor:
    """Matrix (size, cells), float64, of the enlargement and the blur along one axis; σ in pixels, 0: no blur."""
    units = torch.eye(cells, dtype=torch.float64)[:, None]  # each cell alone, (cells, 1, cells)
    pixels = F.interpolate(units, size=size, mode="linear", align_corners=False)[..., None]  # (cells, 1, size, 1)
    blurred = gaussian_blur(pixels, sigma) if sigma else pixels
    return blurred[:, 0, :, 0].T.contiguous()


def gaussian_blur(pixels: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian blur of (B, 1, h, w), σ in pixels, edge repeated."""
    radius = max(1, round(4 * sigma))
    offsets = torch.arange(-radius, radius + 1, device=pixels.device, dtype=pixels.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(pixels, (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel[None, None, None, :]), kernel[None, None, :, None])
