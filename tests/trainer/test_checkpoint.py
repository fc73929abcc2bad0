"""The run on disk: what is written can be read back bit for bit, and what is broken is named."""

import json
from dataclasses import replace

import pytest
import torch
from fakes import TINY, tiny_model, train_task, trained

from moleflow.config.cli import parse
from moleflow.config.task import Task
from moleflow.config.variants import Flow
from moleflow.models.task import base_state, expert_state
from moleflow.trainer.checkpoint import RunFolder
from moleflow.trainer.opening import open_run
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import read_json

TASKS = [Task(("a",), 0), Task(("b", "c/d"), 1)]
WORDS = ["--use_patch_memory", "--task_classes", "a", "b", "--lr", "0.1"]
CONFIG = parse(WORDS)[0].to_store()


@pytest.fixture
def saved(tmp_path):
    """A model of two tasks and its run folder."""
    model, folder = trained(["a", "b+c/d"]), open_run(tmp_path / "run", CONFIG, resume=False, overwrite=False)
    for task in TASKS:
        folder.save_task(model, task, torch.float16, seed=0)
    return model, folder


def loaded(folder: RunFolder):
    model = tiny_model(TINY, seed=7)
    for task in TASKS:
        model.begin_task(task, seed=7)
        if task.is_first:
            folder.load_base(model)
        folder.load_task(model, task)
    return model


def test_what_is_loaded_is_what_was_saved(saved):
    model, folder = saved
    again = loaded(folder)
    for state in (base_state, *(lambda m, task=task: expert_state(m, task.name) for task in TASKS)):
        before, after = state(model), state(again)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_manifest_lists_tasks_hashes_and_sizes(saved):
    _, folder = saved
    manifest = json.loads((folder.path / "stream.json").read_text())
    assert manifest["schema"] == 1
    assert [entry["classes"] for entry in manifest["tasks"]] == [["a"], ["b", "c/d"]]
    for entry in (manifest["base"], *manifest["tasks"]):
        assert (folder.path / entry["file"]).stat().st_size == entry["bytes"]
        assert len(entry["sha256"]) == 64
    assert (folder.path / manifest["tasks"][1]["file"]).parent == folder.path / "experts", "no class name leaves it"


def test_saving_a_later_task_leaves_earlier_files_alone(tmp_path):
    model, folder = trained(["a", "b+c/d"]), open_run(tmp_path / "run", CONFIG, False, False)
    folder.save_task(model, TASKS[0], torch.float16, seed=0)
    before = {file: file.stat().st_mtime_ns for file in folder.path.rglob("*.safetensors")}
    folder.save_task(model, TASKS[1], torch.float16, seed=0)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert len(before) == 2


@pytest.mark.parametrize("file", ["base.safetensors", "experts/a.safetensors"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "remove"])
def test_a_broken_file_is_named(saved, file, harm):
    _, folder = saved
    path = folder.path / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    if harm != "remove":
        path.write_bytes(data if harm == "flip" else data[:-10])
    with pytest.raises(MoleflowError, match=r"restore it, or train again with --overwrite") as caught:
        loaded(folder)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": 2, "tasks": []}'])
def test_a_broken_or_newer_manifest_is_named(saved, content):
    _, folder = saved
    (folder.path / "stream.json").write_text(content)
    with pytest.raises(MoleflowError, match=r"stream\.json"):
        folder.finished  # noqa: B018 - reading it is the test


def test_an_existing_run_is_never_replaced_by_accident(saved):
    _, folder = saved
    with pytest.raises(UsageError, match="continue it with --resume, replace it with --overwrite"):
        open_run(folder.path, CONFIG, resume=False, overwrite=False)
    assert folder.finished == ["a", "b+c/d"]
    assert open_run(folder.path, CONFIG, resume=True, overwrite=False).finished == ["a", "b+c/d"]
    assert open_run(folder.path, CONFIG, resume=False, overwrite=True).finished == []


def test_what_a_kill_at_the_very_start_leaves_is_no_foreign_folder(tmp_path):
    (tmp_path / ".lock").write_text("")
    (tmp_path / ".4711-0123456789abcdef.tmp").write_text("half a config")
    assert open_run(tmp_path, CONFIG, resume=True, overwrite=False).finished == []
    assert not list(tmp_path.glob("*.tmp"))


