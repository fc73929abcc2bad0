"""MVTec AD (Bergmann et al., CVPR 2019): 15 products, read in the official order."""

from moleflow.data.facts import Counts, Facts
from moleflow.data.folder import FolderDataset

MVTEC_FACTS = Facts(
    counts={
        "bottle": Counts(209, 20, 63),
        "cable": Counts(224, 58, 92),
        "capsule": Counts(219, 23, 109),
        "carpet": Counts(280, 28, 89),
        "grid": Counts(264, 21, 57),
        "hazelnut": Counts(391, 40, 70),
        "leather": Counts(245, 32, 92),
        "metal_nut": Counts(220, 22, 93),
        "pill": Counts(267, 26, 141),
        "screw": Counts(320, 41, 119),
        "tile": Counts(230, 33, 84),
        "toothbrush": Counts(60, 12, 30),
        "transistor": Counts(213, 60, 40),
        "wood": Counts(247, 19, 60),
        "zipper": Counts(240, 32, 119),
    },
    textures=frozenset({"carpet", "grid", "leather", "tile", "wood"}),
    image_auroc={
        "bottle": 100.0, "cable": 99.5, "capsule": 98.1, "carpet": 98.7, "grid": 98.2, "hazelnut": 100.0,
        "leather": 100.0, "metal_nut": 100.0, "pill": 96.6, "screw": 98.1, "tile": 98.7, "toothbrush": 100.0,
        "transistor": 100.0, "wood": 99.2, "zipper": 98.8,
    },
)  # fmt: skip
"""Counts: 3629 train, 467 good, 1258 defective. AUROC: PatchCore-25 % (Roth et al., CVPR 2022), mean 99.1."""

MVTEC_CLASSES = tuple(MVTEC_FACTS.counts)


class MVTecDataset(FolderDataset):
    """The official classes that are in the folder; anything else there is ignored."""

    name = "mvtec"
    expected = MVTEC_CLASSES
