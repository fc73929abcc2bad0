"""The run on disk: what is written can be read back bit for bit, and what is broken is named."""

import json

import pytest
import torch
from fakes import TINY, tiny_model, trained

from moleflow.config.task import Task
from moleflow.models.task import base_state, expert_state
from moleflow.trainer.checkpoint import RunFolder, open_run
from moleflow.utils.errors import MoleflowError, UsageError

TASKS = [Task(("a",), 0), Task(("b", "c/d"), 1)]
CONFIG = {"flags": {"lr": 0.1, "task_classes": ("a", "b"), "resume": False}}


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


def test_a_foreign_folder_is_refused_even_with_overwrite(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds no run"):
        open_run(tmp_path, CONFIG, resume=False, overwrite=True)
    assert (tmp_path / "thesis.txt").exists()


def test_resume_refuses_another_configuration_and_ignores_where_it_runs(saved):
    _, folder = saved
    other = {"flags": {**CONFIG["flags"], "lr": 0.2}}
    with pytest.raises(UsageError, match=r"--lr was 0\.1, is 0\.2"):
        open_run(folder.path, other, resume=True, overwrite=False)
    elsewhere = {"flags": {**CONFIG["flags"], "resume": True, "device": "cuda"}}
    open_run(folder.path, elsewhere, resume=True, overwrite=False)


def test_a_folder_that_cannot_be_written_is_misuse(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        open_run(tmp_path / "file" / "run", CONFIG, resume=False, overwrite=False)
