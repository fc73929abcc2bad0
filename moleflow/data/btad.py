"""BTAD, beanTech anomaly detection (Mishra et al., ISIE 2021): three products, ``ok`` and ``ko`` images."""

from moleflow.data.facts import Counts, Facts
from moleflow.data.folder import FolderDataset

BTAD_FACTS = Facts(counts={"01": Counts(400, 21, 49), "02": Counts(None, 30, 200), "03": Counts(None, 400, 41)})
"""Counts: 451 good, 290 defective; of 02 and 03, one has 399 training images and one 1000, by source either way."""


class BTADDataset(FolderDataset):
    """Reader of ``class/{train/ok, test/ok, test/ko, ground_truth/ko}``.

    As published, images are .bmp or .png, and a mask has its image's name but not always its extension. The defect type
    is ``ko``; normal samples have ``good``, as in every dataset.
    """

    name = "btad"
    expected = tuple(BTAD_FACTS.counts)
    normal = "ok"
    layout = "<class>/train/ok/*, <class>/test/ok/*, <class>/test/ko/* and <class>/ground_truth/ko/* (.bmp or .png)"
