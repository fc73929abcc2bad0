"""FastFlow (Yu et al., 2021): a convolutional flow over the whole feature map."""

from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from moleflow.baselines.anomalib_parts import ANY_BACKBONE, anomalib_part, torch_model
from moleflow.baselines.trained import TrainedPeer
from moleflow.baselines.training import Training


class FastFlow(TrainedPeer):
    """anomalib's ``FastflowModel`` with its blocks, layer norm, loss and map, unchanged, on the one map of features.

    Its network is taken out. anomalib knows the channels of two backbones only, so that the block and the norm are made
    for ours by anomalib's own functions.

    Args:
        img_size: side h of the pixel maps.
        flow_steps: couplings.
        hidden_ratio: width of the subnets.
        training: how long.
        seed: of first weights and order.
    """

    frozen = ("feature_extractor.",)

    def __init__(
        self,
        img_size: int = 256,
        flow_steps: int = 8,
        hidden_ratio: float = 1.0,
        training: Training | None = None,
        seed: int = 0,
    ):
        super().__init__(img_size, training, seed)
        self.make = torch_model("fastflow", "FastflowModel")
        self.make_block = torch_model("fastflow", "create_fast_flow_block")
        self.criterion = anomalib_part("models.image.fastflow.loss", "FastflowLoss")()
        self.flow_steps, self.hidden_ratio = flow_steps, hidden_ratio

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """The model for features of a shape (H, W, D)."""
        height, width, dim = shape
        model = self.make((self.img_size, self.img_size), ANY_BACKBONE, False, flow_steps=1)
        model.feature_extractor = nn.Identity()
        block = self.make_block([dim, height, width], False, self.hidden_ratio, self.flow_steps)
        model.fast_flow_blocks = nn.ModuleList([block])
        model.norms = nn.ModuleList([nn.LayerNorm([dim, height, width])])
        return model

    def optimizer(self, rate: float | None) -> Optimizer:
        """Adam, 1e-3, weight decay 1e-5."""
        return Adam(self.net.parameters(), lr=rate or 1e-3, weight_decay=1e-5)

    def loss(self, batch: Tensor) -> Tensor:
        """½‖z‖² − log|det|, mean over images."""
        maps = self.net._get_cnn_features([batch.permute(0, 3, 1, 2)])
        hidden, logdets = zip(*map(self.net.fast_flow_blocks[0], maps), strict=True)
        return self.criterion(hidden, logdets)

    def look(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """anomalib's map, and its largest value."""
        found = self.net([batch.permute(0, 3, 1, 2)])
        return found.pred_score.flatten(), found.anomaly_map[:, 0]
