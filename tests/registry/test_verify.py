"""``verify`` names what differs and nothing else; ``ledger`` counts; one writer at a time."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from miniature import CLASSES, digests, fresh, original, promised, trained, verb

from moleflow.registry.stored_run import StoredRun
from moleflow.registry.verify import verify
from moleflow.trainer.checkpoint import RunFolder
from moleflow.utils.errors import MoleflowError
from moleflow.utils.io import read_tensors, sha256_of, write_json, write_tensors

ROOT = Path(__file__).resolve().parents[2]


def test_a_whole_run_is_found_whole_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fresh(tmp_path)
    before = digests(run, "*.*", "*/*")
    capsys.readouterr()
    assert verb("verify", run) == 0
    assert capsys.readouterr().out == f"{run}: 3 tasks, everything as it was\n"
    assert digests(run, "*.*", "*/*") == before


@pytest.mark.parametrize("file", ["experts/washer.safetensors", "probes/washer.safetensors", "base.safetensors"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "remove"])
def test_the_file_that_differs_is_named_and_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, harm: str
) -> None:
    run = fresh(tmp_path)
    data = bytearray((run / file).read_bytes())
    data[-9] ^= 1
    (run / file).unlink()
    if harm != "remove":
        (run / file).write_bytes(data if harm == "flip" else data[:-10])
    assert verb("verify", run) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert str(run / file) in lines[0]
    assert "restore it" in lines[0]


def test_an_expert_that_was_changed_together_with_its_hash_scores_differently(tmp_path: Path) -> None:
    run = fresh(tmp_path)
    file = run / "experts" / "washer.safetensors"
    state = read_tensors(file)
    name = max((key for key in state if key.startswith("flow")), key=lambda key: state[key].numel())
    write_tensors(file, {**state, name: state[name] + torch.ones_like(state[name])})
    manifest = RunFolder(run).manifest
    manifest["tasks"][1]["sha256"] = sha256_of(file)
    RunFolder(run).sums.write_json("stream.json", manifest)
    problems = list(verify(StoredRun(run)))
    assert len(problems) == 1
    assert f"{file} scores its probe differently" in problems[0]


def test_experts_beside_a_broken_one_stay_usable(tmp_path: Path) -> None:
    run = fresh(tmp_path)
    (run / "experts" / "fabric.safetensors").unlink()
    stored = StoredRun(run)
    model = stored.model()
    with pytest.raises(MoleflowError, match=r"fabric\.safetensors is listed in stream\.json and missing"):
        stored.load(model, "fabric")
    for name in ("washer", "biscuit"):
        stored.load(model, name)
    assert set(model.tasks) == {"washer", "biscuit"}
    assert verb("remove-task", run, "--task", "fabric") == 0
    assert verb("verify", run) == 0


@pytest.mark.parametrize(("change", "expected"), [
    ({"schema": 2}, "update moleflow to read a newer one"),
    ({"tasks": 3}, "is damaged"),
    ({"base": {"file": "../../base.safetensors", "sha256": "", "bytes": 0}}, "is damaged"),
    ({"base": {"file": "/etc/passwd", "sha256": "", "bytes": 0}}, "is damaged"),
])  # fmt: skip
@pytest.mark.parametrize("name", ["verify", "ledger"])
def test_a_manifest_that_is_not_ours_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], expected: str, name: str
) -> None:
    run = fresh(tmp_path)
    write_json(run / "stream.json", {**RunFolder(run).manifest, **change})
    capsys.readouterr()  # of the run, where this test is the first that asks for it
    assert verb(name, run) == 1
    told = capsys.readouterr().err
    assert expected in told
    assert str(run / "stream.json") in told
    assert told.count("\n") == 1


def test_a_manifest_cannot_make_us_remove_what_lies_elsewhere(tmp_path: Path) -> None:
    run = fresh(tmp_path)
    precious = tmp_path / "precious.safetensors"
    precious.write_text("years of work")
    manifest = RunFolder(run).manifest
    manifest["tasks"][1]["file"] = "../../precious.safetensors"
    write_json(run / "stream.json", manifest)
    assert verb("remove-task", run, "--task", "washer", "--no_evaluate") == 1
    assert precious.read_text() == "years of work"


def test_a_lost_manifest_and_a_damaged_json_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fresh(tmp_path)
    (run / "stream.json").unlink()
    (run / "cost.json").write_text("{")
    assert verb("verify", run) == 1
    told = capsys.readouterr().out
    assert "stream.json is missing" in told
    assert "cost.json differs from its hash" in told


HASHED = (
    *("config.json", "results.json", "results.csv", "evaluations/after_001.json", "scores/washer.npz"),
    *("report.html", "predictions.csv", "cost.json", "env.json", "stream.json"),
)


def change_one_digit(file: Path) -> None:
    """As a slip of an editor, or of a disk, does it: what is left can still be read."""
    data = bytearray(file.read_bytes())
    place = next(place for place in reversed(range(len(data))) if chr(data[place]).isdigit())
    data[place] ^= 1
    file.write_bytes(data)


def test_a_changed_number_is_named_and_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fresh(tmp_path)
    for name in HASHED:
        before = (run / name).read_bytes()
        change_one_digit(run / name)
        (line,) = RunFolder(run).sums.problems()
        assert line.startswith(f"{run / name} differs from its hash in SHA256SUMS: restore it")
        (run / name).write_bytes(before)
    change_one_digit(run / "results.json")
    capsys.readouterr()
    assert verb("verify", run) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{run / 'results.json'} differs from its hash")


def test_nothing_is_built_on_a_changed_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("config.json", "evaluations/after_000.json", "cost.json"):
        run = fresh(tmp_path / name.replace("/", "-"), "fabric", "washer")
        change_one_digit(run / name)
        before = digests(run)
        assert verb("add-task", run, "--task", "biscuit") == 1
        assert f"{run / name} differs from its hash" in capsys.readouterr().err
        assert (run / name).read_bytes() != (original("fabric", "washer") / name).read_bytes()
        assert digests(run).items() >= before.items(), "no expert has changed"


def test_a_run_of_an_older_version_is_told_so_and_verified_as_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fresh(tmp_path)
    (run / "SHA256SUMS").unlink()
    assert verb("verify", run) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("note: there is no SHA256SUMS, as in runs of older versions")
    assert told[1:] == [f"{run}: 3 tasks, everything as it was"]
    (run / "cost.json").write_text("{")
    assert verb("verify", run) == 1
    assert str(run / "cost.json") in capsys.readouterr().out
    shutil.copy(original(*CLASSES) / "cost.json", run)
    assert verb("evaluate", run) == 0
    capsys.readouterr()
    assert verb("verify", run) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "note: config.json, stream.json: not listed in SHA256SUMS, so only read, not hashed"
    )


def test_the_ledger_counts_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = original(*CLASSES)
    capsys.readouterr()  # what training said, where no test of this process has trained it before
    assert verb("ledger", run, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    results = json.loads((run / "results.json").read_text())
    for row, name in zip(content["tasks"], CLASSES, strict=True):
        file = run / "experts" / f"{name}.safetensors"
        assert (row["task"], row["bytes"], row["sha256"]) == (name, file.stat().st_size, sha256_of(file))
        assert row["image_auroc"] == results["per_class"][name]["image_auroc"]
        assert row["seconds"] > 0
    assert verb("ledger", run) == 0
    table = capsys.readouterr().out
    assert len({len(line.rstrip()) for line in table.splitlines()[1:]}) == 1, "columns stand below each other"
    assert all(name in table for name in ("(base)", *CLASSES))


def test_a_probe_is_small(tmp_path: Path) -> None:
    assert all(file.stat().st_size < 200_000 for file in (original(*CLASSES) / "probes").iterdir())


HOLD = """
import sys, time
from pathlib import Path
from moleflow.trainer.lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_writer_is_refused_until_the_first_is_dead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fresh(tmp_path)
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(run)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for refused in (
            lambda: verb("remove-task", run, "--task", "biscuit"),
            lambda: trained(run.parent, "--resume", "--task_classes", *CLASSES),
            lambda: trained(run.parent, "--overwrite", "--task_classes", *CLASSES),
        ):
            capsys.readouterr()
            assert refused() == 2
            told = capsys.readouterr().err
            assert f"Another process (process {holder.pid} on " in told
            assert told.count("\n") == 1
        assert verb("ledger", run) == 0, "readers are not in the way"
        assert promised(run) == promised(original(*CLASSES))
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    assert verb("remove-task", run, "--task", "biscuit", "--no_evaluate") == 0


def test_a_run_that_is_replaced_stays_locked(tmp_path: Path) -> None:
    run = fresh(tmp_path, "fabric")
    lock = (run / ".lock").stat().st_ino
    assert trained(run.parent, "--overwrite", "--task_classes", "fabric") == 0
    assert (run / ".lock").stat().st_ino == lock
    assert promised(run) == promised(original("fabric"))
