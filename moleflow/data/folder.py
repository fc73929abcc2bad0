"""Any folder of products in the MVTec layout."""

from pathlib import Path

from moleflow.data.sample import GOOD, Sample
from moleflow.utils.errors import UsageError
from moleflow.utils.text import shown

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})

LAYOUT = (
    "<class>/train/good/*.png, <class>/test/good/*.png, <class>/test/<defect>/*.png "
    "and, where there are masks, <class>/ground_truth/<defect>/<image>_mask.png"
)


class FolderDataset:
    """Reader of ``class/{train/good, test/good, test/<defect>, ground_truth/<defect>}``.

    A folder that has ``train/good`` is a class. Images are the files whose extension, in any case, is one of
    ``IMAGE_SUFFIXES``; hidden files and all others are ignored. The mask of ``test/<defect>/000.png`` is
    ``000_mask.png`` or ``000.png`` in ``ground_truth/<defect>``; a defect type without such a folder ships no
    masks. A class may lack good test images, defective ones, or both.

    Attributes:
        expected: the only names that count as classes, in their order; empty: every name, alphabetically.
        normal: name of the folders of normal images.
        layout: the layout in words, for errors.

    Raises:
        UsageError: no class lies under ``root``.
    """

    name = "folder"
    expected: tuple[str, ...] = ()
    normal = GOOD
    layout = LAYOUT

    def __init__(self, root: Path) -> None:
        self.root = root
        self.classes = self._find_classes()
        if not self.classes:
            raise UsageError(self._nothing_found())

    def train(self, class_name: str) -> list[Sample]:
        """Normal training images of a class, sorted by relative path.

        Raises:
            UsageError: the class is absent or has no training image.
        """
        good = self._class_folder(class_name) / "train" / self.normal
        samples = [Sample(path, class_name, 0, GOOD, None) for path in images_in(good)]
        if not samples:
            raise UsageError(f"{shown(good)} holds no image: expected normal ones of {class_name!r} ({_suffixes()})")
        return samples

    def test(self, class_name: str) -> list[Sample]:
        """Test images of a class, good and defective, sorted by relative path.

        Raises:
            UsageError: the class is absent, or a defect type has masks but one of its images lacks its own.
        """
        folder = self._class_folder(class_name)
        samples = [
            sample for defect in folders_in(folder / "test") for sample in self._test_type(folder, class_name, defect)
        ]
        return sorted(samples, key=lambda sample: sample.path.relative_to(self.root).as_posix())

    def _test_type(self, folder: Path, class_name: str, defect: str) -> list[Sample]:
        """Samples of one folder under ``test``."""
        images = images_in(folder / "test" / defect)
        if defect == self.normal:
            return [Sample(path, class_name, 0, GOOD, None) for path in images]
        truth = folder / "ground_truth" / defect
        masks = {path.stem: path for path in images_in(truth)} if truth.is_dir() else None
        return [Sample(path, class_name, 1, defect, _mask_of(path, truth, masks)) for path in images]

    def _find_classes(self) -> tuple[str, ...]:
        found = [name for name in folders_in(self.root) if (self.root / name / "train" / self.normal).is_dir()]
        return tuple(name for name in self.expected if name in found) if self.expected else tuple(found)

    def _class_folder(self, class_name: str) -> Path:
        if class_name not in self.classes:
            lacking = f" ({class_name}/train/{self.normal} is missing)" if (self.root / class_name).is_dir() else ""
            found = shown(", ".join(self.classes))
            raise UsageError(f"no class {class_name!r} in {shown(self.root)}{shown(lacking)}; found {found}")
        return self.root / class_name

    def _nothing_found(self) -> str:
        found = sorted(path.name + "/" * path.is_dir() for path in self.root.iterdir())
        listing = ", ".join(found[:10]) + (f" and {len(found) - 10} more" if len(found) > 10 else "")
        names = f" with class one of {', '.join(self.expected)}" if self.expected else ""
        one_class = (self.root / "train" / self.normal).is_dir()
        hint = "; this looks like the folder of one class: give the folder above it" if one_class else ""
        return shown(
            f"no class of dataset {self.name!r} in {self.root}: expected {self.layout}{names}; "
            f"found {listing or 'an empty folder'}{hint}"
        )


def images_in(folder: Path) -> list[Path]:
    """Image files directly in a folder, sorted by name; none where the folder does not exist."""
    return [path for path in _listed(folder) if is_image(path)]


def folders_in(folder: Path) -> list[str]:
    """Names of the visible folders directly in a folder, sorted; none where the folder does not exist."""
    return [path.name for path in _listed(folder) if path.is_dir() and not path.name.startswith(".")]


def is_image(path: Path) -> bool:
    """Whether a path passes for an image: all with such a name but folders. What it truly is shows when it is read."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and not path.is_dir()


def _listed(folder: Path) -> list[Path]:
    """What is in a folder, sorted; nothing where it does not exist.

    Raises:
        UsageError: it cannot be listed.
    """
    try:
        return sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise UsageError(
            f"The folder {shown(folder)} cannot be listed ({error.strerror}): repair it, or its permissions."
        ) from error


def _mask_of(image: Path, truth: Path, masks: dict[str, Path] | None) -> Path | None:
    """The mask of a defective image; ``masks``: stem -> file, None where the defect type ships none."""
    if masks is None:
        return None
    mask = masks.get(f"{image.stem}_mask") or masks.get(image.stem)
    if mask is None:
        expected = shown(truth / (image.stem + "_mask.png"))
        raise UsageError(f"image {shown(image)} has no mask: expected {expected}")
    return mask


def _suffixes() -> str:
    return ", ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
