"""anomalib's torch models, imported only when one is asked for."""

import importlib
from typing import Any

from moleflow.utils.errors import UsageError
from moleflow.utils.torchvision_shim import import_torchvision

ANY_BACKBONE, ANY_LAYER = "resnet18", "layer1"
"""What a model is built with before its network is taken out: features come from elsewhere."""


def torch_model(name: str, model: str) -> Any:
    """A class of ``anomalib.models.image.<name>.torch_model``, unchanged.

    Raises:
        UsageError: anomalib is not installed.
    """
    require_anomalib(f"the peer {name!r}")
    return getattr(importlib.import_module(f"anomalib.models.image.{name}.torch_model"), model)


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
