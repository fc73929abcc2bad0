"""Autoencoders: what a network that has seen normal images alone cannot draw again.

Ours, all on one small encoder and decoder, so that they differ in what their names say. The map is the squared error,
mean over colours, smoothed by σ = 4 pixels; the image's score is its largest value.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moleflow.baselines.networks import WIDTHS, BackboneEncoder, UNet, decoder, encoder
from moleflow.baselines.trained import ImagePeer, smooth_scores
from moleflow.baselines.training import Training

LATENT = 32
"""Channels of the code at stride 16."""
NOISE = 0.1


class VanillaAE(ImagePeer):
    """x̂ = d(e(x)), loss ‖x − x̂‖² (mean); the code has 1/24 of the image's numbers."""

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """Encoder, code, decoder."""
        return nn.ModuleDict(
            {"encode": self.encoder(), "code": nn.Conv2d(self.width, self.codes * LATENT, 1), "decode": decoder(LATENT)}
        )

    codes, width = 1, WIDTHS[-1]

    def encoder(self) -> nn.Module:
        """Images to features at stride 16."""
        return encoder()

    def code(self, batch: Tensor) -> Tensor:
        """Images to what the code's layer says, (B, codes · L, s/16, s/16)."""
        return self.net["code"](self.net["encode"](batch))

    def drawn(self, batch: Tensor) -> Tensor:
        """The image as it is drawn again."""
        return self.net["decode"](self.code(batch)[:, :LATENT])

    def loss(self, batch: Tensor) -> Tensor:
        """Mean squared error."""
        return F.mse_loss(self.drawn(batch), batch)

    def look(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Squared error of each pixel."""
        return smooth_scores((self.drawn(batch) - batch).square().mean(1), self.img_size)


class UNetAE(VanillaAE):
    """A U-Net that takes noise away (σ = 0.1): with its short cuts, drawing what it sees would teach it nothing."""

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """The U-Net."""
        return UNet()

    def drawn(self, batch: Tensor) -> Tensor:
        """The image as it is drawn again."""
        return self.net(batch)[0].sigmoid()

    def loss(self, batch: Tensor) -> Tensor:
        """Mean squared error to the clean image."""
        return F.mse_loss(self.drawn(batch + NOISE * torch.randn_like(batch)), batch)


class VAE(VanillaAE):
    """Kingma and Welling, 2014: loss = squared error + β·KL(N(μ, σ²) ‖ N(0, I)), per pixel; β = 1.

    Both terms are sums over an image, divided by its number of pixel values; errors count in units of variance 0.01.

    Args:
        img_size: side h of images and pixel maps.
        side: side of what the network is given.
        beta: β.
        training: how long.
        seed: of first weights, order and draws.
    """

    codes = 2
    variance = 0.01

    def __init__(
        self,
        img_size: int = 256,
        side: int | None = None,
        beta: float = 1.0,
        training: Training | None = None,
        seed: int = 0,
    ):
        super().__init__(img_size, side, training, seed)
        self.beta = beta

    def loss(self, batch: Tensor) -> Tensor:
        """Negative evidence lower bound, one draw."""
        mean, log_variance = self.code(batch).chunk(2, 1)
        log_variance = log_variance.clamp(-10, 10)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        error = (self.net["decode"](z) - batch).square().sum() / (2 * self.variance)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
        return (error + self.beta * divergence) / batch.numel()


class BetaVAE(VAE):
    """Higgins et al., ICLR 2017: β = 4."""

    def __init__(
        self,
        img_size: int = 256,
        side: int | None = None,
        beta: float = 4.0,
        training: Training | None = None,
        seed: int = 0,
    ):
        super().__init__(img_size, side, beta, training, seed)


class WAE(VanillaAE):
    """Tolstikhin et al., ICLR 2018: loss = squared error + λ·MMD²(codes, N(0, I)), inverse multiquadratic kernel.

    A code is what one place of the grid has, (L,); at most ``CODES`` of a batch are compared.

    Args:
        img_size: side h of images and pixel maps.
        side: side of what the network is given.
        weight: λ.
        training: how long.
        seed: of first weights, order and draws.
    """

    CODES = 256

    def __init__(
        self,
        img_size: int = 256,
        side: int | None = None,
        weight: float = 0.1,
        training: Training | None = None,
        seed: int = 0,
    ):
        super().__init__(img_size, side, training, seed)
        self.weight = weight

    def loss(self, batch: Tensor) -> Tensor:
        """Error and distance of distributions."""
        code = self.code(batch)
        codes = code.permute(0, 2, 3, 1).flatten(0, 2)
        codes = codes[torch.randperm(len(codes))[: self.CODES]]
        error = F.mse_loss(self.net["decode"](code), batch)
        return error + self.weight * mmd(codes, torch.randn_like(codes))


def mmd(first: Tensor, second: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of samples (n, d), kernel C/(C + ‖a − b‖²) with C = 2d; unbiased."""
    count, dim = first.shape

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        squared = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
        return 2 * dim / (2 * dim + squared.clamp_min(0))

    pairs = max(1, count * (count - 1))
    own = sum(kernel(a, a).sum() - count for a in (first, second)) / pairs
    return own - 2 * kernel(first, second).mean()


class BackboneAE(VanillaAE):
    """A known network as the encoder, trained along.

    Args:
        img_size: side h of images and pixel maps.
        side: side of what the network is given.
        encoder_name: timm's name of the encoder; None: the class's own.
        encoder_weights: file of its first weights; None: from scratch.
        training: how long.
        seed: of first weights and order.
    """

    default: str

    def __init__(
        self,
        img_size: int = 256,
        side: int | None = None,
        encoder_name: str | None = None,
        encoder_weights: str | None = None,
        training: Training | None = None,
        seed: int = 0,
    ):
        super().__init__(img_size, side, training, seed)
        self.encoder_name, self.encoder_weights = encoder_name or self.default, encoder_weights

    def encoder(self) -> nn.Module:
        """The network up to stride 16."""
        network = BackboneEncoder(self.encoder_name, self.encoder_weights)
        self.width = network.dim
        return network


class ResNetAE(BackboneAE):
    """``VanillaAE`` with a ResNet-18 as the encoder."""

    default = "resnet18"


class VGGAE(BackboneAE):
    """``VanillaAE`` with a VGG-11 as the encoder."""

    default = "vgg11_bn"
