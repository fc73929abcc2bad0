"""Experiments on two tiny products before a stand-in backbone: files, resumption, the task matrix, the table."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import SIZE, PixelExtractor

from moleflow.data.demo import write_demo
from moleflow.evaluation.statistics.counted import Counted, counts_file
from moleflow.experiments.conditions import Experiment, read_experiments
from moleflow.experiments.located import read_located
from moleflow.experiments.run import Experiments
from moleflow.experiments.table import comparison, drawn
from moleflow.utils.errors import MoleflowError, UsageError

CLASSES = ("fabric", "washer")
FILE = f"""
defaults: {{task_classes: [{", ".join(CLASSES)}], img_size: {SIZE}, batch_size: 4, max_epochs: 2}}
experiment_conditions:
  - {{name: proto, config: {{model_type: nearest_prototype}}}}
  - {{name: ae, config: {{model_type: vanilla_ae}}}}
  - {{name: tuned, config: {{model_type: fine_tune, num_steps: 2, cnn_layers: [layer1]}}}}
  - {{name: together, config: {{model_type: joint, num_steps: 2, cnn_layers: [layer1]}}}}
"""


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two products."""
    folder = tmp_path_factory.mktemp("experiments") / "products"
    return write_demo(folder, classes=CLASSES, train=8, test_good=3, per_defect=2, size=64)


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in backbone."""
    for place in ("moleflow.experiments.peer_stream", "moleflow.run"):
        monkeypatch.setattr(f"{place}.build_extractor", lambda *_: PixelExtractor())


def experiments(products: Path, folder: Path, text: str = FILE) -> list[Experiment]:
    """Those of a file."""
    folder.mkdir(exist_ok=True)
    (folder / "file.yaml").write_text(text)
    return read_experiments(folder / "file.yaml", {"data_path": str(products)})


def read(file: Path) -> dict[str, Any]:
    """A JSON file."""
    return json.loads(file.read_text())


def test_every_kind_of_experiment_leaves_the_same_results(products: Path, tmp_path: Path):
    said: list[str] = []
    all_of_them = Experiments(experiments(products, tmp_path), tmp_path / "out", said.append)
    assert all_of_them.run() == {}
    for name, tasks in (("proto", 2), ("ae", 2), ("tuned", 2), ("together", 1)):
        results = read(tmp_path / "out" / name / "run" / "results.json")
        cost = read(tmp_path / "out" / name / "run" / "cost.json")
        assert len(results["matrix"]["image_auroc"]) == len(results["tasks"]) == tasks
        assert set(results["per_class"]) == set(CLASSES)
        assert cost["ms_per_image"] > 0
        assert min(cost["bytes_per_expert"].values()) > 0
    peer = read(tmp_path / "out" / "ae" / "run" / "results.json")
    assert peer["continual"]["fm"]["image_auroc"] == 0.0
    assert peer["run"]["model"] == "vanilla_ae"
    assert read(tmp_path / "out" / "ae" / "run" / "cost.json")["training"]["fabric"]["ended"] == "max_epochs"
    table = (tmp_path / "out" / "comparison.md").read_text()
    assert [line.split(" | ")[0][2:] for line in table.splitlines()[4:8]] == ["proto", "ae", "tuned", "together"]
    assert (tmp_path / "out" / "comparison.png").stat().st_size > 1000
    assert not (tmp_path / "out" / "ae" / "run" / "models").exists()


def test_what_is_done_is_not_done_again(products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    only = experiments(products, tmp_path)[:1]
    Experiments(only, tmp_path / "out", lambda _: None).run()
    before = (tmp_path / "out" / "proto" / "run" / "results.json").read_bytes()
    monkeypatch.setattr("moleflow.experiments.run.PeerStream", None)
    said: list[str] = []
    assert Experiments(only, tmp_path / "out", said.append).run() == {}
    assert said == ["proto: done before"]
    assert (tmp_path / "out" / "proto" / "run" / "results.json").read_bytes() == before


def test_a_stopped_experiment_goes_on_and_ends_the_same(
    products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    only = [one for one in experiments(products, tmp_path) if one.name == "ae"]
    Experiments(only, tmp_path / "whole", lambda _: None).run()
    from moleflow.baselines.autoencoders import VanillaAE
    from moleflow.experiments.peer_evaluator import PeerEvaluator

    fitted: list[str] = []
    fit, evaluate = VanillaAE.fit, PeerEvaluator.evaluate

    def counted(self: Any, *args: Any) -> None:
        fitted.append("once")
        fit(self, *args)

    def stopped(self: PeerEvaluator, seen: Any) -> Any:
        if len(seen) == 2:
            raise KeyboardInterrupt
        return evaluate(self, seen)

    monkeypatch.setattr(VanillaAE, "fit", counted)
    with monkeypatch.context() as patched:
        patched.setattr(PeerEvaluator, "evaluate", stopped)
        with pytest.raises(KeyboardInterrupt):
            Experiments(only, tmp_path / "halves", lambda _: None).run()
    assert read(tmp_path / "halves" / "ae" / "run" / "results.json")["matrix"]["image_auroc"][0][1] is None
    Experiments(only, tmp_path / "halves", lambda _: None).run()
    assert len(fitted) == len(CLASSES)
    files = [tmp_path / half / "ae" / "run" / "results.json" for half in ("whole", "halves")]
    assert read(files[0]) == read(files[1])


def test_routed_scores_are_those_of_the_model_an_image_was_sent_to(
    products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        "moleflow.models.routing.base.Router.forward", lambda self, features, *_: [self.tasks[-1]] * len(features)
    )
    only = experiments(products, tmp_path)[:1]
    Experiments(only, tmp_path / "out", lambda _: None).run()
    results = read(tmp_path / "out" / "proto" / "run" / "results.json")
    assert results["per_class"]["washer"]["routing_accuracy"] == 1
    assert results["per_class"]["fabric"]["routing_accuracy"] == 0
    assert results["matrix"]["image_auroc"][0][0] == results["matrix_routed"]["image_auroc"][0][0]
    assert results["per_class"]["washer"]["pixel_ap"] == results["per_class"]["washer"]["oracle"]["pixel_ap"]
    assert results["per_class"]["fabric"]["pixel_ap"] != results["per_class"]["fabric"]["oracle"]["pixel_ap"]
    assert results["continual"]["fm"]["pixel_ap"] == 0.0


def test_a_folder_of_another_experiment_is_refused_before_anything_runs(products: Path, tmp_path: Path):
    Experiments(experiments(products, tmp_path)[:1], tmp_path / "out", lambda _: None).run()
    other = experiments(products, tmp_path, FILE.replace("nearest_prototype", "gaussian_per_task"))
    with pytest.raises(UsageError, match=r"proto/experiment\.json is of another experiment"):
        Experiments(other, tmp_path / "out", lambda _: None).run()
    assert not (tmp_path / "out" / "ae").exists()


def test_what_does_not_concern_a_peer_makes_no_other_experiment(products: Path, tmp_path: Path):
    Experiments(experiments(products, tmp_path)[:1], tmp_path / "out", lambda _: None).run()
    file = tmp_path / "out" / "proto" / "experiment.json"
    stored = read(file)
    assert "lora_rank" not in stored["flags"]
    assert stored["flags"]["img_size"] == SIZE
    del stored["flags"]["val_fraction"]  # as if an older version had not known it
    file.write_text(json.dumps(stored))
    said: list[str] = []
    Experiments(experiments(products, tmp_path)[:1], tmp_path / "out", said.append).run()
    assert said == ["proto: done before"]
    stored["flags"]["img_size"] = 2 * SIZE
    file.write_text(json.dumps(stored))
    with pytest.raises(UsageError, match="is of another experiment"):
        Experiments(experiments(products, tmp_path)[:1], tmp_path / "out", said.append).run()


def test_how_flows_are_trained_makes_no_other_experiment_of_a_peer(products: Path, tmp_path: Path):
    for words in ("lr: 0.1, num_steps: 7", "lr: 0.2, num_steps: 9"):
        text = FILE.replace("batch_size: 4", f"batch_size: 4, {words}")
        Experiments(experiments(products, tmp_path, text)[:1], tmp_path / "out", lambda _: None).run()
    stored = read(tmp_path / "out" / "proto" / "experiment.json")["flags"]
    assert "seed" in stored
    assert not {"lr", "num_steps"} & set(stored)


def test_a_peer_keeps_counts_that_give_its_metrics_again(products: Path, tmp_path: Path):
    only = experiments(products, tmp_path)[:1]
    Experiments(only, tmp_path / "out", lambda _: None).run()
    results = read(tmp_path / "out" / "proto" / "run" / "results.json")
    for name in CLASSES:
        counted = Counted.load(counts_file(tmp_path / "out" / "proto" / "run", name))
        again = counted.values(counted.whole)
        assert again["image_auroc"][0] == pytest.approx(results["per_class"][name]["image_auroc"])
        assert again["pixel_ap"][0] == pytest.approx(results["per_class"][name]["pixel_ap"], abs=2e-3)
        assert "good/000.png" in counted.names
    with pytest.raises(MoleflowError, match="holds no counts"):
        Counted.load(tmp_path / "out" / "nothing.npz")


def test_features_lie_where_the_cache_is_named(products: Path, tmp_path: Path):
    (tmp_path / "file.yaml").write_text(FILE)
    flags = {"data_path": str(products), "feature_cache": str(tmp_path / "cache"), "max_train_images": 4}
    only = read_experiments(tmp_path / "file.yaml", flags)[:1]
    Experiments(only, tmp_path / "out", lambda _: None).run()
    tested = sum(len(list((products / name / "test").rglob("*.png"))) for name in CLASSES)
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == tested + 4 * len(CLASSES)
    assert not (tmp_path / "out" / "feature_cache").exists()


def test_one_that_fails_stops_no_other(products: Path, tmp_path: Path):
    text = FILE.replace("model_type: nearest_prototype", "model_type: student_teacher, backbone: resnet7")
    failed = Experiments(experiments(products, tmp_path, text)[:2], tmp_path / "out", lambda _: None).run()
    assert list(failed) == ["proto"]
    assert "unknown backbone 'resnet7'" in failed["proto"]
    assert (tmp_path / "out" / "ae" / "run" / "results.json").exists()


def row(name: str, model: str, auroc: float, tasks: tuple[int, int] = (2, 2)) -> dict[str, Any]:
    """A row of the table."""
    quality = {"image_auroc": auroc, "pixel_auroc": 0.9, "pixel_ap": None, "aupro": 0.5}
    return {
        **quality, "name": name, "model": model, "routed": quality, "routing_accuracy": 1.0, "fm": 0.05, "bwt": -0.05,
        "mb_per_task": 1.5, "seconds_per_task": 30.0, "ms_per_image": None, "tasks": list(tasks),
    }  # fmt: skip


def test_the_table_shows_points_and_what_is_unfinished():
    table = comparison([row("a", "padim", 0.9), row("b", "ewc", 0.8, (1, 2))])
    assert table.rows[0][:6] == ("a", "PaDiM", 90.0, 90.0, None, 50.0)
    assert table.rows[0][8:] == (5.0, -5.0, 1.5, 30.0, None)
    assert table.rows[1][0] == "b (1 of 2 tasks)"


def test_the_figure_has_a_bar_for_each_from_the_best_down():
    figure = drawn([row("a", "padim", 0.7), row("b", "moleflow", 0.9), row("c", "ewc", 0.8)])
    left = figure.axes[0]
    assert [text.get_text() for text in left.get_yticklabels()] == ["a", "c", "b"]
    np.testing.assert_allclose([patch.get_width() for patch in left.patches], [70, 80, 90])
    assert len({patch.get_facecolor() for patch in left.patches}) == 3


def test_lines_are_those_of_keys_and_items(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("a:\n  - 1e-4\n  - b: x\n")
    found = read_located(tmp_path / "a.yaml")
    assert found.content == {"a": [1e-4, {"b": "x"}]}
    assert found.lines == {(): 1, ("a",): 1, ("a", 0): 2, ("a", 1): 3, ("a", 1, "b"): 3}
