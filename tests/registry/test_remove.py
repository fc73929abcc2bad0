"""``remove-task``: the others stay as they are; ``evaluate`` and ``replace-task`` likewise."""

import json
import shutil
from pathlib import Path

import pytest
from miniature import CLASSES, digests, fresh, original, promised, shelf, verb

from moleflow.trainer.checkpoint import RunFolder
from moleflow.utils.io import write_json


def test_removing_what_was_added_last_leads_back(tmp_path: Path) -> None:
    run = fresh(tmp_path)
    assert verb("remove-task", run, "--task", "biscuit") == 0
    assert promised(run) == promised(original("fabric", "washer"))
    assert "biscuit" not in json.loads((run / "cost.json").read_text())["seconds_per_task"]


def test_removing_the_first_leaves_the_base_and_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fresh(tmp_path)
    before = digests(run)
    assert verb("remove-task", run, "--task", "fabric") == 0
    left = {name: digest for name, digest in before.items() if "fabric" not in name}
    assert digests(run) == left
    results = json.loads((run / "results.json").read_text())
    assert results["tasks"] == [["washer"], ["biscuit"]]
    assert "stale" not in results
    old = json.loads((original(*CLASSES) / "results.json").read_text())
    for name in ("washer", "biscuit"):
        assert results["per_class"][name]["oracle"] == old["per_class"][name]["oracle"]
    assert results["final"]["routing_accuracy"] == 1.0, "the router is derived from those left"
    assert verb("verify", run) == 0
    assert verb("add-task", run, "--task", "fabric") == 0
    assert digests(run)["base.safetensors"] == before["base.safetensors"], "a base is not trained twice"


def test_without_images_results_are_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fresh(tmp_path)
    assert verb("remove-task", run, "--task", "washer", "--data_path", tmp_path / "gone") == 0
    assert "results are marked as stale" in capsys.readouterr().out
    assert json.loads((run / "results.json").read_text())["stale"] == "remove-task washer"
    assert not (run / "report.html").exists()
    assert verb("ledger", run) == 0
    assert "accuracies are of before: remove-task washer" in capsys.readouterr().out
    assert verb("evaluate", run) == 0
    assert "stale" not in json.loads((run / "results.json").read_text())


def test_killed_before_the_manifest_the_task_is_still_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = fresh(tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(RunFolder, "_commit", killed)
        assert verb("remove-task", run, "--task", "biscuit", "--no_evaluate") == 130
    assert RunFolder(run).finished == list(CLASSES)
    assert verb("verify", run) == 0
    assert verb("remove-task", run, "--task", "biscuit") == 0
    assert promised(run) == promised(original("fabric", "washer"))


def test_misuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fresh(tmp_path, "fabric")
    assert verb("remove-task", run, "--task", "fabrik") == 2
    assert "has no task 'fabrik', only fabric; did you mean 'fabric'?" in capsys.readouterr().err
    assert verb("remove-task", run, "--task", "fabric") == 2
    assert "is the only task" in capsys.readouterr().err


def test_evaluate_takes_the_same_results_again(tmp_path: Path) -> None:
    run = fresh(tmp_path)
    for file in (*run.glob("evaluations/*"), *run.glob("scores/*"), run / "results.json", run / "results.csv"):
        file.unlink()
    assert verb("evaluate", run) == 0
    assert promised(run) == promised(original(*CLASSES))
    assert {file.stem for file in run.glob("scores/*")} == set(CLASSES), "also where a run had none"


def test_scenario_and_order_are_told_as_they_were_configured(tmp_path: Path) -> None:
    words = ("--task_order", "alphabetical", "--cl_scenario", "2-2")
    run = fresh(tmp_path, words=words)
    record = json.loads((run / "results.json").read_text())["run"]
    assert (record["scenario"], record["order"], record["preset"]) == ("2-2", "alphabetical", "demo")
    assert record["classes"] == sorted(CLASSES)
    assert verb("evaluate", run) == 0
    assert promised(run) == promised(original(*CLASSES, words=words))
    assert verb("remove-task", run, "--task", "biscuit+fabric") == 0
    record = json.loads((run / "results.json").read_text())["run"]
    assert (record["scenario"], record["classes"]) == ("1-1", ["washer"]), "two at first are more than there are"


def test_kept_scores_can_be_switched_off(tmp_path: Path) -> None:
    run = fresh(tmp_path, "fabric", words=("--no_keep_scores",))
    assert not (run / "scores").exists()
    assert verb("evaluate", run) == 0
    assert not (run / "scores").exists()


def test_replace_fits_one_expert_and_leaves_the_others(tmp_path: Path) -> None:
    run = fresh(tmp_path)
    before = digests(run)
    images = Path(shutil.copytree(shelf() / "products" / "washer", tmp_path / "now" / "washer"))
    for file in sorted((images / "train" / "good").iterdir())[:3]:
        file.unlink()
    assert verb("replace-task", run, "--task", "washer", "--data_path", tmp_path / "now") == 0
    after = digests(run)
    assert {name for name in before if after[name] != before[name]} == {
        "experts/washer.safetensors",
        "probes/washer.safetensors",
    }
    assert RunFolder(run).finished == list(CLASSES)
    assert verb("verify", run) == 0


def test_replace_on_the_same_images_gives_the_same_expert_and_repairs_a_broken_one(tmp_path: Path) -> None:
    run = fresh(tmp_path)
    (run / "experts" / "washer.safetensors").write_bytes(b"rotten")
    assert verb("verify", run) == 1
    assert verb("replace-task", run, "--task", "washer") == 0
    assert promised(run) == promised(original(*CLASSES))


def test_replacing_the_first_leaves_its_base(tmp_path: Path) -> None:
    run = fresh(tmp_path)
    before = digests(run)
    assert verb("replace-task", run, "--task", "fabric") == 0
    changed = {name for name, digest in digests(run).items() if digest != before[name]}
    assert changed == {"experts/fabric.safetensors", "probes/fabric.safetensors"}
    assert verb("verify", run) == 0


def test_a_base_that_moves_forbids_replacing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fresh(tmp_path, "fabric", "washer", words=("--base_policy", "always"))
    before = digests(run)
    assert verb("replace-task", run, "--task", "fabric") == 2
    assert "goes on learning with each task" in capsys.readouterr().err
    assert digests(run) == before
    assert verb("remove-task", run, "--task", "fabric") == 0
    matrix = json.loads((run / "results.json").read_text())["matrix"]["image_auroc"]
    assert len(matrix) == 1


def test_an_expert_keeps_the_shape_of_the_place_it_was_learned_in(tmp_path: Path) -> None:
    run = fresh(tmp_path, words=("--no_lora_in_task0",))
    before = digests(run)
    manifest = RunFolder(run).manifest
    for entry in manifest["tasks"]:
        del entry["index"]  # as older runs have it
    write_json(run / "stream.json", manifest)
    assert verb("remove-task", run, "--task", "fabric") == 0
    assert digests(run) == {name: digest for name, digest in before.items() if "fabric" not in name}
    assert verb("verify", run) == 0
