"""Seeds that depend on names, never on order."""

import hashlib


def derive_seed(seed: int, *names: str) -> int:
    """A 63-bit seed from the run's seed and names (a task, a purpose): the same on every machine and in any order."""
    text = "\x1f".join([str(seed), *names])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
