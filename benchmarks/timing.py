"""Times of several ways to do a thing, taken in turns: what else the machine does meanwhile strikes all of them."""

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch

Way = Callable[[], object]


def alternating(
    ways: Mapping[str, Way], rounds: int, device: torch.device | str = "cpu", before: Mapping[str, Way] | None = None
) -> dict[str, list[float]]:
    """Seconds of each way, one a round, after a round that is not counted.

    Args:
        ways: name -> what to call.
        rounds: how often.
        device: where the work is done; a GPU is waited for.
        before: name -> what to call before that way, outside of its time.
    """
    found: dict[str, list[float]] = {name: [] for name in ways}
    for done in range(-1, rounds):
        for name, way in ways.items():
            if before and name in before:
                before[name]()
            seconds = seconds_of(way, device)
            if done >= 0:
                found[name].append(seconds)
    return found


def seconds_of(way: Way, device: torch.device | str = "cpu") -> float:
    """Seconds of one call."""
    wait = torch.cuda.synchronize if torch.device(device).type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    way()
    wait()
    return time.perf_counter() - start


def ratio(times: Mapping[str, list[float]], over: str, under: str) -> float:
    """Median over the rounds of the ratio of two ways' times in the same round."""
    return median(a / b for a, b in zip(times[over], times[under], strict=True))


def in_ms(times: Mapping[str, list[float]], each: int = 1) -> str:
    """Median milliseconds of every way, for ``each`` things done at once."""
    return ", ".join(f"{name} {1e3 * median(seconds) / each:.3g} ms" for name, seconds in times.items())
