"""Frozen backbones: images to grids of patch features."""
