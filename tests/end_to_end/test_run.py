"""The whole job on a miniature of the demo stream: what is written, what it says, how it goes on."""

import csv
import json
import signal
import time

import pytest
from conftest import CLASSES, promised_bytes

from moleflow.evaluation.results import METRICS


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    return tmp_path_factory.mktemp("logs")


@pytest.fixture
def finished(run, logs):
    """The folder of a finished run with figures."""
    folder = logs / "run"
    if not (folder / "report.html").exists():
        code, printed = run(logs, "--figures", "--tensorboard")
        assert code == 0, printed
    return folder


def test_a_run_leaves_everything_it_promises(finished):
    expected = [
        "config.json", "env.json", "metrics.jsonl", "run.log", "base.safetensors", "stream.json", "results.json",
        "results.csv", "predictions.csv", "cost.json", "report.html", "figures/score_histograms.png",
        *(f"experts/{name}.safetensors" for name in CLASSES), *(f"figures/gallery_{name}.png" for name in CLASSES),
        "figures/task_matrix_image_auroc.png", "figures/task_matrix_pixel_ap.png", "figures/training_curves.png",
    ]  # fmt: skip
    assert [name for name in expected if not (finished / name).is_file()] == []
    assert list(finished.glob("events.out.tfevents*"))
    assert not list(finished.rglob("*.tmp*"))


def test_results_json_keeps_its_contract(finished):
    results = json.loads((finished / "results.json").read_text())
    assert results["schema"] == 1
    assert results["tasks"] == [[name] for name in CLASSES]
    assert set(results["final"]["routed"]) == set(results["final"]["oracle"]) == set(METRICS)
    assert results["final"]["pooled_image_auroc"]["calibrated"] is None
    assert 0 <= results["final"]["routing_accuracy"] <= 1
    for twin in ("continual", "continual_routed"):
        assert set(results[twin]) == {"fm", "bwt", "average_incremental"}
    for metric in METRICS:
        matrix = results["matrix"][metric]
        assert [[cell is None for cell in row] for row in matrix] == [[j > i for j in range(3)] for i in range(3)]
    assert set(results["per_class"]) == set(CLASSES)


def test_forgetting_on_the_oracle_route_is_exactly_zero(finished):
    results = json.loads((finished / "results.json").read_text())
    for metric in METRICS:
        assert results["continual"]["fm"][metric] == 0.0
        assert results["continual"]["bwt"][metric] == 0.0
        for task, column in enumerate(zip(*results["matrix"][metric], strict=True)):
            assert len(set(column[task:])) == 1


def test_the_detector_works_and_the_router_knows_its_products(finished):
    final = json.loads((finished / "results.json").read_text())["final"]
    assert final["routed"]["image_auroc"] > 0.8
    assert final["routed"]["pixel_auroc"] > 0.7
    assert final["routing_accuracy"] == 1.0


def test_tables_hold_a_row_for_each_class_and_each_image(finished):
    rows = list(csv.DictReader((finished / "results.csv").open()))
    assert [row["class"] for row in rows] == [*CLASSES, "mean"]
    images = list(csv.DictReader((finished / "predictions.csv").open()))
    assert {row["class"] for row in images} == set(CLASSES)
    assert all(row["routed_task"] in CLASSES and float(row["score"]) == float(row["oracle_score"]) for row in images)
    assert {row["label"] for row in images} == {"0", "1"}


def test_costs_are_noted_for_each_task(finished):
    cost = json.loads((finished / "cost.json").read_text())
    for key in ("seconds_per_task", "bytes_per_expert", "params_per_task"):
        assert set(cost[key]) == set(CLASSES)
    manifest = json.loads((finished / "stream.json").read_text())
    assert cost["bytes_per_expert"] == {entry["name"]: entry["bytes"] for entry in manifest["tasks"]}


def test_config_json_reproduces_the_run(finished):
    config = json.loads((finished / "config.json").read_text())
    assert set(config) == {"ablation", "run", "flags", "sources", "named"}
    assert config["named"] == {"preset": "demo", "ablation": None}
    assert config["flags"]["num_steps"] == 12
    assert config["sources"]["num_steps"] == "cli"


def test_an_existing_run_is_kept_unless_told_otherwise(run, finished, logs):
    before = promised_bytes(finished)
    code, printed = run(logs)
    assert code == 2
    assert "continue it with --resume, replace it with --overwrite" in printed
    assert promised_bytes(finished) == before


def test_resume_of_a_complete_run_does_nothing(run, finished, logs):
    before = {file: file.stat().st_mtime_ns for file in finished.rglob("*.safetensors")}
    report = (finished / "report.html").read_bytes()
    code, printed = run(logs, "--resume")
    assert code == 0
    assert "fabric" in printed, "it still shows the results"
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert (finished / "report.html").read_bytes() == report


def test_resume_with_another_configuration_is_refused(run, finished, logs):
    code, printed = run(logs, "--resume", "--lr", "0.5")
    assert code == 2
    assert "--lr was 0.002, is 0.5" in printed


def test_a_paused_and_resumed_run_ends_with_the_same_bytes(run, finished, tmp_path):
    code, printed = run(tmp_path, "--stop_after", "1")
    assert code == 0, printed
    assert json.loads((tmp_path / "run" / "results.json").read_text())["per_class"].keys() == {"fabric"}
    code, printed = run(tmp_path, "--resume")
    assert code == 0, printed
    assert promised_bytes(tmp_path / "run") == promised_bytes(finished)


def test_a_killed_and_resumed_run_ends_with_the_same_bytes(run, started, finished, tmp_path):
    process = started(tmp_path)
    manifest = tmp_path / "run" / "stream.json"
    while not manifest.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "run" / "report.html").exists()
    code, printed = run(tmp_path, "--resume")
    assert code == 0, printed
    assert promised_bytes(tmp_path / "run") == promised_bytes(finished)


def test_the_same_seed_gives_the_same_bytes_without_a_cache(run, finished, tmp_path):
    code, printed = run(tmp_path, "--no_feature_cache", "--num_workers", "0")
    assert code == 0, printed
    assert promised_bytes(tmp_path / "run") == promised_bytes(finished)


def test_several_classes_a_task(run, tmp_path):
    code, printed = run(tmp_path, "--cl_scenario", "2-1")
    assert code == 0, printed
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["tasks"] == [["fabric", "washer"], ["biscuit"]]
    assert [row["task"] for row in results["per_class"].values()] == [0, 0, 1]
    assert (tmp_path / "run" / "experts" / "fabric+washer.safetensors").exists()
    assert results["continual"]["fm"]["image_auroc"] == 0.0


def test_the_oracle_router_reports_no_routing_accuracy_of_its_own(run, tmp_path):
    code, _ = run(tmp_path, "--router", "oracle", "--stop_after", "2")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert code == 0
    assert results["final"]["routed"] == results["final"]["oracle"]
    assert results["final"]["routing_accuracy"] is None


@pytest.mark.parametrize("ablation", ["wo_lora", "wo_dia", "wo_adapter", "wo_tail", "wo_spatial_ctx", "all_shared"])
def test_ablations_run(run, tmp_path, ablation):
    code, printed = run(tmp_path, "--ablation", ablation, "--num_steps", "3", "--stop_after", "2")
    assert code == 0, printed
    assert (tmp_path / "run" / "report.html").exists()
