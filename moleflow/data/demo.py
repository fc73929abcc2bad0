"""The demo dataset: generated products in the MVTec layout, the same bytes for the same seed, no download.

Each image depends on (seed, class, split, index) alone. A defective image is its own flawless twin, changed
only in its mask: where the rendering with the defect differs visibly from the one without, before noise.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import binary_opening

from moleflow.data.folder import FolderDataset
from moleflow.data.products import PRODUCTS
from moleflow.data.products.paint import grid
from moleflow.utils.errors import UsageError
from moleflow.utils.seed import derive_seed
from moleflow.utils.text import did_you_mean

MANIFEST = "demo.json"
VERSION = 1
"""Raised whenever the pictures change, so that folders of an older version are made anew."""

SMALLEST = 64
"""Least side of an image at which every defect still shows."""

VISIBLE = 0.03
"""Least change of a colour channel (0..1) that counts as defect: four standard deviations of the noise."""

NOISE = 0.0075
"""Standard deviation of the camera's noise."""


class DemoDataset(FolderDataset):
    """What ``write_demo`` has written, in the products' order."""

    name = "demo"
    expected = tuple(PRODUCTS)


def write_demo(
    root: Path,
    seed: int = 0,
    classes: Sequence[str] | None = None,
    train: int = 40,
    test_good: int = 15,
    per_defect: int = 6,
    size: int = 256,
) -> Path:
    """Write the demo dataset to ``root`` unless it is there already, and return ``root``.

    The images are made in a folder beside ``root`` that takes its name when all are there, the manifest last:
    an interrupted call leaves nothing under that name. A folder of other settings is replaced; one of the same
    settings keeps the classes it has.

    Args:
        root: folder to create.
        seed: seed of every picture.
        classes: products to draw; None: all of ``PRODUCTS``.
        train: normal training images of a class.
        test_good: normal test images of a class.
        per_defect: defective test images of each of a class's defect types.
        size: side of an image in pixels.

    Raises:
        UsageError: a class is unknown, a number too small, or ``root`` holds what this function never wrote.
    """
    root = Path(root)
    asked = _checked(classes)
    if size < SMALLEST or train < 1:
        raise UsageError(f"the demo needs size >= {SMALLEST} and train >= 1, found {size} and {train}")
    settings = {
        "version": VERSION, "seed": seed, "size": size,
        "train": train, "test_good": test_good, "per_defect": per_defect,
    }  # fmt: skip
    present = _present(root, settings)
    if asked <= present:
        return root
    _refuse_foreign(root)
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as temporary:
        made = Path(temporary) / "made"
        _write_all(made, asked | present, settings)
        if not asked <= _present(root, settings):  # else another process was faster
            _replace(root, made)
    return root


