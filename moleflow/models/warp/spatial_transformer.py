"""I2: a spatial transformer before the backbone (Jaderberg et al., "Spatial Transformer Networks", NeurIPS 2015)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moleflow.config.task import Task
from moleflow.models.stages import ImageMapping

VIEW = 64
"""Side in pixels of the reduced image that the prediction is made from."""

REACH = 0.5
"""Bound of the entries of A − I: below it no affine map collapses or mirrors an image."""


class SpatialTransformer(ImageMapping):
    """A small CNN looks at an image and predicts the warp under which the backbone will see it.

    Pixels of the warped image are read at A·(x, y, 1), coordinates in −1..1, bilinearly, the border repeated. The last
    layer starts at zero, so the warp starts as the identity.

    It is shared by all tasks and learns, where the freeze policy lets it, from the likelihood: gradients come through
    the frozen backbone. A likelihood rewards whatever makes images alike, not what is upright; the penalty limits that.

    Patch scores and pixel maps stay in the warped image's coordinates: they are not turned back, so a warp that is far
    from the identity costs pixel metrics.

    Args:
        head: what is predicted: ``RotationHead`` or ``AffineHead``.
        hidden: hidden width of the predictor.
        reg_weight: weight of the penalty.
        trains_in: whether it learns in a task.
    """

    def __init__(self, head: "Head", hidden: int, reg_weight: float, trains_in: Callable[[Task], bool]):
        super().__init__()
        self.head = head
        self.predictor = predictor(hidden, head.numbers)
        self.reg_weight = reg_weight
        self.trains_in = trains_in
        self._seen: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, h, h) in 0..1 -> the same, warped."""
        raw = self.raw(images)  # (B, numbers)
        if raw.requires_grad:
            self._seen = images.detach()  # what the penalty is about
        grid = F.affine_grid(self.head.matrices(raw), list(images.shape), align_corners=False)  # (B, h, h, 2)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)  # (B, 3, h, h)

    def raw(self, images: Tensor) -> Tensor:
        """What the CNN says of images (B, 3, h, h) before it is bounded, (B, numbers)."""
        small = F.interpolate(images, size=(VIEW, VIEW), mode="bilinear", antialias=True)
        prediction: Tensor = self.predictor(small - 0.5)
        return prediction

    def trains_shared(self, task: Task) -> bool:
        """The freeze policy's answer."""
        return self.trains_in(task)

    def penalty(self, task: Task) -> Tensor:
        """``reg_weight`` times the mean size of the last batch's warps, a scalar; 0 where nothing is learned.

        The size of a rotation is its angle² in rad², that of an affine map ‖A − I‖². It is computed anew from the
        batch's images, so it can be asked for more than once.
        """
        if self._seen is None or not self.trains_in(task):
            return torch.zeros((), device=next(self.parameters()).device)
        return self.reg_weight * self.head.size(self.raw(self._seen)).mean()


class RotationHead:
    """One number: an angle in ±π, π·tanh(raw)."""

    numbers = 1

    def matrices(self, raw: Tensor) -> Tensor:
        """(B, 1) -> rotations about the image's centre, (B, 2, 3)."""
        angle = self._angle(raw)  # (B,)
        cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
        return torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(-1, 2, 3)

    def size(self, raw: Tensor) -> Tensor:
        """(B, 1) -> angle² in rad², (B,)."""
        return self._angle(raw).square()

    def _angle(self, raw: Tensor) -> Tensor:
        return math.pi * raw[:, 0].tanh()


class AffineHead:
    """Six numbers: A = I + ½·tanh(raw)."""

    numbers = 6

    def matrices(self, raw: Tensor) -> Tensor:
        """(B, 6) -> affine maps, (B, 2, 3)."""
        return torch.eye(2, 3, device=raw.device, dtype=raw.dtype) + self._change(raw).view(-1, 2, 3)

    def size(self, raw: Tensor) -> Tensor:
        """(B, 6) -> ‖A − I‖², (B,)."""
        return self._change(raw).square().sum(1)

    def _change(self, raw: Tensor) -> Tensor:
        return REACH * raw.tanh()


Head = RotationHead | AffineHead


def predictor(hidden: int, numbers: int) -> nn.Sequential:
    """Images (B, 3, 64, 64) -> (B, numbers), 0 at the start: strided convolutions, 4×4 pooling, two layers."""
    last = nn.Linear(hidden, numbers)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    stages: list[nn.Module] = []
    for inputs, outputs in ((3, 16), (16, 32), (32, 64)):
        stages += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU()]  # the side: 64 -> 32 -> 16 -> 8
    return nn.Sequential(*stages, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(64 * 4 * 4, hidden), nn.ReLU(), last)
