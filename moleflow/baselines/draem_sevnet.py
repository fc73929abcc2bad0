"""DRAEM with a severity head: how strong the painted defect is, is asked as well as where it is."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from moleflow.baselines.auxiliary import auxiliary_images
from moleflow.baselines.networks import UNet, decoder, encoder
from moleflow.baselines.synthetic import with_defects
from moleflow.baselines.trained import ImagePeer, smooth_scores
from moleflow.baselines.training import Training

LATENT = 64


class SeverityNet(nn.Module):
    """An autoencoder, and a U-Net that compares its drawing with the image and says where and how much they differ."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Sequential(encoder(), nn.Conv2d(128, LATENT, 1)), decoder(LATENT)
        self.compare = UNet(6, 1, (16, 32, 64, 128))
        self.severity = nn.Linear(128, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, s, s) -> what is drawn, logits of a defect (B, s, s), severity (B,) in 0..1."""
        drawn = self.decode(self.encode(images))
        logits, deepest = self.compare(torch.cat([images, drawn], 1))
        return drawn, logits[:, 0], self.severity(deepest.mean((2, 3)))[:, 0].sigmoid()


class DraemSevNet(ImagePeer):
    """Ours, small: loss = squared error + focal loss of the mask + weight·(severity − ŝ)²; no SSIM.

    The image's score is the mean of ŝ and of the smoothed map's largest value.

    Args:
        img_size: side h of images and pixel maps.
        side: side of what the network is given, a multiple of 16.
        textures: folder of images that defects are painted with (DTD); None: generated textures.
        severity_weight: weight of the severity's squared error.
        training: how long.
        seed: of first weights, order and defects.
    """

    def __init__(
        self,
        img_size: int = 256,
        side: int | None = None,
        textures: str | None = None,
        severity_weight: float = 1.0,
        training: Training | None = None,
        seed: int = 0,
    ):
        super().__init__(img_size, side, training, seed)
        self.folder, self.severity_weight = textures, severity_weight

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """The network."""
        return SeverityNet()

    def prepare(self, normal: Tensor) -> None:
        """Read or generate the textures."""
        self.textures = auxiliary_images(self.folder, self.side, self.seed)

    def optimizer(self, rate: float | None) -> Optimizer:
        """Adam, 1e-3."""
        return Adam(self.net.parameters(), lr=rate or 1e-3)

    def loss(self, batch: Tensor) -> Tensor:
        """All three terms."""
        defects = with_defects(batch, self.textures)
        drawn, logits, severity = self.net(defects.images)
        errors = F.mse_loss(drawn, batch), focal(logits, defects.masks), F.mse_loss(severity, defects.severity)
        return errors[0] + errors[1] + self.severity_weight * errors[2]

    def look(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Probability of a defect."""
        _, logits, severity = self.net(batch)
        largest, maps = smooth_scores(logits.sigmoid(), self.img_size)
        return 0.5 * (largest + severity), maps


def focal(logits: Tensor, truth: Tensor, gamma: float = 2.0) -> Tensor:
    """Mean of (1 − p)^γ·(−log p), p the probability of the truth (Lin et al., 2017)."""
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return ((1 - (-entropy).exp()) ** gamma * entropy).mean()
