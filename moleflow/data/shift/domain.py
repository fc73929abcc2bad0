"""A shifted domain: which transforms, how strong, and one image of it from one seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from moleflow.data.shift.blur import Blur
from moleflow.data.shift.colour import Jitter
from moleflow.data.shift.crop import Crop
from moleflow.data.shift.geometry import remaining, warp
from moleflow.data.shift.illumination import Illumination
from moleflow.data.shift.noise import Noise
from moleflow.data.shift.rotation import Rotate
from moleflow.data.shift.transforms import Geometric, Parameters, Photometric
from moleflow.data.shift.translation import Translate
from moleflow.utils.errors import UsageError
from moleflow.utils.seed import derive_seed
from moleflow.utils.text import did_you_mean

SEVERITIES: Mapping[str, float] = {"mild": 0.5, "moderate": 1.0, "severe": 1.5}
"""Severity -> factor on every parameter's distance from doing nothing."""

GEOMETRIC: Mapping[str, Geometric] = {"rotation": Rotate(), "crop": Crop(), "translation": Translate()}
"""Applied as one map, in this order: the image is sampled once."""

PHOTOMETRIC: Mapping[str, Photometric] = {
    "colour": Jitter(), "illumination": Illumination(), "blur": Blur(), "noise": Noise()
}  # fmt: skip
"""Applied in this order: the scene, its light, the lens, the sensor."""

TRANSFORMS = (*GEOMETRIC, *PHOTOMETRIC)
KEPT = 0.5
"""Least share of a mask that must stay inside the image; otherwise the geometry is drawn again."""

ATTEMPTS = 50
"""Geometries tried before the one that keeps most of the mask is taken."""


@dataclass(frozen=True)
class ShiftedImage:
    """One image of the shifted domain.

    Attributes:
        image: uint8 (height, width, 3).
        mask: bool (height, width); None where there was none.
        parameters: transform -> what was drawn for it.
    """

    image: np.ndarray
    mask: np.ndarray | None
    parameters: Mapping[str, Parameters]


@dataclass(frozen=True)
class DomainShift:
    """Transforms of one severity. A single transform is a variant: it does to an image what it does among all of them.

    Attributes:
        severity: one of ``SEVERITIES``.
        transforms: some of ``TRANSFORMS``.

    Raises:
        UsageError: either is unknown, or there is no transform.
    """

    severity: str = "moderate"
    transforms: tuple[str, ...] = TRANSFORMS

    def __post_init__(self) -> None:
        _known("severity", [self.severity], SEVERITIES)
        _known("transform", self.transforms, dict.fromkeys(TRANSFORMS))
        if not self.transforms:
            raise UsageError(f"a shifted domain needs a transform: give some of {', '.join(TRANSFORMS)}")

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, seed: int) -> ShiftedImage:
        """One image and its mask, shifted with parameters that depend on the seed (and on whether the mask survives).

        Args:
            image: uint8 (height, width, 3).
            mask: bool (height, width), or None.
            seed: of this image.
        """
        return replay(image, mask, {**self._geometry(mask, seed), **self._draw(PHOTOMETRIC, seed)})

    def _geometry(self, mask: np.ndarray | None, seed: int) -> dict[str, Parameters]:
        """Parameters of the first geometry that keeps enough of the mask."""
        kept: dict[float, dict[str, Parameters]] = {}
        for attempt in range(ATTEMPTS):
            parameters = self._draw(GEOMETRIC, seed, attempt)
            share = 1.0 if mask is None else _share_kept(mask, parameters)
            if share >= KEPT:
                return parameters
            kept.setdefault(share, parameters)
        return kept[max(kept)]

    def _draw(
        self, table: Mapping[str, Geometric] | Mapping[str, Photometric], seed: int, attempt: int = 0
    ) -> dict[str, Parameters]:
        """Parameters of the chosen transforms of one table; each transform has a stream of its own."""
        strength = SEVERITIES[self.severity]
        return {
            name: transform.draw(np.random.default_rng(derive_seed(seed, name, str(attempt))), strength)
            for name, transform in table.items()
            if name in self.transforms
        }


def replay(image: np.ndarray, mask: np.ndarray | None, parameters: Mapping[str, Parameters]) -> ShiftedImage:
    """An image shifted with parameters that were written down. Shapes as in ``DomainShift``."""
    moved, moved_mask = _moved(image, mask, parameters)
    return ShiftedImage(_relit(moved, parameters), moved_mask, parameters)


def geometry_of(parameters: Mapping[str, Parameters], width: int, height: int) -> np.ndarray:
    """(3, 3), from a point (x, y, 1) of a shifted image to its source, in pixels; its inverse leads there.

    The first transform acts on the source, so its matrix stands on the left.
    """
    matrix = np.eye(3)
    for name, transform in GEOMETRIC.items():
        if name in parameters:
            matrix = matrix @ transform.matrix(parameters[name], width, height)
    return matrix


def _moved(
    image: np.ndarray, mask: np.ndarray | None, parameters: Mapping[str, Parameters]
) -> tuple[np.ndarray, np.ndarray | None]:
    if not parameters.keys() & GEOMETRIC.keys():
        return image, mask
    matrix = geometry_of(parameters, image.shape[1], image.shape[0])
    return warp(image, matrix), None if mask is None else warp(mask, matrix)


def _relit(image: np.ndarray, parameters: Mapping[str, Parameters]) -> np.ndarray:
    if not parameters.keys() & PHOTOMETRIC.keys():
        return image
    colours = image.astype(np.float32) / 255
    for name, transform in PHOTOMETRIC.items():
        if name in parameters:
            colours = transform.apply(colours, parameters[name])
    return np.round(255 * np.clip(colours, 0, 1)).astype(np.uint8)


def _share_kept(mask: np.ndarray, parameters: Mapping[str, Parameters]) -> float:
    """Share of a mask inside the picture; 0 where sampling would lose a mask that is not empty."""
    matrix = geometry_of(parameters, mask.shape[1], mask.shape[0])
    lost = mask.any() and not warp(mask, matrix).any()
    return 0.0 if lost else remaining(mask, matrix)


def _known(kind: str, names: Sequence[str], table: Mapping[str, object]) -> None:
    for name in names:
        if name not in table:
            hint = did_you_mean(name, table)
            raise UsageError(f"unknown {kind} {name!r} of a shifted domain, expected one of {', '.join(table)}{hint}")