def test_a_foreign_folder_is_refused_even_with_overwrite(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds no run"):
        open_run(tmp_path, CONFIG, resume=False, overwrite=True)
    assert (tmp_path / "thesis.txt").exists()


def test_resume_refuses_another_configuration_and_ignores_where_it_runs(saved):
    _, folder = saved
    other = parse([*WORDS, "--lr", "0.2"])[0].to_store()
    with pytest.raises(UsageError, match=r"--lr was 0\.1, is 0\.2"):
        open_run(folder.path, other, resume=True, overwrite=False)
    elsewhere = parse([*WORDS, "--resume", "--device", "cuda"])[0].to_store()
    open_run(folder.path, elsewhere, resume=True, overwrite=False)


def test_a_run_begun_before_a_flag_was_there_goes_on_with_its_default(saved):
    _, folder = saved
    older = json.loads(json.dumps(CONFIG))
    del older["ablation"]["patch_memory"]["directions"], older["run"]["training"]["grad_clip"]
    del older["flags"]["patch_memory_directions"], older["flags"]["grad_clip"]
    folder.sums.write_json("config.json", older)
    with pytest.raises(UsageError, match=r"--patch_memory_directions was \(0,\), is \(7,\); use the old one"):
        open_run(folder.path, parse([*WORDS, "--patch_memory_directions", "7"])[0].to_store(), True, False)
    assert open_run(folder.path, CONFIG, resume=True, overwrite=False).finished == ["a", "b+c/d"]
    assert read_json(folder.path / "config.json")["flags"]["patch_memory_directions"] == [0]


def test_a_folder_that_cannot_be_written_is_misuse(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        open_run(tmp_path / "file" / "run", CONFIG, resume=False, overwrite=False)


MOVING = replace(TINY, flow=Flow(layers=2, base_policy="always"))


def test_a_base_that_moves_and_what_its_protector_keeps_are_replaced(tmp_path):
    folder = open_run(tmp_path / "run", CONFIG, False, False)
    model = trained(["a"], MOVING)
    folder.save_task(model, Task(("a",), 0), torch.float16, 0, {"kept": torch.ones(2)})
    first = folder.manifest
    train_task(model, Task(("b",), 1), MOVING)
    folder.save_task(model, Task(("b",), 1), torch.float16, 0, {"kept": torch.full((2,), 2.0)})
    assert folder.manifest["base"]["sha256"] != first["base"]["sha256"]
    assert folder.manifest["protector"]["sha256"] != first["protector"]["sha256"]
    assert folder.load_protector()["kept"].tolist() == [2.0, 2.0]
    assert sorted(file.name for file in folder.path.glob("*.safetensors*")) == [
        "base.safetensors",
        "protector.safetensors",
    ]


@pytest.mark.parametrize("listed", [False, True], ids=["killed before the manifest", "killed after it"])
def test_a_kill_while_a_moving_base_is_replaced_loses_nothing(tmp_path, monkeypatch, listed):
    folder = open_run(tmp_path / "run", CONFIG, False, False)
    model = trained(["a"], MOVING)
    folder.save_task(model, Task(("a",), 0), torch.float16, 0, {"kept": torch.ones(2)})
    before = {name: tensor.clone() for name, tensor in base_state(model).items()}
    train_task(model, Task(("b",), 1), MOVING)

    def killed(self, manifest):
        if listed:
            self.sums.write_json("stream.json", manifest)
        raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "_commit", killed)
    with pytest.raises(KeyboardInterrupt):
        folder.save_task(model, Task(("b",), 1), torch.float16, 0, {"kept": torch.full((2,), 2.0)})
    again = tiny_model(MOVING, seed=7)
    folder.load_base(again)
    expected = base_state(model) if listed else before
    assert all(torch.equal(expected[name], tensor) for name, tensor in base_state(again).items())
    assert folder.load_protector()["kept"].tolist() == [1.0 + listed] * 2


def test_a_base_from_before_the_stream_is_listed_before_any_task(tmp_path):
    folder = open_run(tmp_path / "run", CONFIG, False, False)
    folder.save_base(tiny_model())
    assert folder.finished == []
    again = tiny_model(seed=7)
    folder.load_base(again)
    assert all(torch.equal(tensor, base_state(tiny_model())[name]) for name, tensor in base_state(again).items())
    assert folder.load_protector() == {}


def test_opening_a_run_removes_what_killed_writers_left(saved):
    _, folder = saved
    kept = {file: file.read_bytes() for file in folder.path.rglob("*.safetensors")}
    for name in (".12-0123456789abcdef.tmp", "experts/.12-0123456789abcdef.tmp", "experts/x.safetensors.next"):
        (folder.path / name).write_bytes(b"half")
    open_run(folder.path, CONFIG, resume=True, overwrite=False)
    assert {file: file.read_bytes() for file in folder.path.rglob("*.safetensors")} == kept
    assert not [*folder.path.rglob("*.tmp"), *folder.path.rglob("*.next")]
