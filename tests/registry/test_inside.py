"""A finished run judged on its training images alone, each without what its expert keeps of it."""

import importlib
import json
import shutil
from functools import cache
from pathlib import Path

import pytest
import torch
from miniature import original, shelf

import moleflow.registry.inside as inside
from moleflow.analysis.statistics.finished import read_finished
from moleflow.data.folder import FolderDataset
from moleflow.data.synthetic.inner import MANIFEST, Recipe, write_inner
from moleflow.extractors.stream_data import StreamData
from moleflow.registry.inside import choose_again, judged_inside
from moleflow.registry.stored_run import StoredRun
from moleflow.trainer.cross_fitting import scored_without
from moleflow.utils.errors import MoleflowError, UsageError

CLASSES = ("washer", "biscuit")
REMEMBERS = ("--use_patch_memory", "--patch_memory_size", "40", "--calibration_images", "all")
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def run(*words: str) -> StoredRun:
    return StoredRun(original(*CLASSES, words=words or REMEMBERS))


@cache
def damaged(**settings: float) -> Path:
    """Three spots and three warps a class."""
    products = FolderDataset(shelf() / "products")
    recipe = Recipe(**{"held_out": 0.0, "per_kind": 3, "kinds": ("spot", "warp"), **settings})
    return write_inner(products, CLASSES, shelf() / f"damaged{settings}", recipe)


def test_it_scores_no_test_image_and_tells_what_an_evaluation_tells(monkeypatch):
    stored = run()
    monkeypatch.setattr(StreamData, "test", lambda *_: pytest.fail("a test image is asked for"))
    found = judged_inside(stored, damaged()).results
    assert list(found["per_class"]) == list(CLASSES)
    for row in found["per_class"].values():
        assert 0.5 < row["image_auroc"] <= 1
        assert 0 < row["pixel_ap"] <= 1
    assert json.dumps(found)


@pytest.mark.parametrize("scenario", ["1-1", "2-1"])
def test_an_image_and_its_damaged_version_are_scored_without_its_own_pieces(monkeypatch, scenario):
    asked = []

    def noted(model, task, number, features):
        asked.append(number)
        return scored_without(model, task, number, features)

    stored = run(*REMEMBERS, "--cl_scenario", scenario)
    monkeypatch.setattr(inside, "scored_without", noted)
    assert list(judged_inside(stored, damaged()).scores) == list(CLASSES)
    sources = json.loads((damaged() / MANIFEST).read_text())["classes"]
    expected = []
    with stored.runner(stored.tasks, stored.places) as runner:
        for task in runner.stream:
            normal, _ = runner.data.training(task)
            places = [sample.path.relative_to(shelf() / "products").as_posix() for sample in normal.samples]
            for name in task.classes:
                own = [number for number, sample in enumerate(normal.samples) if sample.class_name == name]
                known = [source for _, source in sorted(sources[name]["sources"].items()) if source in places]
                assert known
                expected += [*own, *map(places.index, known)]
    assert asked == expected


def test_what_is_chosen_again_has_to_be_what_was_kept():
    stored = run()
    with stored.runner(stored.tasks, stored.places) as runner:
        runner.folder.load_base(runner.model)
        task = runner.stream[0]
        stored.load(runner.model, task.name)
        normal, _ = runner.data.training(task)
        bank = runner.model.fusion.views[0].banks[task.name]
        assert bank.images == 0, "a stored memory does not know"
        choose_again(runner.model, task, normal.batches)
        assert bank.images == len(normal)
        bank.codes += 1
        with pytest.raises(MoleflowError, match=r"'washer' keeps, chosen again, differs .*codes.*another processor"):
            choose_again(runner.model, task, normal.batches)


@pytest.mark.parametrize(("words", "reason"), [
    (("--seed", "0"), "keeps no pieces of images"),
    ((*REMEMBERS, "--use_place_gaussian"), "has learned Gaussians of every image"),
    ((*REMEMBERS, "--use_rotation_aug", "--cache_views", "2"), "keeps images under several angles"),
    ((*REMEMBERS, "--max_train_images", "3"), "normal images that the run was trained on and"),
])  # fmt: skip
def test_a_run_that_cannot_score_an_image_as_new_is_refused(words, reason):
    with pytest.raises(UsageError, match=reason):
        judged_inside(run(*words), damaged())


def test_classes_from_elsewhere_are_judged_where_they_lie(tmp_path):
    shutil.copytree(shelf() / "products", tmp_path / "moved")
    stored = StoredRun(Path(shutil.copytree(run().path, tmp_path / "logs" / "run")))
    stored.write_places(["biscuit"], str(tmp_path / "moved"))
    there, here = (judged_inside(one, damaged()).results["per_class"] for one in (stored, run()))
    assert there == here


