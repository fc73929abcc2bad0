"""Images of one product, partitioned anew into three parts: to train on, to set thresholds with, to test on."""

from dataclasses import dataclass

from moleflow.data.sample import Sample

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """One class's images in three parts that share no image.

    Attributes:
        class_name: the product.
        train: normal images.
        val: normal and defective images; thresholds may be set with their labels, nothing is trained on them.
        test: normal and defective images; nothing is chosen with them.
    """

    class_name: str
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]

    def part(self, name: str) -> tuple[Sample, ...]:
        """The samples of one of ``PARTS``."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]
