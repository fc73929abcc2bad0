"""MPDD, painted metal parts (Jezek et al., ICUMT 2021): six products in the MVTec layout."""

from moleflow.data.facts import Counts, Facts
from moleflow.data.folder import FolderDataset

MPDD_FACTS = Facts(
    counts={
        "bracket_black": Counts(289, 32, 47),
        "bracket_brown": Counts(185, 26, 51),
        "bracket_white": Counts(110, 30, 30),
        "connector": Counts(128, 30, 14),
        "metal_plate": Counts(54, 26, 71),
        "tubes": Counts(122, 32, 69),
    }
)
"""Counts: 888 train, 176 good, 282 defective."""


class MPDDDataset(FolderDataset):
    """The official classes that are in the folder; anything else there is ignored."""

    name = "mpdd"
    expected = tuple(MPDD_FACTS.counts)
