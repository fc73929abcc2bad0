"""Synthetic defects: blotches of a foreign texture in normal images (after DRAEM, Zavrtanik et al., ICCV 2021)."""

from typing import NamedTuple

import torch
from torch import Tensor

from moleflow.baselines.auxiliary import smooth_noise

BLEND = (0.1, 1.0)
"""Weight of the foreign texture, uniform; the rest is the image itself."""
LEVEL = 1.0
"""Noise above this many of its standard deviations is defect."""


class Defects(NamedTuple):
    """Images with defects.

    Attributes:
        images: (B, 3, s, s).
        masks: where they are, (B, s, s) in {0, 1}.
        severity: how strong each is: the texture's weight, 0 for an image left as it is, (B,).
    """

    images: Tensor
    masks: Tensor
    severity: Tensor


def with_defects(images: Tensor, textures: Tensor) -> Defects:
    """Half of the images, by chance, get a defect: x ← x·(1 − m) + m·(w·texture + (1 − w)·x).

    Draws come from torch's global generator. The paper's masks are Perlin noise above a threshold and its textures go
    through three random changes of colour; here the noise is bicubic and textures are flipped and shifted in
    brightness.

    Args:
        images: normal ones in 0..1, (B, 3, s, s).
        textures: what defects are painted with, (n, 3, s, s).
    """
    random = torch.Generator().manual_seed(int(torch.randint(2**62, (1,))))
    count, side = len(images), images.shape[-1]
    noise = torch.stack([smooth_noise(side, random) for _ in range(count)])
    severity = BLEND[0] + (BLEND[1] - BLEND[0]) * torch.rand(count, generator=random)
    severity = severity * (torch.rand(count, generator=random) < 0.5)
    masks = (noise > LEVEL).float() * (severity > 0).float()[:, None, None]
    foreign = textures[torch.randint(len(textures), (count,), generator=random)].flip(-1)
    foreign = (foreign + 0.4 * torch.rand(count, 3, 1, 1, generator=random) - 0.2).clamp(0, 1)
    share = masks[:, None] * severity[:, None, None, None]
    return Defects(images * (1 - share) + foreign * share, masks, severity)
