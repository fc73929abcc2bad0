"""Dinomaly (Guo et al., CVPR 2025): a transformer draws DINOv2's features again through a noisy bottleneck."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from moleflow.baselines.anomalib_parts import anomalib_part, offline, torch_model
from moleflow.baselines.trained import ImagePeer
from moleflow.baselines.training import Course, Hook, Training
from moleflow.extractors.backbones import find_backbone
from moleflow.extractors.weights import load_exactly, resolve_weights


class _Steps(Hook):
    """Counts: the loss looks at how far training is."""

    count = 0

    def step_ended(self, network: nn.Module, course: Course) -> str | None:
        """One more."""
        self.count = course.steps
        return None


class Dinomaly(ImagePeer):
    """anomalib's ``DinomalyModel``, its loss, optimizer and map, unchanged; the encoder's weights by the resolver.

    Args:
        img_size: side h of the pixel maps.
        side: side of what the network is given, a multiple of 14; None: the largest one within the image's.
        encoder_name: timm's name of a DINOv2 transformer.
        encoder_weights: file of its weights; None: where the resolver finds them.
        random_encoder: a random one, knowingly.
        target_layers: eight blocks of the encoder whose features are drawn; None: the model's own.
        training: how long.
        seed: of first weights, order and dropout.
    """

    frozen = ("encoder.",)

    def __init__(
        self,
        img_size: int = 256,
        side: int | None = None,
        encoder_name: str = "vit_base_patch14_reg4_dinov2",
        encoder_weights: str | None = None,
        random_encoder: bool = False,
        target_layers: Sequence[int] | None = None,
        training: Training | None = None,
        seed: int = 0,
    ):
        super().__init__(img_size, side or img_size // 14 * 14, training, seed)
        self.make = torch_model("dinomaly", "DinomalyModel")
        self.make_optimizer = anomalib_part("models.image.dinomaly.components.optimizer", "StableAdamW")
        self.encoder_name = encoder_name
        self.target_layers = None if target_layers is None else list(target_layers)
        self.normalization = find_backbone(encoder_name).normalization
        self.weights = resolve_weights(encoder_name, encoder_weights, random_encoder, seed)
        self.steps = _Steps()

    def shown(self, batch: Tensor) -> Tensor:
        """The image in the network's size, normalized."""
        mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in self.normalization)
        return (super().shown(batch) - mean) / std

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """Encoder, bottleneck, decoder."""
        with offline():
            model = self.make(self.encoder_name, target_layers=self.target_layers)
        load_exactly(model.encoder.feature_extractor, self.weights)
        model.requires_grad_(False)
        for part in (model.bottleneck, model.decoder):
            part.requires_grad_(True)
            part.apply(_first_weights)
        return model

    def optimizer(self, rate: float | None) -> Optimizer:
        """StableAdamW, 2e-3, weight decay 1e-4, AMSGrad."""
        learning = [parameter for parameter in self.net.parameters() if parameter.requires_grad]
        return self.make_optimizer(learning, lr=rate or 2e-3, weight_decay=1e-4, amsgrad=True, eps=1e-8)

    def hooks(self) -> tuple[Hook, ...]:
        """The counter."""
        return (self.steps,)

    def loss(self, batch: Tensor) -> Tensor:
        """Cosine distance of encoder's and decoder's features, easy places counting less as training goes on."""
        encoded, decoded = self.net.get_encoder_decoder_outputs(batch)
        if torch.is_grad_enabled():
            return self.net.loss_fn(encoded, decoded, self.steps.count)
        pairs = zip(encoded, decoded, strict=True)
        return torch.stack([1 - torch.cosine_similarity(a.flatten(1), b.flatten(1)).mean() for a, b in pairs]).mean()

    def look(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """anomalib's map, and the mean of its largest hundredth."""
        found = self.net(batch)
        return found.pred_score.flatten(), self.enlarged(found.anomaly_map[:, 0])


def _first_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.01, a=-0.03, b=0.03)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
