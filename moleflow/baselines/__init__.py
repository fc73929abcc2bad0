"""Detectors of others behind the same features: what the method is measured against."""

from moleflow.baselines.registry import get_model, list_models_by_category

__all__ = ["get_model", "list_models_by_category"]
