"""Uninformed students (Bergmann et al., CVPR 2020): several small students, none of which has seen a defect."""

import torch
from torch import Tensor, nn

from moleflow.baselines.networks import conv_block, pyramid
from moleflow.baselines.trained import ImagePeer, smooth_scores
from moleflow.baselines.training import Training

STAGE = ("layer2",)
"""Of stride 8."""


class Students(nn.Module):
    """A frozen teacher's features, standardized, and what the students say they are.

    Args:
        teacher: images to stages; the last one is learned.
        dim: its channels.
        students: how many.
    """

    mean: Tensor
    std: Tensor
    scale: Tensor

    def __init__(self, teacher: nn.Module, dim: int, students: int):
        super().__init__()
        self.teacher = teacher
        self.students = nn.ModuleList([_student(dim) for _ in range(students)])
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))
        self.register_buffer("scale", torch.tensor([[0.0, 1.0], [0.0, 1.0]]))

    def target(self, images: Tensor) -> Tensor:
        """(B, 3, s, s) -> standardized features (B, D, s/8, s/8)."""
        self.teacher.eval()
        with torch.no_grad():
            stage = list(self.teacher(images).values())[-1]
        return (stage - self.mean[:, None, None]) / self.std[:, None, None]

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, s, s) -> (students, B, D, s/8, s/8)."""
        return torch.stack([student(images) for student in self.students])


class StudentTeacher(ImagePeer):
    """Score of a place: error of the students' mean, plus their variance, each standardized on held-out images.

    Ours, and smaller: the teacher is the shared backbone's stage of stride 8 instead of a distilled patch network; the
    students see 31 pixels around each place.

    Args:
        img_size: side h of images and pixel maps.
        backbone: the teacher.
        backbone_weights: file of its weights; None: where the resolver finds them.
        random_backbone: a random teacher, knowingly.
        students: how many.
        training: how long.
        seed: of first weights and order.
    """

    frozen = ("teacher.",)

    def __init__(
        self,
        img_size: int = 256,
        backbone: str = "tf_efficientnet_lite0",
        backbone_weights: str | None = None,
        random_backbone: bool = False,
        students: int = 3,
        training: Training | None = None,
        seed: int = 0,
    ):
        super().__init__(img_size, None, training, seed)
        self.teacher = pyramid(backbone, STAGE, backbone_weights, random_backbone, seed)
        self.students = students

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """Teacher and students."""
        dim = self.teacher(torch.zeros(1, 3, 64, 64))["0"].shape[1]
        return Students(self.teacher, dim, self.students)

    def prepare(self, normal: Tensor) -> None:
        """Mean and spread of the teacher's channels."""
        net = self._net
        stages = torch.cat([net.target(part).transpose(0, 1).flatten(1) for part in normal.split(32)], 1)
        net.mean.copy_(stages.mean(1))
        net.std.copy_(stages.std(1).clamp_min(1e-6))

    def loss(self, batch: Tensor) -> Tensor:
        """Mean squared error of every student."""
        return (self._net(batch) - self._net.target(batch)).square().mean()

    def finish(self, held_out: Tensor) -> None:
        """Mean and spread of errors and of variances."""
        parts = [torch.stack(self._raw(part)).flatten(1) for part in held_out.split(32)]
        found = torch.cat(parts, 1)
        self._net.scale.copy_(torch.stack([found.mean(1), found.std(1).clamp_min(1e-6)], 1))

    def look(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Both on one scale, in sum."""
        pairs = zip(self._raw(batch), self._net.scale, strict=True)
        return smooth_scores(torch.stack([(raw - mean) / std for raw, (mean, std) in pairs]).sum(0), self.img_size)

    def _raw(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Error of the mean and variance of the students, (B, s/8, s/8) each."""
        said = self._net(batch)
        error = (said.mean(0) - self._net.target(batch)).square().sum(1)
        return error, said.var(0, correction=0).sum(1)

    @property
    def _net(self) -> Students:
        assert isinstance(self.net, Students)
        return self.net


def _student(dim: int) -> nn.Sequential:
    """Three strided blocks, one more, a 1×1 convolution: (B, 3, s, s) -> (B, D, s/8, s/8)."""
    sizes = ((3, 32, 2), (32, 64, 2), (64, 64, 2), (64, 64, 1))
    return nn.Sequential(*(conv_block(*size) for size in sizes), nn.Conv2d(64, dim, 1))
