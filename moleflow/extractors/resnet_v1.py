"""ResNet-50 v1, the original of He et al. 2015 (Caffe/MSRA and Keras weights).

In v1 a down-sampling block has its stride in the first 1×1 convolution; torchvision and timm build v1.5, with the
stride in the 3×3 convolution. Both have the same weight names and shapes, so **the wrong file loads without an error
and computes nonsense**: nothing in a file tells v1 from v1.5, only the name ``resnet50_v1`` that the user chooses.
"""

from torch import nn

from moleflow.extractors.base import Normalization

NORMALIZATION = Normalization((0.48503, 0.45796, 0.40760), (0.229, 0.224, 0.225))


def move_strides(network: nn.Module) -> None:
    """Turn timm's ResNet-50 (v1.5, possibly cut after some stage) into v1, in place."""
    for name in ("layer2", "layer3", "layer4"):
        stage = getattr(network, name, None)
        if stage is not None:
            stage[0].conv1.stride = (2, 2)
            stage[0].conv2.stride = (1, 1)
