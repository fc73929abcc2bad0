"""A folder as scripts/run_accuracy.sh fills it, made of random scores."""

from pathlib import Path
from typing import Any

from scored_runs import CLASSES, kept, write_scored_run

from moleflow.evaluation.statistics.counted import Counted, counts_file
from moleflow.utils.io import read_json, write_json

LITE = "tf_efficientnet_lite0"


def write_run(place: Path, seed: int = 0, gain: float = 1.0, **flags: Any) -> Path:
    """A finished run of two classes with costs; ``nut`` costs 2 MB and 10 s, ``bolt`` 4 MB and 30 s."""
    record = {"dataset": "folder", "scenario": "1-1", "order": "given", "seed": seed, "classes": list(CLASSES)}
    run = write_scored_run(place.parent, place.name, seed, gain, record)
    costs = {"bytes_per_expert": (2e6, 4e6), "seconds_per_task": (10.0 + seed, 30.0 + seed)}
    write_json(run / "cost.json", {key: dict(zip(CLASSES, pair, strict=True)) for key, pair in costs.items()})
    config = read_json(run / "config.json")
    write_json(run / "config.json", {"flags": {**config["flags"], **flags}})
    return run


def write_peer(place: Path, seed: int = 0, gain: float = 1.0) -> Path:
    """A peer's run: it keeps counts instead of scores, and has no config.json."""
    run = write_run(place / "run", seed, gain)
    for name in CLASSES:
        Counted.of(kept(name, gain, seed), "routed").save(counts_file(run, name))
        (run / "scores" / f"{name}.npz").unlink()
    (run / "config.json").unlink()
    return run


def write_folder(folder: Path, **flags: Any) -> Path:
    """Three runs of the preset, one without a choice, a weaker and a stronger peer, and two numbers of images."""
    lite = folder / LITE
    for order, seed in (("given", 0), ("given", 1), ("reversed", 0)):
        write_run(lite / "preset" / f"{order}-s{seed}", seed, gain=1.0, **flags)
    write_run(lite / "undone" / "no_ramp", gain=0.6)
    write_peer(lite / "peers" / "padim", gain=0.3)
    write_peer(lite / "peers" / "patchcore_10", gain=2.5)
    for images, gain in ((5, 0.5), (10, 1.5)):
        for seed in (0, 1):
            place = lite / "fewshot" / f"n{images}-s{seed}"
            write_run(place / "preset", seed, gain=1.0)
            write_peer(place / "patchcore_10", seed, gain=gain)
    return folder
