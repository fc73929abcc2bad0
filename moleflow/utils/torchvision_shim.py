"""Import torchvision where its compiled operators cannot load.

A torchvision wheel built for CUDA beside a CPU torch (what ``pip install torchvision`` gives on many machines) stops at
``operator torchvision::nms does not exist``. This project, and timm, need none of its compiled operators: declaring the
two schemas that the import refers to is enough.
"""

import importlib
import sys
from types import ModuleType

import torch

from moleflow.utils.collecting import not_collecting
from moleflow.utils.errors import MoleflowError

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_SYMPTOM = "operator torchvision::nms does not exist"
_declared: list[torch.library.Library] = []  # the schemas vanish with the Library object that declared them


def import_torchvision() -> ModuleType:
    """torchvision, imported plainly where that works. Call it before anything imports timm.

    Raises:
        MoleflowError: torchvision is not installed.
    """
    with not_collecting():
        return _imported()


def _imported() -> ModuleType:
    try:
        return importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        raise MoleflowError("torchvision is not installed: run `pip install -r requirements.txt`") from error
    except RuntimeError as error:
        if _SYMPTOM not in str(error):
            raise
    _declare_operators()
    _forget_half_imported()
    return importlib.import_module("torchvision")


def _declare_operators() -> None:
    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    _declared.append(library)


def _forget_half_imported() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
