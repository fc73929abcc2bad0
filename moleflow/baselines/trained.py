"""Peers whose networks are trained by gradient."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer

from moleflow.baselines.base import IMAGES, Peer, PeerScores
from moleflow.baselines.randomness import seeded
from moleflow.baselines.training import Course, Hook, Training, train
from moleflow.models.scoring.smoothing import gaussian_blur
from moleflow.utils.errors import MoleflowError

SHAPE = "shape"
"""Name in a state of the shape that the network was built for."""
HELD_OUT_SHARE = 0.1
SIGMA = 4.0
"""Pixels by which maps of our own peers are smoothed, as the tool smooths its own."""


class TrainedPeer(Peer):
    """A network, a loss, an optimizer; ``training.train`` does the rest.

    Attributes:
        frozen: what the network's parts are called that come from elsewhere and are no part of the state.
        network: None before it is fitted or loaded.
        course: how the last training went.

    Args:
        img_size: side h of the pixel maps.
        training: how long.
        seed: of first weights, order and noise.
    """

    frozen: ClassVar[tuple[str, ...]] = ()

    def __init__(self, img_size: int = 256, training: Training | None = None, seed: int = 0):
        self.img_size, self.training, self.seed = img_size, training or Training(), seed
        self.network: nn.Module | None = None
        self.course: Course | None = None
        self._shape: tuple[int, ...] = ()

    @abstractmethod
    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """The network for inputs of this shape, with first weights."""

    @abstractmethod
    def loss(self, batch: Tensor) -> Tensor:
        """What is made small, a scalar, whatever mode the network is in."""

    @abstractmethod
    def look(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Image scores (B,) and maps (B, h, h) of a batch."""

    def optimizer(self, rate: float | None) -> Optimizer:
        """The recipe's optimizer, with this learning rate if one is given."""
        return Adam((p for p in self.net.parameters() if p.requires_grad), lr=rate or 1e-3)

    def hooks(self) -> tuple[Hook, ...]:
        """What else looks on while it is trained."""
        return ()

    def prepare(self, normal: Tensor) -> None:
        """Learn, before training, what is learned in closed form."""

    def finish(self, held_out: Tensor) -> None:
        """Learn, after training, from images that it was not trained on."""

    def shown(self, batch: Tensor) -> Tensor:
        """What the network is given of a batch."""
        return batch

    def fit(self, batches: Iterable[Tensor], held_out: Iterable[Tensor] = ()) -> None:
        """Train a new network."""
        normal, apart = (torch.cat([torch.empty(0), *map(self.shown, part)]) for part in (batches, held_out))
        with seeded(self.seed):
            if not len(apart):
                normal, apart = _parted(normal)
            self._begin(tuple(normal.shape[1:]))
            self.prepare(normal)
            optimizer = self.optimizer(self.training.learning_rate)
            self.course = train(self.net, self.loss, optimizer, normal, apart, self.training, self.hooks())
            with torch.no_grad():
                self.finish(apart)

    @torch.no_grad()
    def score(self, features: Tensor) -> PeerScores:
        """Scores by the network, in evaluation mode."""
        images, maps = self.look(self.shown(features))
        return PeerScores(images.numpy(), maps.numpy())

    @property
    def net(self) -> Any:
        """The network, with the parts that ``build`` gave it.

        Raises:
            MoleflowError: nothing was fitted.
        """
        if self.network is None:
            raise MoleflowError(f"{type(self).__name__} has no weights: call fit or load before score.")
        return self.network

    def state(self) -> dict[str, Tensor]:
        """The network's weights and statistics, and the shape it is for."""
        learned = {name: value for name, value in self.net.state_dict().items() if not name.startswith(self.frozen)}
        return {**learned, SHAPE: torch.tensor(self._shape)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Build the network and fill it."""
        self._begin(tuple(state[SHAPE].tolist()))
        kept = {name: value for name, value in self.net.state_dict().items() if name.startswith(self.frozen)}
        self.net.load_state_dict({**kept, **{name: value for name, value in state.items() if name != SHAPE}})
        self.net.eval()

    def _begin(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        with seeded(self.seed):
            self.network = self.build(shape).eval()


class ImagePeer(TrainedPeer):
    """A trained peer that looks at images.

    Args:
        img_size: side h of images and pixel maps.
        side: side of what the network is given, the image averaged down; None: the image as it is.
        training: how long.
        seed: of first weights, order and noise.
    """

    sees = IMAGES

    def __init__(self, img_size: int = 256, side: int | None = None, training: Training | None = None, seed: int = 0):
        super().__init__(img_size, training, seed)
        self.side = side or img_size

    def shown(self, batch: Tensor) -> Tensor:
        """The image in the network's size."""
        if batch.shape[-1] == self.side:
            return batch
        return F.interpolate(batch, size=(self.side, self.side), mode="bilinear", antialias=True)

    def enlarged(self, maps: Tensor) -> Tensor:
        """Maps (B, s, s) of any size in the image's size, (B, h, h)."""
        return enlarged(maps, self.img_size)


def enlarged(maps: Tensor, size: int) -> Tensor:
    """Bilinear: (B, s, s) -> (B, h, h)."""
    if maps.shape[-1] == size:
        return maps
    return F.interpolate(maps[:, None], size=(size, size), mode="bilinear", align_corners=False)[:, 0]


def smooth_scores(maps: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Maps (B, s, s) -> image scores (B,), the largest of the smoothed map, and that map (B, h, h)."""
    pixels = gaussian_blur(enlarged(maps, size)[:, None], SIGMA)[:, 0]
    return pixels.amax((1, 2)), pixels


def _parted(normal: Tensor) -> tuple[Tensor, Tensor]:
    """Training and held-out images, drawn at random; a single image is both."""
    order = torch.randperm(len(normal))
    count = max(1, round(HELD_OUT_SHARE * len(normal)))
    return normal[order[count:] if len(normal) > 1 else order], normal[order[:count]]
