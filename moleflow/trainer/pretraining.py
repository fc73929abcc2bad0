"""F12, ``--base_policy pretrained``: where a base that is trained before the stream comes from."""

from pathlib import Path

import torch

from moleflow.data.folder import IMAGE_SUFFIXES, is_image
from moleflow.data.images import BadImage, check_samples
from moleflow.data.sample import GOOD, Sample
from moleflow.extractors.cache import FeatureStore
from moleflow.extractors.task_features import TaskFeatures
from moleflow.models.mole_nf import MoLEFlow
from moleflow.trainer.checkpoint import BASE, RunFolder, fill_base
from moleflow.trainer.continual_trainer import BASE_TASK
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import read_tensors


def take_base(model: MoLEFlow, source: Path) -> None:
    """Load the base that ``--base_from`` names, or make sure that there are images to train one on.

    Raises:
        UsageError: it is neither a run, nor a safetensors file, nor a folder with images, or the base does not fit.
    """
    if not source.exists():
        raise UsageError(f"--base_from {source} does not exist: give a run's folder, a {BASE}, or a folder of images.")
    if holds_base(source):
        load_base(model, source)
    else:
        images_below(source)


def holds_base(source: Path) -> bool:
    """Whether there is a trained base (in a file, or in a run's folder) and not a folder of images."""
    return source.is_file() or (source / BASE).exists() or (source / "stream.json").exists()


def load_base(model: MoLEFlow, source: Path) -> None:
    """Fill the model's shared part from a file or from another run.

    Raises:
        UsageError: there is no base, it is damaged, or it is of another model.
    """
    try:
        if source.is_file():
            fill_base(model, read_tensors(source), str(source))
        elif RunFolder(source).manifest["base"] is None:
            raise MoleflowError(f"the run in {source} has not trained its base yet")
        else:
            RunFolder(source).load_base(model)
    except MoleflowError as error:
        hint = "give a base of the same backbone, --embed_dim and flow, or a folder of images."
        raise UsageError(f"--base_from cannot be used: {str(error).rstrip('.')}; {hint}") from error


def images_below(folder: Path) -> list[Sample]:
    """Every visible image below a folder, sorted by path.

    Raises:
        UsageError: there is none.
    """
    visible = lambda path: not any(part.startswith(".") for part in path.relative_to(folder).parts)
    paths = sorted(path for path in folder.rglob("*") if is_image(path) and visible(path))
    if not paths:
        kinds = ", ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
        raise UsageError(f"--base_from {folder} holds neither a {BASE} nor an image ({kinds}): name another folder.")
    return [Sample(path, BASE_TASK.name, 0, GOOD, None) for path in paths]


def base_features(
    folder: Path, store: FeatureStore, on_bad_image: str, device: torch.device
) -> tuple[TaskFeatures, list[BadImage]]:
    """Features of every image below a folder, and the images that cannot be used.

    Raises:
        UsageError: no image can be used, or one cannot and ``on_bad_image`` is ``error``.
    """
    opened, unopened = check_samples(images_below(folder), on_bad_image)
    usable, unreadable = store.prepare(opened, on_bad_image, "features base")
    if not usable:
        raise UsageError(f"No image below --base_from {folder} can be read; repair them or name another folder.")
    return TaskFeatures(store, usable, BASE_TASK.classes, device), unopened + unreadable
