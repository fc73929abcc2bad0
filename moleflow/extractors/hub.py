"""Pretrained weights from the hub, within seconds or not at all."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants
from torch import Tensor

from moleflow.extractors.library import timm

PATIENCE_S = 3.0
"""How long the hub may take to answer at all; its own client would retry for most of a minute."""


def download(timm_name: str) -> tuple[dict[str, Tensor] | None, str]:
    """Weights of timm's network from the hub, or from the hub's local cache where it is out of reach.

    Returns:
        The state and an empty reason; or None and why there is none.
    """
    with _offline_if_unreachable() as offline:
        try:
            return timm.create_model(timm_name, pretrained=True).state_dict(), ""
        except Exception as error:  # the clients below raise their own kinds, and more with each version
            if offline:
                return None, f"{constants.ENDPOINT} is out of reach"
            return None, f"the hub said: {str(error).splitlines()[0] if str(error) else type(error).__name__}"


@contextmanager
def _offline_if_unreachable() -> Iterator[bool]:
    """The hub's client looks at its local cache only, and at once, while nobody answers; yields whether so."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _answers(constants.ENDPOINT)
    try:
        yield constants.HF_HUB_OFFLINE
    finally:
        constants.HF_HUB_OFFLINE = before


def _answers(url: str) -> bool:
    """Whether a server answers within ``PATIENCE_S``; in a thread, for a name look-up knows no time limit."""
    answered = threading.Event()

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PATIENCE_S).close()
            answered.set()
        except urllib.error.HTTPError:
            answered.set()  # an answer all the same
        except OSError:
            pass

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE_S)
    return answered.is_set()
