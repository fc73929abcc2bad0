"""Shifted domains, written: every image once, what was done to it in ``shift_map.json``, resumed where it stopped."""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from moleflow.data.images import check_sample, native_image, native_mask
from moleflow.data.sample import Sample
from moleflow.data.shift.domain import DomainShift
from moleflow.data.shifted import MAP, read_map
from moleflow.data.splits import PARTS, SEED, Split, fingerprint
from moleflow.utils.errors import UsageError
from moleflow.utils.io import sha256_of, write_bytes, write_json
from moleflow.utils.progress import progress

JOURNAL = ".shift_journal.jsonl"
"""In a class's folder while it is being written: a line an image that is done."""


class Job(NamedTuple):
    """One image to write.

    Attributes:
        place: where to, in the class's folder.
        sample: where from.
        seed: of its parameters.
    """

    place: str
    sample: Sample
    seed: int


def write_shifted(source: Path, splits: Sequence[Split], shift: DomainShift, root: Path, seed: int = SEED) -> Path:
    """Write ``<class>/<part>/{images,masks}/<defect>_<name>_shifted.png`` and the map; ``root`` is returned.

    The seed of an image is ``seed`` + its index in the class (training, validation, test, each by path). An image
    that is listed and whole is kept, so an interrupted call goes on where it stopped, and its bytes are those of one
    that was never interrupted. ``open_dataset("shifted", root)`` reads the result.

    Args:
        source: folder that the map names images relative to.
        splits: of the classes to write.
        shift: what to do to an image.
        root: folder to write into; new, or begun with the same settings.
        seed: of the first image of every class.

    Raises:
        UsageError: ``root`` holds another domain, or one of other images; two images of a part would get one name.
        BadImage: an image cannot be read, or its mask has another size.
    """
    settings = {"severity": shift.severity, "transforms": list(shift.transforms), "seed": seed}
    book = _begun(root, settings)
    for split in splits:
        sources = {part: fingerprint(source, split.part(part)) for part in PARTS}
        entry = book["classes"].setdefault(split.class_name, {"sources": sources, "images": {}})
        if entry["sources"] != sources:
            raise UsageError(f"{root} was made from other images of {split.class_name!r}: choose another folder")
        write_json(root / MAP, book)
        entry["images"] = _write_class(source, split, shift, root / split.class_name, entry["images"], seed)
        write_json(root / MAP, book)
        (root / split.class_name / JOURNAL).unlink(missing_ok=True)
    return root


def _begun(root: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The map in ``root``, or a new one where the folder is new or empty."""
    if (root / MAP).exists():
        book = read_map(root)
        if book["settings"] != settings:
            found = ", ".join(f"{key} {value}" for key, value in book["settings"].items())
            raise UsageError(f"{root} holds a shifted domain of other settings ({found}): choose another folder")
        return book
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UsageError(f"{root} is no shifted domain and not empty: choose another folder")
    return {"settings": settings, "classes": {}}


def _write_class(
    source: Path, split: Split, shift: DomainShift, folder: Path, listed: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """Place -> entry of every image of a class; those in ``listed`` or in the journal are kept where they are whole."""
    jobs = _jobs(split, seed)
    known = {**listed, **dict(_journal(folder / JOURNAL))}
    folder.mkdir(parents=True, exist_ok=True)
    images: dict[str, Any] = {}
    with (folder / JOURNAL).open("a", encoding="utf-8") as journal:
        journal.write("\n")  # ends a line that an interruption cut
        for job in progress(jobs, len(jobs), f"{shift.severity} {split.class_name}", "image"):
            entry = known.get(job.place)
            images[job.place] = (
                entry if entry and _whole(folder, job.place, entry) else _write(source, job, shift, folder)
            )
            if images[job.place] is not entry:
                journal.write(json.dumps([job.place, images[job.place]]) + "\n")
                journal.flush()
    return images


def _jobs(split: Split, seed: int) -> list[Job]:
    samples = [(part, sample) for part in PARTS for sample in split.part(part)]
    places = [f"{part}/images/{sample.defect}_{sample.path.stem}_shifted.png" for part, sample in samples]
    if twice := sorted(place for place in set(places) if places.count(place) > 1):
        raise UsageError(f"two images of {split.class_name!r} would both become {twice[0]}: rename one of them")
    return [
        Job(place, sample, seed + index) for index, (place, (_, sample)) in enumerate(zip(places, samples, strict=True))
    ]


def _write(source: Path, job: Job, shift: DomainShift, folder: Path) -> dict[str, Any]:
    """Write one image and its mask; the entry of the map."""
    check_sample(job.sample)
    mask = native_mask(job.sample.mask) if job.sample.mask else None
    shifted = shift(native_image(job.sample.path), mask, job.seed)
    place = job.place.replace("/images/", "/masks/") if shifted.mask is not None else None
    entry = {
        "source": _relative(source, job.sample.path), "label": job.sample.label, "defect": job.sample.defect,
        "mask": place, "seed": job.seed, "parameters": shifted.parameters,
        "sha256": _save(folder / job.place, shifted.image), "mask_sha256": None,
    }  # fmt: skip
    if place is not None and shifted.mask is not None:
        entry["mask_sha256"] = _save(folder / place, shifted.mask.astype(np.uint8) * 255)
    return entry


def _save(file: Path, pixels: np.ndarray) -> str:
    """Write a PNG; its SHA-256."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(
        data, format="png", compress_level=3
    )  # noise hardly packs: higher levels take time only
    write_bytes(file, data.getvalue(), durable=False)
    return hashlib.sha256(data.getvalue()).hexdigest()


def _whole(folder: Path, place: str, entry: Mapping[str, Any]) -> bool:
    """Whether an image and its mask are there as they were written."""
    files = {place: entry["sha256"], **({entry["mask"]: entry["mask_sha256"]} if entry["mask"] else {})}
    return all((folder / name).is_file() and sha256_of(folder / name) == found for name, found in files.items())


def _journal(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, entry) of the lines that are whole."""
    if not file.exists():
        return
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            place, entry = json.loads(line)
        except ValueError:
            continue  # cut by an interruption, or empty
        yield place, entry


def _relative(source: Path, path: Path) -> str:
    return path.relative_to(source).as_posix()
