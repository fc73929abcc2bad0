"""STFPM (Wang et al., BMVC 2021): a student learns to have the teacher's feature maps at three strides."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from moleflow.baselines.anomalib_parts import ANY_BACKBONE, ANY_LAYER, anomalib_part, offline, torch_model
from moleflow.baselines.networks import pyramid
from moleflow.baselines.trained import ImagePeer
from moleflow.baselines.training import Training


class STFPM(ImagePeer):
    """anomalib's ``STFPMModel``, its loss and its map, unchanged; both networks are ours.

    Args:
        img_size: side h of images and pixel maps.
        backbone: teacher, and the student's architecture.
        layers: the stages that are compared.
        backbone_weights: file of the teacher's weights; None: where the resolver finds them.
        random_backbone: a random teacher, knowingly.
        training: how long.
        seed: of first weights and order.
    """

    frozen = ("teacher_model.",)

    def __init__(
        self,
        img_size: int = 256,
        backbone: str = "tf_efficientnet_lite0",
        layers: Sequence[str] = ("layer1", "layer2", "layer3"),
        backbone_weights: str | None = None,
        random_backbone: bool = False,
        training: Training | None = None,
        seed: int = 0,
    ):
        super().__init__(img_size, None, training, seed)
        self.make = torch_model("stfpm", "STFPMModel")
        self.criterion = anomalib_part("models.image.stfpm.loss", "STFPMLoss")()
        self.teacher = pyramid(backbone, layers, backbone_weights, random_backbone, seed)

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """Teacher and student."""
        with offline():
            model = self.make([ANY_LAYER], ANY_BACKBONE)
        model.teacher_model = self.teacher
        model.student_model = self.teacher.untrained()
        return model

    def optimizer(self, rate: float | None) -> Optimizer:
        """SGD, 0.4, momentum 0.9, weight decay 1e-3."""
        student: nn.Module = self.net.student_model
        return SGD(student.parameters(), lr=rate or 0.4, momentum=0.9, weight_decay=1e-3)

    def loss(self, batch: Tensor) -> Tensor:
        """½·Σ over stages of the squared distance of normalized features, mean over places."""
        self.teacher.eval()
        student: nn.Module = self.net.student_model
        return self.criterion(self.teacher(batch), student(batch)) / len(batch)

    def look(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """anomalib's map, and its largest value."""
        found = self.net(batch)
        return found.pred_score.flatten(), found.anomaly_map[:, 0]
