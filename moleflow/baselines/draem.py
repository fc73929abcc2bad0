"""DRAEM (Zavrtanik et al., ICCV 2021): taught to find defects that were painted on normal images."""

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from moleflow.baselines.anomalib_parts import anomalib_part, torch_model
from moleflow.baselines.auxiliary import auxiliary_images
from moleflow.baselines.synthetic import with_defects
from moleflow.baselines.trained import ImagePeer, smooth_scores
from moleflow.baselines.training import Training


class Draem(ImagePeer):
    """anomalib's ``DraemModel`` and ``DraemLoss``, unchanged; defects by ``synthetic.with_defects``.

    Args:
        img_size: side h of images and pixel maps.
        side: side of what the network is given, a multiple of 32.
        textures: folder of images that defects are painted with (DTD); None: generated textures.
        training: how long.
        seed: of first weights, order and defects.
    """

    def __init__(
        self,
        img_size: int = 256,
        side: int | None = None,
        textures: str | None = None,
        training: Training | None = None,
        seed: int = 0,
    ):
        super().__init__(img_size, side, training, seed)
        self.make = torch_model("draem", "DraemModel")
        self.criterion = anomalib_part("models.image.draem.loss", "DraemLoss")()
        self.folder = textures

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """The two networks."""
        return self.make()

    def prepare(self, normal: Tensor) -> None:
        """Read or generate the textures."""
        self.textures = auxiliary_images(self.folder, self.side, self.seed)

    def optimizer(self, rate: float | None) -> Optimizer:
        """Adam, 1e-4."""
        return Adam(self.net.parameters(), lr=rate or 1e-4)

    def loss(self, batch: Tensor) -> Tensor:
        """Squared error and SSIM of what is drawn, focal loss of where the defect is."""
        defects = with_defects(batch, self.textures)
        drawn, logits = self._drawn(defects.images)
        return self.criterion(batch, drawn, defects.masks[:, None], logits)

    def look(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """anomalib's map; the image's score is the largest value of the map smoothed, as in the paper."""
        found = self.net(batch)
        return smooth_scores(found.anomaly_map, self.img_size)[0], self.enlarged(found.anomaly_map)

    def _drawn(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What the model's forward gives while it trains, whatever mode it is in."""
        drawn = self.net.reconstructive_subnetwork(images)
        return drawn, self.net.discriminative_subnetwork(torch.cat([images, drawn], 1))
