"""ResNet-50 v1 against a plain re-computation, against v1.5, and against stored numbers."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from moleflow.extractors.cnn_extractor import CnnExtractor
from moleflow.extractors.weights import resolve_weights

SIZE = 64
GOLDEN = [0.655044, 0.538760, 5.066406, 1.780273]


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def extractor(path, backbone="resnet50_v1", layers=("layer2",), dim=512):
    return CnnExtractor(backbone, layers, dim, SIZE, SIZE // 8, resolve_weights(backbone, path, False, 0))


class Plain:
    """ResNet-50 v1 as in the paper: the stride of a stage lies in its first 1×1 convolution."""

    def __init__(self, path):
        self.w = {name: tensor.float() for name, tensor in load_file(path).items()}

    def conv_bn(self, x: Tensor, conv: str, bn: str, stride: int = 1) -> Tensor:
        kernel = self.w[f"{conv}.weight"]
        x = F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        mean, var, scale, shift = (self.w[f"{bn}.{n}"] for n in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, scale, shift)

    def block(self, x: Tensor, name: str, stride: int) -> Tensor:
        y = F.relu(self.conv_bn(x, f"{name}.conv1", f"{name}.bn1", stride))
        y = F.relu(self.conv_bn(y, f"{name}.conv2", f"{name}.bn2"))
        y = self.conv_bn(y, f"{name}.conv3", f"{name}.bn3")
        first = f"{name}.downsample.0.weight" in self.w
        return F.relu(y + (self.conv_bn(x, f"{name}.downsample.0", f"{name}.downsample.1", stride) if first else x))

    def layer2(self, images: Tensor) -> Tensor:
        mean = torch.tensor([0.48503, 0.45796, 0.40760]).view(3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        x = F.relu(self.conv_bn((images - mean) / std, "conv1", "bn1", 2))
        x = F.max_pool2d(x, 3, 2, 1)
        for number in range(3):
            x = self.block(x, f"layer1.{number}", 1)
        for number in range(4):
            x = self.block(x, f"layer2.{number}", 2 if number == 0 else 1)
        return x


def test_features_equal_a_plain_computation(shared_weights, images):
    stage = Plain(shared_weights).layer2(images)
    expected = F.avg_pool2d(stage, 3, 1, 1, count_include_pad=False).permute(0, 2, 3, 1)
    torch.testing.assert_close(extractor(shared_weights)(images), expected, rtol=2e-3, atol=1e-4)


def test_the_name_alone_tells_v1_from_v1_5(shared_weights, images):
    """The same file loads into timm's resnet50 without an error and means something else there."""
    v1, v1_5 = extractor(shared_weights), extractor(shared_weights, "resnet50")
    assert v1.fingerprint != v1_5.fingerprint
    expected, wrong = v1(images), v1_5(images)
    assert (wrong - expected).norm() > 0.1 * expected.norm()


def test_golden_values(shared_weights, images):
    features = extractor(shared_weights, layers=("layer1", "layer2", "layer3"), dim=768)(images)
    found = [features.mean().item(), features.std().item(), features.max().item(), features[1, 3, 5, 7].item()]
    assert found == pytest.approx(GOLDEN, abs=1e-3)
