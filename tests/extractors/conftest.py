"""Random weights, drawn once a session and backbone."""

from collections.abc import Callable
from functools import cache

import pytest

from moleflow.extractors.weights import Weights, resolve_weights


@pytest.fixture(scope="session")
def random_weights() -> Callable[[str], Weights]:
    """Random weights of a backbone by its name, always the same."""
    return cache(lambda backbone: resolve_weights(backbone, None, True, 0))
