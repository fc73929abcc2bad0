"""CFlow-AD (Gudovskiy et al., WACV 2022): a flow of single patches that is told their place."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moleflow.baselines.anomalib_parts import ANY_BACKBONE, ANY_LAYER, anomalib_part, torch_model
from moleflow.baselines.trained import TrainedPeer, enlarged
from moleflow.baselines.training import Training

PATCHES_AT_ONCE = 16_384
CONDITION = 128


class CFlow(TrainedPeer):
    """anomalib's ``CflowModel``: its decoder, its positional code and its likelihood, unchanged, on one map.

    Its network is taken out. Its map exp(log p − max) is anchored to the largest likelihood of the batch, so that an
    image's score would depend on the images beside it; here a patch scores −log p, the same order without the anchor.

    Args:
        img_size: side h of the pixel maps.
        coupling_blocks: couplings.
        fibers: patches a step, drawn anew from its images.
        training: how long.
        seed: of first weights, order and draws.
    """

    frozen = ("encoder.",)

    def __init__(
        self,
        img_size: int = 256,
        coupling_blocks: int = 8,
        fibers: int = 1024,
        training: Training | None = None,
        seed: int = 0,
    ):
        super().__init__(img_size, training, seed)
        self.make = torch_model("cflow", "CflowModel")
        utils = "models.image.cflow.utils"
        self.make_head, self.likelihood = (anomalib_part(utils, name) for name in ("cflow_head", "get_logp"))
        self.place_code = anomalib_part(utils, "positional_encoding_2d")
        self.coupling_blocks, self.fibers = coupling_blocks, fibers

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """The model for features of a shape (H, W, D)."""
        model = self.make(ANY_BACKBONE, [ANY_LAYER], False, condition_vector=CONDITION, coupling_blocks=1)
        model.encoder = nn.Identity()
        model.decoders = nn.ModuleList([self.make_head(CONDITION, self.coupling_blocks, 1.9, shape[2])])
        return model

    def loss(self, batch: Tensor) -> Tensor:
        """−log σ(log p / D), mean over patches drawn from the batch."""
        rows = torch.randperm(batch[..., 0].numel())[: self.fibers]
        patches, places = self._flat(batch)
        return -F.logsigmoid(self._log_p(patches[rows], places[rows])).mean()

    def look(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """−log p / D of each patch, enlarged; image score: the largest."""
        pairs = zip(*(part.split(PATCHES_AT_ONCE) for part in self._flat(batch)), strict=True)
        energy = -torch.cat([self._log_p(*pair) for pair in pairs]).reshape(batch.shape[:3])
        maps = enlarged(energy, self.img_size)
        return maps.amax((1, 2)), maps

    def _flat(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Patches (n, D) and the codes of their places (n, 128)."""
        count, height, width = batch.shape[:3]
        code = self.place_code(CONDITION, height, width).permute(1, 2, 0).flatten(0, 1)
        return batch.flatten(0, 2), code.repeat(count, 1)

    def _log_p(self, patches: Tensor, places: Tensor) -> Tensor:
        """Log-likelihood per channel, (n,)."""
        decoder: nn.Module = self.net.decoders[0]
        z, logdet = decoder(patches, [places])
        return self.likelihood(patches.shape[1], z, logdet) / patches.shape[1]