def test_it_tells_whose_versions_damaged_images_are():
    found = judged_inside(run(), damaged())
    told = found.results["inside"]["sources"]
    made = json.loads((damaged() / MANIFEST).read_text())["classes"]
    known = {name for scores in found.scores.values() for name in scores.names}
    assert set(told) == {name for name in known if name.startswith("damaged/")}
    expected = {
        f"damaged/{name}/{place}": f"normal/{source}"
        for name in CLASSES
        for place, source in made[name]["sources"].items()
    }
    assert told == {one: normal for one, normal in expected.items() if normal in known}


def test_names_do_not_depend_on_where_the_images_lie(tmp_path, monkeypatch):
    monkeypatch.chdir(damaged().parent)
    scores = judged_inside(run(), Path(damaged().name)).scores["washer"]
    assert len(set(scores.names)) == len(scores.names)
    assert set(scores.names[scores.labels == 1]) == {
        f"damaged/washer/test/{kind}/{number:03}.png" for kind in ("spot", "warp") for number in range(3)
    }
    assert all(name.startswith("normal/washer/train/good/") for name in scores.names[scores.labels == 0])


def test_an_image_is_farther_from_the_others_than_from_itself():
    stored = run()
    with stored.runner(stored.tasks, stored.places) as runner, torch.no_grad():
        runner.folder.load_base(runner.model)
        task = runner.stream[0]
        stored.load(runner.model, task.name)
        normal, _ = runner.data.training(task)
        choose_again(runner.model, task, normal.batches)
        plain = [runner.model.score_as(normal.take([number]), task.name).images for number in range(len(normal))]
        without = [scored_without(runner.model, task, n, normal.take([n])).images for n in range(len(normal))]
    assert torch.cat(without).mean() > torch.cat(plain).mean()


def test_the_script_judges_what_it_can_once_and_names_the_rest(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    script = importlib.import_module("validate_inside")
    shutil.copytree(original(*CLASSES, words=REMEMBERS), tmp_path / "runs" / "memory")
    shutil.copytree(original(*CLASSES, words=("--seed", "0")), tmp_path / "runs" / "flow")
    words = [str(tmp_path / "runs"), "--inner", str(damaged()), "--out", str(tmp_path / "out")]
    assert script.main(words) == 1
    said = capsys.readouterr()
    assert "memory: image AUROC" in said.out
    assert "flow: The run in" in said.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["memory"]
    made = tmp_path / "out" / "memory"
    assert {"results.json", "config.json", "scores"} == {path.name for path in made.iterdir()}
    (run,), _ = read_finished([tmp_path / "out"])
    for name, tested in run.tested.items():
        assert tested.values(tested.whole)["image_ap"] == pytest.approx(run.results["per_class"][name]["image_ap"])
        assert tested.values(tested.whole)["pixel_ap"] == pytest.approx(
            run.results["per_class"][name]["pixel_ap"], abs=2e-3
        )
    shutil.rmtree(tmp_path / "runs" / "flow")
    monkeypatch.setattr(script, "judged_inside", lambda *_: pytest.fail("it is judged"))
    capsys.readouterr()
    assert script.main(words) == 0
    assert capsys.readouterr() == ("", "")
    (made / "scores" / "washer.npz").unlink()
    judged = []
    monkeypatch.setattr(script, "judged_inside", lambda *given: judged.append(given) or inside.judged_inside(*given))
    assert script.main(words) == 0, "it was stopped before all scores were there"
    assert len(judged) == 1
    assert (made / "scores" / "washer.npz").exists()
    results = json.loads((made / "results.json").read_text())
    assert results["inside"].pop("sources")
    (made / "results.json").write_text(json.dumps(results))
    assert script.main(words) == 0, "it was judged before sources were kept"
    assert len(judged) == 2
    assert json.loads((made / "results.json").read_text())["inside"]["sources"]
    words[2] = str(damaged(per_kind=2))
    assert script.main(words) == 1
    assert "is of another run, or of other damaged images: remove it" in capsys.readouterr().err
    words[4] = words[0]
    assert script.main(words) == 1
    assert "give another --out" in capsys.readouterr().err


def test_a_run_that_fails_costs_no_other(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    script = importlib.import_module("validate_inside")
    for name in ("a", "b"):
        shutil.copytree(original(*CLASSES, words=REMEMBERS), tmp_path / "runs" / name)
    (tmp_path / "runs/a/experts/washer.safetensors").write_bytes(b"damaged")
    words = [str(tmp_path / "runs"), "--inner", str(damaged()), "--out", str(tmp_path / "out")]
    assert script.main(words) == 1
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].startswith("a: ")
    assert "b: image AUROC" in said.out
    assert "image AP" in said.out
