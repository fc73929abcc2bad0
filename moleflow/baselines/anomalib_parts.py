"""anomalib's torch models, imported only when one is asked for."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moleflow.utils.errors import UsageError
from moleflow.utils.memory import map_large_blocks
from moleflow.utils.torchvision_shim import import_torchvision

ANY_BACKBONE, ANY_LAYER = "resnet18", "layer1"
"""What a model is built with before its network is taken out: features come from elsewhere."""


def torch_model(name: str, model: str) -> Any:
    """A class of ``anomalib.models.image.<name>.torch_model``, unchanged.

    Raises:
        UsageError: anomalib is not installed.
    """
    map_large_blocks()  # PatchCore frees and allocates some 10 MB of distances for every image
    return anomalib_part(f"models.image.{name}.torch_model", model)


def anomalib_part(module: str, name: str) -> Any:
    """Something from a module of anomalib, unchanged.

    Raises:
        UsageError: anomalib is not installed.
    """
    require_anomalib(f"the peer that wraps its {name}")
    return getattr(importlib.import_module(f"anomalib.{module}"), name)


def require_anomalib(who: str) -> None:
    """Make sure that anomalib can be imported.

    Raises:
        UsageError: it is not installed; ``who`` needs it.
    """
    import_torchvision()
    try:
        importlib.import_module("anomalib")
    except ModuleNotFoundError as error:
        raise UsageError(
            f"anomalib is not installed, and {who} needs it: "
            "run `pip install -r requirements.txt -r requirements-baselines.txt`."
        ) from error


@contextmanager
def offline() -> Iterator[None]:
    """Let anomalib build its networks without a download; whoever asks for them fills in the weights."""
    import timm

    create = timm.create_model
    timm.create_model = lambda *args, **kwargs: create(*args, **{**kwargs, "pretrained": False})
    try:
        yield
    finally:
        timm.create_model = create
