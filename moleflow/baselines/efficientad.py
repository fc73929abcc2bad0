"""EfficientAD (Batzner et al., WACV 2024): a small teacher, its student, and an autoencoder for what is logical."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from moleflow.baselines.anomalib_parts import torch_model
from moleflow.baselines.auxiliary import auxiliary_images
from moleflow.baselines.trained import ImagePeer
from moleflow.baselines.training import Training
from moleflow.utils.errors import UsageError

QUANTILES = {"qa": 0.9, "qb": 0.995}


class EfficientAD(ImagePeer):
    """anomalib's ``EfficientAdModel``, its losses, quantiles and maps, unchanged.

    The teacher's weights are a download of anomalib's (``pretrained_teacher_small.pth``), which is never started here.
    Images of ImageNet, which keep the student from imitating the teacher where no product is, come from a folder.

    Args:
        img_size: side h of images and pixel maps, 256 or more (its autoencoder needs that).
        model_size: ``small`` or ``medium``.
        teacher_weights: the file.
        random_teacher: a random teacher, knowingly.
        imagenet: folder of photographs (Imagenette); None: generated textures.
        training: how long.
        seed: of first weights, order and changes of brightness.
    """

    frozen = ("teacher.",)

    def __init__(
        self,
        img_size: int = 256,
        model_size: str = "small",
        teacher_weights: str | None = None,
        random_teacher: bool = False,
        imagenet: str | None = None,
        training: Training | None = None,
        seed: int = 0,
    ):
        super().__init__(img_size, None, training, seed)
        self.make, sizes = (torch_model("efficient_ad", name) for name in ("EfficientAdModel", "EfficientAdModelSize"))
        if model_size not in [size.value for size in sizes]:
            raise UsageError(f"efficientad expects the model_size small or medium, found {model_size!r}.")
        self.model_size, self.imagenet = sizes(model_size), imagenet
        self.teacher_state = _teacher(teacher_weights, random_teacher, model_size)

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """Teacher, student, autoencoder."""
        model = self.make(model_size=self.model_size)
        if self.teacher_state is not None:
            model.teacher.load_state_dict(self.teacher_state)
        for part in (model.teacher, model.mean_std, model.quantiles):
            part.requires_grad_(False)
        return model

    def prepare(self, normal: Tensor) -> None:
        """Mean and spread of the teacher's channels; photographs."""
        self.photographs = auxiliary_images(self.imagenet, self.side, self.seed)
        with torch.no_grad():
            parts = [self.net.teacher(part) for part in normal.split(8)]
        channels = torch.cat([part.transpose(0, 1).flatten(1) for part in parts], 1)
        spread = channels.std(1, correction=0).clamp_min(1e-6)
        self._keep("mean_std", {"mean": channels.mean(1), "std": spread})

    def optimizer(self, rate: float | None) -> Optimizer:
        """Adam, 1e-4, weight decay 1e-5."""
        learning = [parameter for parameter in self.net.parameters() if parameter.requires_grad]
        return Adam(learning, lr=rate or 1e-4, weight_decay=1e-5)

    def loss(self, batch: Tensor) -> Tensor:
        """Student–teacher (hard places, and none on photographs), autoencoder–teacher, student–autoencoder."""
        photograph = self.photographs[torch.randint(len(self.photographs), (1,))]
        _, distance = self.net.compute_student_teacher_distance(batch)
        return torch.stack(self.net.compute_losses(batch, photograph, distance)).sum()

    def finish(self, held_out: Tensor) -> None:
        """Quantiles of both maps on held-out images."""
        pairs = [self.net.get_maps(part, normalize=False) for part in held_out.split(8)]
        both = {"st": torch.cat([pair[0] for pair in pairs]), "ae": torch.cat([pair[1] for pair in pairs])}
        for kind, maps in both.items():
            rows = maps.flatten()[:: max(1, maps.numel() // 2**24 + 1)]  # torch.quantile takes no more
            found = {f"{name}_{kind}": rows.quantile(share) for name, share in QUANTILES.items()}
            self._keep("quantiles", found)

    def look(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """anomalib's map, and its largest value."""
        found = self.net(batch)
        return found.pred_score.flatten(), found.anomaly_map[:, 0]

    def _keep(self, group: str, values: dict[str, Tensor]) -> None:
        kept = getattr(self.net, group)
        for name, value in values.items():
            kept[name].data.copy_(value.reshape(kept[name].shape))


def _teacher(weights: str | None, random: bool, size: str) -> dict[str, Tensor] | None:
    """The teacher's weights; None for random ones.

    Raises:
        UsageError: neither is given, or the file cannot be read.
    """
    if random:
        return None
    if weights is None or not Path(weights).is_file():
        raise UsageError(
            f"efficientad needs its teacher's weights, found {weights or 'none'}: give teacher_weights the file "
            f"pretrained_teacher_{size}.pth of anomalib's release, or ask for random_teacher knowingly."
        )
    try:
        return torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:  # rotten archives raise nearly anything
        raise UsageError(f"the teacher's weights {weights} are damaged, or hold more than tensors: {error}") from error
