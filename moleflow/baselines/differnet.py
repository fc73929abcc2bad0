"""DifferNet (Rudolph et al., WACV 2021): a flow of one vector an image; what moves its likelihood is the map."""

import torch
from FrEIA.framework import SequenceINN
from FrEIA.modules import AllInOneBlock
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from moleflow.baselines.trained import TrainedPeer, smooth_scores
from moleflow.baselines.training import Training

HIDDEN = 256


class DifferNet(TrainedPeer):
    """Couplings (FrEIA) over an image's pooled features; score ½‖z‖² per channel; map ‖∂score/∂patch‖.

    Ours, and smaller: the paper pools AlexNet's features of the image at three sizes, scores 64 rotated copies and
    takes gradients at pixels; here mean, spread and largest value over the grid stand in for the three sizes, one copy
    is scored, and gradients are taken at patches.

    Args:
        img_size: side h of the pixel maps.
        coupling_blocks: couplings.
        training: how long.
        seed: of first weights and order.
    """

    def __init__(self, img_size: int = 256, coupling_blocks: int = 8, training: Training | None = None, seed: int = 0):
        super().__init__(img_size, training, seed)
        self.coupling_blocks = coupling_blocks

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """Normalization by the training images, then the flow."""
        dim = 3 * shape[2]
        flow = SequenceINN(dim)
        for _ in range(self.coupling_blocks):
            flow.append(AllInOneBlock, subnet_constructor=_subnet, affine_clamping=1.9)
        return nn.ModuleDict({"flow": flow, "norm": nn.BatchNorm1d(dim, affine=False)})

    def prepare(self, normal: Tensor) -> None:
        """Mean and variance of the pooled features."""
        pooled = _pooled(normal)
        norm = self.net["norm"]
        norm.running_mean.copy_(pooled.mean(0))
        norm.running_var.copy_(pooled.var(0, correction=0))

    def optimizer(self, rate: float | None) -> Optimizer:
        """Adam, 2e-4, weight decay 1e-5."""
        return Adam(self.net.parameters(), lr=rate or 2e-4, weight_decay=1e-5, betas=(0.8, 0.8), eps=1e-4)

    def loss(self, batch: Tensor) -> Tensor:
        """(½‖z‖² − log|det|) per channel, mean over images."""
        z, logdet = self._latent(batch)
        return (0.5 * z.square().sum(1) - logdet).mean() / z.shape[1]

    def look(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Energy, and the length of its gradient at each patch."""
        with torch.enable_grad():
            patches = batch.detach().requires_grad_()
            energy = 0.5 * self._latent(patches)[0].square().mean(1)
            slope = torch.autograd.grad(energy.sum(), patches)[0]
        return energy.detach(), smooth_scores(slope.norm(dim=-1), self.img_size)[1]

    def _latent(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        self.net["norm"].eval()
        return self.net["flow"](self.net["norm"](_pooled(batch)))


def _pooled(features: Tensor) -> Tensor:
    """Mean, spread and largest value over the grid, (B, H, W, D) -> (B, 3D)."""
    patches = features.flatten(1, 2)
    return torch.cat([patches.mean(1), patches.std(1, correction=0), patches.amax(1)], 1)


def _subnet(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
                         nn.Linear(HIDDEN, outputs))  # fmt: skip
