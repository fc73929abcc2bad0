"""Whatever the JSON files of a run's folder say: verbs answer, or say in a sentence what is wrong."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from changes import changes, written_out
from fuzzing import fuzz
from hypothesis import strategies as st

from moleflow.config.cli import parse
from moleflow.registry import results
from moleflow.registry.ledger import as_table, ledger
from moleflow.registry.move import export_task, read_parcel
from moleflow.registry.stored_run import StoredRun
from moleflow.registry.verify import notes, verify
from moleflow.utils.errors import MoleflowError
from moleflow.utils.io import read_json, read_metadata, sha256_of, write_json, write_tensors
from moleflow.utils.sums import SUMS, Sums

MATRIX = {"image_auroc": [[0.9]]}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder with two experts that no model fits: all is there but what needs a backbone."""
    folder = tmp_path / "logs" / "run"
    write_json(folder / "config.json", parse(["--preset", "demo"])[0].to_json())
    listed: dict[str, dict[str, Any]] = {}
    for file in ("base", "experts/a", "experts/b", "probes/a"):
        place = folder / f"{file}.safetensors"
        write_tensors(place, {"x": torch.zeros(2)}, {"base_sha256": "0"})
        listed[file] = {"file": f"{file}.safetensors", "sha256": sha256_of(place), "bytes": place.stat().st_size}
    tasks = [
        {"name": name, "classes": [name], "index": index, "seed": 0, **listed[f"experts/{name}"]}
        for index, name in enumerate("ab")
    ]
    tasks[0]["probe"] = listed["probes/a"]
    write_json(folder / "stream.json", {"schema": 1, "base": listed["base"], "tasks": tasks})
    rows = {name: {"image_auroc": 0.9} for name in "ab"}
    write_json(folder / "results.json", {"tasks": [["a"], ["b"]], "per_class": rows, "stale": None})
    write_json(folder / "cost.json", {"seconds_per_task": {"a": 1.0, "b": 2.0}})
    write_json(folder / "data_paths.json", {"a": "elsewhere"})
    monkeypatch.setattr(StoredRun, "model", no_model)
    return folder


def no_model(self: StoredRun) -> NoReturn:
    raise MoleflowError("no backbone here")


def used(run: Path) -> None:
    """All that verbs do with a run's folder before they need its images or its backbone."""
    with sentences():
        stored = StoredRun(run)
        with sentences():
            as_table(ledger(stored))
        with sentences():
            assert all(sentence.strip() for sentence in (*verify(stored), *notes(stored)))
        for step in (looked_at, renamed):
            with sentences():
                step(stored)


def looked_at(stored: StoredRun) -> None:
    stored.require_finished()
    stored.refuse_known(["c"])
    for name in stored.folder.finished:
        assert stored.folder.stored_task(name).name == name
    list(stored.places.items())
    stored.with_stream(stored.tasks).to_json()


def renamed(stored: StoredRun) -> None:
    stored.folder.settle()
    assert all(
        stored.path.resolve() in file.resolve().parents for file in map(stored.folder.verified, stored.folder.files())
    )
    results.mark_stale(stored, 0, "a test")
    results.forget_cost(stored, "a")


sentences: Callable[[], contextlib.AbstractContextManager[None]] = lambda: contextlib.suppress(MoleflowError)


@pytest.mark.parametrize("name", ["stream", "results", "cost", "data_paths", "config"])
def test_any_change_of_a_runs_json_is_survived(run: Path, name: str) -> None:
    file = run / f"{name}.json"
    others = {other: other.read_bytes() for other in run.glob("*.json")}

    def holds(text: bytes) -> None:
        for other, content in others.items():
            other.write_bytes(content)
        (run / SUMS).unlink(missing_ok=True)  # which would tell of every change before it is looked at
        file.write_bytes(written_out(text))
        used(run)

    fuzz(changes(json.loads(file.read_bytes())), holds, examples=15)


def test_any_change_of_the_list_of_hashes_is_survived(run: Path) -> None:
    """What it says is never followed out of the run's folder."""
    Sums(run).write_json("results.json", read_json(run / "results.json"))
    Sums(run).write_json("evaluations/after_001.json", {})
    whole, others = (run / SUMS).read_bytes(), {other: other.read_bytes() for other in run.rglob("*.json")}
    (run.parent / "precious.next").write_bytes(b"")
    empty = f"{sha256_of(run.parent / 'precious.next')}  ../precious\n".encode()

    def holds(cut: tuple[int, int, bytes]) -> None:
        place, gone, put = cut
        for other, content in others.items():
            other.write_bytes(content)
        (run / SUMS).write_bytes(whole[:place] + put + whole[place + gone :])
        used(run)
        assert not (run.parent / "precious").exists()

    puts = st.one_of(st.binary(max_size=9), st.sampled_from([empty, b"\n", b"  ", b"0" * 64]))
    places = st.sampled_from([0, len(whole)]) | st.integers(0, len(whole))
    fuzz(st.tuples(places, st.just(0) | st.integers(0, 70), puts), holds)


def test_any_change_of_an_exported_expert_is_read_or_named(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.expert"
    export_task(StoredRun(run), "a", file)
    whole = file.read_bytes()

    def holds(cut: tuple[int, int, bytes]) -> None:
        place, gone, put = cut
        file.write_bytes(whole[:place] + put + whole[place + gone :])
        with sentences():
            read_parcel(file)

    fuzz(st.tuples(st.integers(0, len(whole)), st.integers(0, 30), st.binary(max_size=9)), holds)


def test_any_metadata_of_an_exported_expert_are_read_or_named(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.expert"
    export_task(StoredRun(run), "a", file)
    content = json.loads(read_metadata(file)["moleflow"])

    def holds(text: bytes) -> None:
        said = written_out(text).decode("utf-8", "replace")
        write_tensors(file, {"expert.x": torch.zeros(2)}, {"moleflow": said})
        with sentences():
            assert read_parcel(file).task.name

    fuzz(changes(content), holds)
