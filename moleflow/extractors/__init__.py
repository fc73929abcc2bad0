"""Frozen backbones: images to grids of patch features."""

from moleflow.utils.torchvision_shim import import_torchvision

import_torchvision()  # timm imports torchvision, so this must run before any module of this package
