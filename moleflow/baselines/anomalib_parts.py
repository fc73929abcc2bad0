"""anomalib's torch models, imported only when one is asked for."""

import importlib
import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any

import numpy as np
import torch

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
    require_anomalib(f"the peer {name!r}")
    map_large_blocks()  # the greedy coreset frees and allocates some 20 MB thousands of times
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


@contextmanager
def quiet_and_seeded(seed: int) -> Iterator[None]:
    """Let anomalib draw from torch's and numpy's global generators as if they had just been seeded; both are put back.

    Its progress bars are not shown.
    """
    before = np.random.get_state()
    with torch.random.fork_rng(devices=[]), redirect_stderr(io.StringIO()):
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)
