"""How long a property is tried: some examples whenever the tests run, ``MOLEFLOW_FUZZ_SECONDS`` of them on request."""

import os
import time
from collections.abc import Callable
from itertools import count
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis.strategies import SearchStrategy

EXAMPLES = 25
SLOWEST = 20.0
"""Seconds that one example may take at most."""


def fuzz(strategy: SearchStrategy[Any], holds: Callable[[Any], None], examples: int = EXAMPLES) -> None:
    """Try a property on examples, the same ones in every short run; it fails with the smallest example that breaks it.

    Args:
        strategy: the examples.
        holds: raises where the property does not hold.
        examples: how many a round has.
    """
    end = time.monotonic() + float(os.environ.get("MOLEFLOW_FUZZ_SECONDS", "0"))
    tried = 0

    def timed(example: Any) -> None:
        nonlocal tried
        tried += 1
        start = time.monotonic()
        holds(example)
        assert time.monotonic() - start < SLOWEST, "an example takes too long"

    for number in count():
        body = settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))(
            given(strategy)(timed)
        )
        seed(number)(body)()
        if time.monotonic() >= end:
            print(f"{tried} examples in {number + 1} rounds")
            return
