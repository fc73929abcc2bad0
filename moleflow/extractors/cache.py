"""E4: features of image files, computed once and kept on disk."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from moleflow.data.images import SKIP, BadImage, load_input
from moleflow.data.sample import Sample
from moleflow.extractors.base import STORAGE_DTYPE, Extractor
from moleflow.extractors.feature_files import FeatureFiles
from moleflow.utils.io import open_regular

Outcome = np.ndarray | BadImage
"""What became of an image: an array, or why there is none."""

View = tuple[Path, float]
"""What makes two samples the same picture: file and rotation."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class FeatureStore:
    """Features of samples, from disk where they are kept and from the backbone where they are not.

    An image's features are the same bytes whichever way they come, whatever else is asked for with it, and however many
    threads work: the backbone always sees squares in batches of one size (the last filled with zeros) and images of
    another shape one by one, each computed by one thread, and what it says is rounded to fp16. On a CPU all of torch's
    threads work side by side, a batch each.

    Files are named by what changes features: the extractor's fingerprint, the image's content and rotation, ``resize``,
    the type of the device and ``batch_size`` (the last two move last bits).

    Attributes:
        backbone_calls: images that the backbone has seen, without padding.
    """

    def __init__(
        self,
        extractor: Extractor,
        resize: str,
        directory: Path | None,
        batch_size: int = 4,
        num_workers: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        """Open a store; nothing is computed or written yet.

        Args:
            extractor: moved to the device.
            resize: how images are brought to the extractor's size: ``squash``, ``pad``, ``crop`` or ``fit``.
            directory: where features are kept; None keeps nothing and computes them whenever they are asked for.
            batch_size: images the backbone sees at once; four keep a CPU's caches warm.
            num_workers: threads that decode images for a GPU.
            device: where the backbone runs.
        """
        self.device = torch.device(device)
        self.extractor = extractor.to(self.device)
        self.resize = resize
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.backbone_calls = 0
        self._prepared: dict[View, str] = {}
        self._shape = (*extractor.grid, extractor.dim)
        self._files: FeatureFiles | None = None
        if directory is not None:
            self._files = FeatureFiles(Path(directory) / extractor.fingerprint[:16], self._shape)

    def prepare(
        self, samples: Sequence[Sample], on_bad_image: str = "error", title: str | None = None
    ) -> tuple[list[Sample], list[BadImage]]:
        """Make sure of every sample's features; a store that keeps nothing makes sure that the images can be decoded.

        What is kept stays what it was now: a file that is changed or taken away later is seen by the next ``prepare``.

        Args:
            samples: what will be asked for.
            on_bad_image: ``error`` stops at the first unusable image, ``skip`` leaves them out.
            title: of a progress bar; None shows none.

        Returns:
            The usable samples in their order, and what is wrong with the others.

        Raises:
            BadImage: an image cannot be read, or its features are not finite in fp16.
        """
        for view in map(_view, samples):
            self._prepared.pop(view, None)
        missing = list({_view(sample): sample for sample in samples if not self._holds(sample)}.values())
        outcomes = self._in_batches(missing, self._load) if self._files is None else self._computed(missing)
        bad: dict[Path, BadImage] = {}
        hidden = True if title is None or not missing else None  # None: shown on terminals only
        for sample, outcome in tqdm(outcomes, title, total=len(missing), unit="image", leave=False, disable=hidden):
            if isinstance(outcome, BadImage):
                if on_bad_image == "error":
                    raise BadImage(outcome.path, f"{outcome.reason}; {SKIP}") from outcome
                bad[sample.path] = outcome
        good = [sample for sample in samples if sample.path not in bad]
        keys = {_view(sample): self._key_now(sample) for sample in good}
        self._prepared |= {view: key for view, key in keys.items() if key is not None}
        return good, list(bad.values())

    def features(self, samples: Sequence[Sample]) -> Tensor:
        """Patch features of samples, float32 (n, H, W, D), on the CPU.

        Raises:
            BadImage: an image cannot be read, or its features are not finite in fp16.
        """
        result = np.empty((len(samples), *self._shape), dtype=np.float16)
        missing: dict[View, list[int]] = {}
        self.expect(samples)
        for row, sample in enumerate(samples):
            if not self._read(sample, result[row]):
                missing.setdefault(_view(sample), []).append(row)
        for sample, outcome in self._computed([samples[rows[0]] for rows in missing.values()]):
            result[missing[_view(sample)]] = usable(outcome)
        return torch.from_numpy(result).float()

    def expect(self, samples: Sequence[Sample]) -> None:
        """Say that these are asked for soon: the disk reads what is kept of them meanwhile."""
        if self._files is not None:
            self._files.expect([key for key in map(self._kept_as, samples) if key is not None])

    def _holds(self, sample: Sample) -> bool:
        key = self._kept_as(sample)
        return self._files is not None and key is not None and self._files.holds(key)

    def _read(self, sample: Sample, place: np.ndarray) -> bool:
        key = self._kept_as(sample)
        return self._files is not None and key is not None and self._files.read(key, place)

    def _kept_as(self, sample: Sample) -> str | None:
        return self._prepared.get(_view(sample)) or self._key_now(sample)

    def _key_now(self, sample: Sample) -> str | None:
        """The name of a sample's features by what its file holds now; None: decoding will say what is wrong."""
        try:
            return None if self._files is None else self._key(sample)
        except OSError:
            return None

    def _key(self, sample: Sample) -> str:
        stat = sample.path.stat()
        content = _content_hash(sample.path, stat.st_mtime_ns, stat.st_size)
        text = f"{content} {self.resize} {self.device.type} {self.batch_size}"
        if sample.rotation:
            text += f" rotated {sample.rotation!r}"
        return hashlib.sha256(text.encode()).hexdigest()

    def _computed(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Outcome]]:
        """Every sample with its features in fp16, which are kept on the way."""
        for sample, (outcome, key) in self._in_batches(samples, self._extract):
            if not isinstance(outcome, BadImage):
                self.backbone_calls += 1
                if self._files is not None and key is not None:
                    self._files.write(key, outcome)
            yield sample, outcome

    def _in_batches(
        self, samples: Sequence[Sample], work: Callable[[Sequence[Sample]], list[Result]]
    ) -> Iterator[tuple[Sample, Result]]:
        """Every sample with its outcome, in order; several batches are worked on at a time."""
        batches = [samples[start : start + self.batch_size] for start in range(0, len(samples), self.batch_size)]
        threads = torch.get_num_threads() if self.device.type == "cpu" else max(1, self.num_workers)
        outcomes = (outcome for batch in _side_by_side(work, batches, threads) for outcome in batch)
        return zip(samples, outcomes, strict=True)

    def _load(self, samples: Sequence[Sample]) -> list[Outcome]:
        """Images as uint8 (s, s, 3); with ``fit`` they keep their shapes."""
        images: list[Outcome] = []
        for sample in samples:
            try:
                images.append(load_input(sample.path, self.extractor.img_size, self.resize, sample.rotation))
            except BadImage as bad:
                images.append(bad)
        return images

    def _extract(self, samples: Sequence[Sample]) -> list[tuple[Outcome, str | None]]:
        """Features (H, W, D) in fp16 of at most ``batch_size`` images, each with the name to keep it under."""
        keys = [self._key_now(sample) for sample in samples]
        images = self._load(samples)
        readable = [image for image in images if not isinstance(image, BadImage)]
        features = iter(self._forward(readable))
        found = [image if isinstance(image, BadImage) else next(features) for image in images]
        outcomes = [_finite(sample.path, outcome) for sample, outcome in zip(samples, found, strict=True)]
        return [(self._unchanged(*held), held[-1]) for held in zip(samples, outcomes, keys, strict=True)]

    def _unchanged(self, sample: Sample, outcome: Outcome, key: str | None) -> Outcome:
        """The outcome, unless the file was written to while it was read: no name fits what was decoded then."""
        if isinstance(outcome, BadImage) or self._key_now(sample) == key:
            return outcome
        return BadImage(sample.path, "it was changed while it was read")

    def _forward(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Features (H, W, D) in fp16 of images, uint8 (h, w, 3): of the squares together, of each other one alone."""
        square = (self.extractor.img_size,) * 2
        squares = [image for image in images if image.shape[:2] == square]
        together = iter(self._pass(_filled(squares, self.batch_size)) if squares else ())
        return [next(together) if image.shape[:2] == square else self._pass(_filled([image], 1))[0] for image in images]

    def _pass(self, batch: np.ndarray) -> np.ndarray:
        """One pass of the backbone: images as uint8 (B, h, w, 3) to features (B, H, W, D) in fp16."""
        with _one_thread(), torch.no_grad():
            return self._map(self._pixels(batch)).to(STORAGE_DTYPE).cpu().numpy()

    def _pixels(self, images: np.ndarray) -> Tensor:
        """Images as uint8 (B, h, w, 3) to RGB in 0..1 on the device, (B, 3, h, w)."""
        return torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2).float() / 255

    def _map(self, pixels: Tensor) -> Tensor:
        """RGB in 0..1 (B, 3, h, w) to features (B, H, W, D)."""
        return self.extractor(pixels)


def _view(sample: Sample) -> View:
    return sample.path, sample.rotation


def usable(outcome: Outcome) -> np.ndarray:
    """The array.

    Raises:
        BadImage: there is none.
    """
    if isinstance(outcome, BadImage):
        raise outcome
    return outcome


def _filled(images: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Images of one shape as a batch of ``size``, the rest zeros."""
    batch = np.zeros((size, *images[0].shape), dtype=np.uint8)
    batch[: len(images)] = images
    return batch


def _finite(path: Path, outcome: Outcome) -> Outcome:
    if isinstance(outcome, BadImage) or np.isfinite(outcome).all():
        return outcome
    return BadImage(path, "the backbone's features of it are not finite in fp16: check the image and the weights")


@cache
def _content_hash(path: Path, mtime_ns: int, size: int) -> str:
    """sha256 of a file, read once a process as long as its time and size stay."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let this thread compute alone: how a kernel splits its work over threads moves the last bits of its sums."""
    before = torch.get_num_threads()  # asked first: a new thread is set up by this call and would undo the next line
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _side_by_side(work: Callable[[Item], Result], items: Sequence[Item], threads: int) -> Iterator[Result]:
    """``map(work, items)`` in several threads, with few results waiting at a time."""
    if threads == 1 or len(items) < 2:
        yield from map(work, items)
        return
    before = torch.get_num_threads()
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(before)  # threads that start later inherit what was set last, in whichever thread