def render(seed: int, class_name: str, split: str, index: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One demo image, its flawless twin and its mask.

    Args:
        seed: the dataset's seed.
        class_name: one of ``PRODUCTS``.
        split: ``train/good``, ``test/good`` or ``test/<defect>``.
        index: number of the image in its split.
        size: side in pixels.

    Returns:
        (image, twin, mask): uint8 (size, size, 3) twice and bool (size, size); outside the mask, image and twin
        are equal.
    """
    product = PRODUCTS[class_name]
    rng = np.random.default_rng(derive_seed(seed, class_name, split, str(index)))
    scene = product.draw(rng, size)
    light = _light(rng, size)
    grain = np.float32(NOISE) * rng.standard_normal((size, size, 1), dtype=np.float32)
    defect = _defect_of(class_name, split)
    changed = product.defects[defect](scene, rng) if defect else scene.image
    difference = np.abs(np.clip(changed * light, 0, 1) - np.clip(scene.image * light, 0, 1)).max(axis=-1)
    mask = binary_opening(difference > VISIBLE, np.ones((2, 2)))
    twin = _quantised(scene.image * light + grain)
    return np.where(mask[..., None], _quantised(changed * light + grain), twin), twin, mask


def _light(rng: np.random.Generator, size: int) -> np.ndarray:
    """Brightness of the illumination, (S, S, 1): a slope in a random direction and a gain."""
    y, x = grid(size)
    slope_y, slope_x = rng.uniform(-0.08, 0.08, 2).astype(np.float32)
    gain = np.float32(rng.uniform(0.95, 1.05))
    return (gain * (1 + slope_y * (y - 0.5) + slope_x * (x - 0.5)))[..., None]


def _quantised(image: np.ndarray) -> np.ndarray:
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _defect_of(class_name: str, split: str) -> str | None:
    """The defect type of a split; None where its images are good."""
    name = split.removeprefix("test/")
    return name if name in PRODUCTS[class_name].defects else None


def _write_all(root: Path, classes: set[str], settings: dict[str, int]) -> None:
    """Every image and mask of the classes, then the manifest."""
    names = [name for name in PRODUCTS if name in classes]
    for name in names:
        for split, count in _splits(name, settings):
            for index in range(count):
                _write_image(root, settings["seed"], name, split, index, settings["size"])
    (root / MANIFEST).write_text(json.dumps({**settings, "classes": names}, indent=1) + "\n")


def _splits(class_name: str, settings: dict[str, int]) -> Iterator[tuple[str, int]]:
    """(folder, number of images) of a class."""
    yield "train/good", settings["train"]
    yield "test/good", settings["test_good"]
    for defect in PRODUCTS[class_name].defects:
        yield f"test/{defect}", settings["per_defect"]


def _write_image(root: Path, seed: int, class_name: str, split: str, index: int, size: int) -> None:
    image, _, mask = render(seed, class_name, split, index, size)
    _save(image, root / class_name / split / f"{index:03}.png")
    if _defect_of(class_name, split):
        truth = root / class_name / split.replace("test/", "ground_truth/")
        _save(mask.astype(np.uint8) * 255, truth / f"{index:03}_mask.png")


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)


def _checked(classes: Sequence[str] | None) -> set[str]:
    """The products asked for."""
    for name in classes or ():
        if name not in PRODUCTS:
            hint = did_you_mean(name, PRODUCTS)
            raise UsageError(f"unknown demo class {name!r}, expected some of {', '.join(PRODUCTS)}{hint}")
    return set(classes or PRODUCTS)


def _read_manifest(root: Path) -> dict[str, Any]:
    """The manifest; empty where there is none that can be read."""
    try:
        manifest = json.loads((root / MANIFEST).read_text())
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _present(root: Path, settings: dict[str, int]) -> set[str]:
    """The classes that the folder holds, made with these settings and with no file gone since."""
    manifest = _read_manifest(root)
    if any(manifest.get(key) != value for key, value in settings.items()):
        return set()
    good = settings["train"] + settings["test_good"]
    defective = {name: settings["per_defect"] * len(product.defects) for name, product in PRODUCTS.items()}
    listed = [name for name in manifest.get("classes", ()) if name in PRODUCTS]
    return {name for name in listed if _count(root / name) == good + 2 * defective[name]}


def _count(folder: Path) -> int:
    """Images and masks below a folder."""
    return sum(1 for _ in folder.rglob("*.png"))


def _refuse_foreign(root: Path) -> None:
    """Only an empty folder, or one that holds nothing but a former demo, may be replaced."""
    if not root.exists():
        return
    found = {path.name for path in root.iterdir()} if root.is_dir() else {root.name}
    own = {MANIFEST, *_read_manifest(root).get("classes", ())} if (root / MANIFEST).is_file() else set()
    if foreign := sorted(found - own):
        raise UsageError(
            f"{root} holds {foreign[0]!r}, which the demo did not write: "
            "give an empty or new folder, or delete this one yourself"
        )


def _replace(root: Path, made: Path) -> None:
    """Move the finished folder to ``root``; what was there goes with the temporary folder."""
    if root.exists():
        os.rename(root, made.with_name("replaced"))
    os.rename(made, root)
