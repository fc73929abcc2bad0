"""MVTec AD (Bergmann et al., CVPR 2019): 15 products, read in the official order."""

from moleflow.data.folder import FolderDataset

MVTEC_CLASSES = (
    "bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut",
    "pill", "screw", "tile", "toothbrush", "transistor", "wood", "zipper",
)  # fmt: skip


class MVTecDataset(FolderDataset):
    """The official classes that are in the folder; anything else there is ignored."""

    name = "mvtec"
    expected = MVTEC_CLASSES
