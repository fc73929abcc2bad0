"""S5: from patch scores (B, H, W) to a pixel map (B, h, h)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PixelMap(nn.Module):
    """Bilinear enlargement to the input size, then a fixed mix of Gaussians there.

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
        pixels = F.interpolate(patch_scores[:, None], size=(self.size, self.size), mode="bilinear", align_corners=False)
        blurred = [weight * gaussian_blur(pixels, sigma) for sigma, weight in self.mix.items()]
        return torch.stack(blurred or [pixels]).sum(0)[:, 0]


def gaussian_blur(pixels: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian blur of (B, 1, h, w), σ in pixels, edge repeated."""
    radius = max(1, round(4 * sigma))
    offsets = torch.arange(-radius, radius + 1, device=pixels.device, dtype=pixels.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(pixels, (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel[None, None, None, :]), kernel[None, None, :, None])
