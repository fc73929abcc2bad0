"""Backbones by name: timm's, and what is special about a few of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from moleflow.extractors import lite0, resnet_v1
from moleflow.extractors.base import Normalization
from moleflow.extractors.library import timm
from moleflow.utils.errors import UsageError
from moleflow.utils.text import did_you_mean


def _leave(network: nn.Module) -> None:
    """timm's network is the right one."""


def _keep(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return state


def _no_file() -> Path | None:
    return None


@dataclass(frozen=True)
class Backbone:
    """How to build one backbone and read its weights.

    Attributes:
        name: what the user calls it.
        timm_name: what timm calls its network.
        normalization: of its input.
        adapt: changes timm's network in place.
        rename: brings a weights file to timm's names.
        packaged_file: weights in an installed package, None where there are none.
        on_hub: whether the hub's weights of ``timm_name`` are this backbone's.
    """

    name: str
    timm_name: str
    normalization: Normalization
    adapt: Callable[[nn.Module], None] = _leave
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]] = _keep
    packaged_file: Callable[[], Path | None] = _no_file
    on_hub: bool = True

    @property
    def architecture(self) -> str:
        """Its name without the tag that says which weights."""
        return self.name.split(".")[0]


def find_backbone(name: str) -> Backbone:
    """The backbone of this name.

    Raises:
        UsageError: neither timm nor this project knows it.
    """
    if name == "resnet50_v1":
        return Backbone(name, "resnet50", resnet_v1.NORMALIZATION, adapt=resnet_v1.move_strides, on_hub=False)
    normalization = _timm_normalization(name)
    if name.split(".")[0] == "tf_efficientnet_lite0":
        return Backbone(name, name, lite0.NORMALIZATION, rename=lite0.to_timm_names, packaged_file=lite0.packaged_file)
    return Backbone(name, name, normalization)


def _timm_normalization(name: str) -> Normalization:
    known = ["resnet50_v1", *timm.list_models()]
    if not timm.is_model(name):
        raise UsageError(f"unknown backbone {name!r}, expected resnet50_v1 or one of timm's{did_you_mean(name, known)}")
    try:
        config: Any = timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as error:
        tags = timm.list_pretrained(f"{name.split('.')[0]}.*")
        raise UsageError(f"backbone {name!r} has no such weights, expected one of {', '.join(tags)}") from error
    return Normalization(tuple(config.mean), tuple(config.std))
