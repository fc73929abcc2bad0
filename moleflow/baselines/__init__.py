"""Detectors of others behind the same data and evaluator: what the method is measured against."""

from moleflow.utils.torchvision_shim import import_torchvision

import_torchvision()  # timm and anomalib import torchvision

from moleflow.baselines.registry import get_model, list_models_by_category  # noqa: E402

__all__ = ["get_model", "list_models_by_category"]
