"""Run the command line once for each job on standard input, and print which files each half of a run touched.

A job is ``{"name": …, "words": […]}``. Files count as touched when Python opens them (an audit hook, which sees PIL,
numpy and torch too), and when features are asked for them, cached or not. Run as a process of its own: a hook stays.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moleflow.extractors.cache import FeatureStore
from moleflow.run import Runner
from run_moleflow import main

half = "before"
touched: dict[str, set[str]] = defaultdict(set)


def note(event: str, details: tuple[Any, ...]) -> None:
    """Note a file that is opened by name."""
    if event == "open" and isinstance(details[0], str | Path):
        touched[half].add(str(Path(details[0]).absolute()))


def during(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, with what it touches noted under a name."""

    def watched(*given: Any, **named: Any) -> Any:
        global half
        outer, half = half, name
        try:
            return method(*given, **named)
        finally:
            half = outer

    return watched


def asked(method: Callable[..., Any]) -> Callable[..., Any]:
    """A store's method, with the samples it is asked for noted."""

    def watched(store: FeatureStore, samples: Any, *rest: Any, **named: Any) -> Any:
        touched[half] |= {str(sample.path.absolute()) for sample in samples}
        return method(store, samples, *rest, **named)

    return watched


def watch() -> None:
    """Put all this in place."""
    Runner._learn = during("training", Runner._learn)  # type: ignore[method-assign]
    Runner._evaluate = during("evaluation", Runner._evaluate)  # type: ignore[method-assign]
    FeatureStore.features = asked(FeatureStore.features)  # type: ignore[method-assign]
    FeatureStore.prepare = asked(FeatureStore.prepare)  # type: ignore[method-assign]
    sys.addaudithook(note)


if __name__ == "__main__":
    jobs = json.load(sys.stdin)
    watch()
    found = {}
    for job in jobs:
        touched.clear()
        sys.argv = ["run_moleflow.py", *job["words"]]
        code = main()
        found[job["name"]] = {"code": code, **{name: sorted(files) for name, files in touched.items()}}
    print(json.dumps(found))
