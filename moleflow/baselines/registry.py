"""Peers by name."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any, NamedTuple

from moleflow.baselines.autoencoders import VAE, VGGAE, WAE, BetaVAE, ResNetAE, UNetAE, VanillaAE
from moleflow.baselines.base import Peer
from moleflow.baselines.cflow import CFlow
from moleflow.baselines.coreset import Coreset
from moleflow.baselines.dfm import DFM
from moleflow.baselines.differnet import DifferNet
from moleflow.baselines.dinomaly import Dinomaly
from moleflow.baselines.draem import Draem
from moleflow.baselines.draem_sevnet import DraemSevNet
from moleflow.baselines.efficientad import EfficientAD
from moleflow.baselines.fastflow import FastFlow
from moleflow.baselines.padim import PaDiM
from moleflow.baselines.patchcore import PatchCore
from moleflow.baselines.place_gaussians import PlaceGaussians
from moleflow.baselines.prototype import Prototype
from moleflow.baselines.spade import Spade
from moleflow.baselines.stfpm import STFPM
from moleflow.baselines.student_teacher import StudentTeacher
from moleflow.baselines.training import Training
from moleflow.utils.errors import UsageError
from moleflow.utils.text import did_you_mean


class Entry(NamedTuple):
    """One row of the table.

    Attributes:
        category: what kind of detector it is.
        make: builds it, unfitted.
    """

    category: str
    make: Callable[..., Peer]


PEERS: dict[str, Entry] = {
    "vanilla_ae": Entry("reconstruction", VanillaAE),
    "unet_ae": Entry("reconstruction", UNetAE),
    "vae": Entry("reconstruction", VAE),
    "beta_vae": Entry("reconstruction", BetaVAE),
    "wae": Entry("reconstruction", WAE),
    "resnet_ae": Entry("reconstruction", ResNetAE),
    "vgg_ae": Entry("reconstruction", VGGAE),
    "draem": Entry("reconstruction", Draem),
    "draem_sevnet": Entry("reconstruction", DraemSevNet),
    "dinomaly": Entry("reconstruction", Dinomaly),
    "patchcore": Entry("memory_based", PatchCore),
    "spade": Entry("memory_based", Spade),
    "fastflow": Entry("flow_based", FastFlow),
    "differnet": Entry("flow_based", DifferNet),
    "cflow": Entry("flow_based", CFlow),
    "padim": Entry("statistical", PaDiM),
    "dfm": Entry("statistical", DFM),
    "stfpm": Entry("distillation", STFPM),
    "efficientad": Entry("distillation", EfficientAD),
    "student_teacher": Entry("distillation", StudentTeacher),
    "coreset_router": Entry("continual", Coreset),
    "gaussian_per_task": Entry("continual", PlaceGaussians),
    "nearest_prototype": Entry("continual", Prototype),
}
"""Those of ``continual`` have nothing to train: with a router each is a method for streams by itself."""

TRAINING = tuple(field.name for field in fields(Training))
"""Options that say how long and with what a peer is trained."""


def get_model(name: str, **options: Any) -> Peer:
    """An unfitted peer.

    Args:
        name: one of ``PEERS``.
        options: what its class takes, and for those that are trained the fields of ``Training``.

    Raises:
        UsageError: the name is unknown, it takes no such option, or what it wraps is not installed.
    """
    check_options(name, options)
    timing = {option: options.pop(option) for option in TRAINING if option in options}
    return PEERS[name].make(**options, **({"training": Training(**timing)} if timing else {}))


def options_of(name: str) -> tuple[str, ...]:
    """What a peer takes.

    Raises:
        UsageError: the name is unknown.
    """
    if name not in PEERS:
        raise UsageError(f"Unknown peer {name!r}, expected one of {', '.join(PEERS)}{did_you_mean(name, PEERS)}")
    takes = [option for option in inspect.signature(PEERS[name].make).parameters if option != "training"]
    trained = "training" in inspect.signature(PEERS[name].make).parameters
    return (*takes, *(TRAINING if trained else ()))


def check_options(name: str, options: dict[str, Any]) -> None:
    """Look at names of options alone; nothing is built, imported or read.

    Raises:
        UsageError: the peer is unknown, or takes no such option.
    """
    known = options_of(name)
    for option in options:
        if option not in known:
            hint = did_you_mean(option, known)
            raise UsageError(f"The peer {name!r} takes no option {option!r}, it takes {', '.join(known)}{hint}")


def list_models_by_category(category: str) -> list[str]:
    """Names of the peers of a category, sorted.

    Raises:
        UsageError: there is no such category.
    """
    known = sorted({entry.category for entry in PEERS.values()})
    if category not in known:
        hint = did_you_mean(category, known)
        raise UsageError(f"Unknown category of peers {category!r}, expected one of {', '.join(known)}{hint}")
    return sorted(name for name, entry in PEERS.items() if entry.category == category)
