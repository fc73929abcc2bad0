"""Published layouts of datasets in miniature: names, extensions and CSV header as published, few and tiny images."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (12, 10)


def image(path: Path) -> Path:
    """An image that no other path has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(zlib.crc32(str(path).encode())).integers(0, 256, (SIZE[1], SIZE[0], 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def mask(path: Path, value: int = 255) -> Path:
    """A mask with one defect pixel; ``value`` 0 makes it empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    pixels[3, 4] = value
    Image.fromarray(pixels).save(path)
    return path


def product(root: Path, name: str = "bolt") -> Path:
    """A class of the MVTec layout: three training images, two good test images, two dents with masks."""
    folder = root / name
    for stem in ("000", "001", "002"):
        image(folder / "train/good" / f"{stem}.png")
    for stem in ("000", "001"):
        image(folder / "test/good" / f"{stem}.png")
        image(folder / "test/dent" / f"{stem}.png")
        mask(folder / "ground_truth/dent" / f"{stem}_mask.png")
    return folder


VISA_HEADER = "object,split,label,image,mask"


def visa_rows(name: str) -> list[str]:
    """Lines of the split file for one class: two training images, a good and two defective test images."""
    normal, anomaly = f"{name}/Data/Images/Normal", f"{name}/Data/Images/Anomaly"
    return [
        *(f"{name},train,normal,{normal}/{stem}.JPG," for stem in ("0000", "0002")),
        f"{name},test,normal,{normal}/0001.JPG,",
        *(f"{name},test,anomaly,{anomaly}/{stem}.JPG,{name}/Data/Masks/Anomaly/{stem}.png" for stem in ("000", "001")),
    ]


def visa(root: Path, *names: str) -> Path:
    """VisA as published, with the classes named; returns the split file."""
    for name in names:
        for line in visa_rows(name):
            _, _, _, picture, truth = line.split(",")
            image(root / picture)
            if truth:
                mask(root / truth, value=1)
    return write_split(root, [line for name in names for line in visa_rows(name)])


def write_split(root: Path, lines: list[str], header: str = VISA_HEADER) -> Path:
    """The split file with these lines."""
    file = root / "split_csv" / "1cls.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return file


def btad(root: Path) -> Path:
    """BTAD as published: 01 .bmp with .png masks, 02 .png, 03 .bmp with .bmp masks."""
    for name, suffix, mask_suffix in (("01", "bmp", "png"), ("02", "png", "png"), ("03", "bmp", "bmp")):
        for split in ("train/ok", "test/ok", "test/ko"):
            for stem in ("0000", "0001"):
                image(root / name / split / f"{stem}.{suffix}")
        for stem in ("0000", "0001"):
            mask(root / name / "ground_truth/ko" / f"{stem}.{mask_suffix}")
    return root


def domains(root: Path) -> Path:
    """Four domains of vibration images, without masks."""
    for letter in "ABCD":
        for split in ("train/good", "test/good", "test/fault"):
            for stem in ("000001", "000002"):
                image(root / f"domain_{letter}" / split / f"{stem}.png")
    return root


def shifted(root: Path, *names: str) -> Path:
    """A shifted domain as written: three training images, and for val and test a good and a dented one."""
    classes = {}
    for name in names:
        images = {f"train/images/{stem}_shifted.png": _entry() for stem in ("000", "001", "002")}
        for part in ("val", "test"):
            images[f"{part}/images/good_shifted.png"] = _entry()
            images[f"{part}/images/dent_shifted.png"] = _entry(f"{part}/masks/dent_shifted.png")
        for place, entry in images.items():
            image(root / name / place)
            if entry["mask"]:
                mask(root / name / entry["mask"])
        classes[name] = {"sources": {}, "images": images}
    book = {"settings": {"severity": "mild", "transforms": ["blur"], "seed": 42}, "classes": classes}
    (root / "shift_map.json").write_text(json.dumps(book))
    return root


def _entry(mask: str | None = None) -> dict[str, Any]:
    return {"label": int(mask is not None), "defect": "dent" if mask else "good", "mask": mask}
