"""Bad input: one clear sentence, the right exit code, nothing lost."""

import json
import shutil

import numpy as np
import pytest
from layouts import visa
from PIL import Image


def one_sentence(printed: str) -> str:
    """The error, which is the last line and the only one that says error."""
    lines = [line for line in printed.splitlines() if "error: " in line]
    assert len(lines) == 1, printed
    return lines[0]


def first_image(data, *parts):
    return sorted(data.joinpath(*parts).iterdir())[0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--task_classes", "fabric", "washr"], "washr"),
        (["--task_classes", "fabric", "fabric"], "fabric"),
        (["--cl_scenario", "7-1"], "3 classes"),
        (["--cl_scenario", "3x3"], "3x3"),
        (["--task_order", "hard_first"], "no published list that says so for fabric, washer, biscuit"),
        (["--task_order", "texture_first"], "give your own order with --task_classes"),
        (["--task_order", "random"], "random:SEED"),
        (["--dataset", "mvtek"], "did you mean 'mvtec'"),
        (["--backbone_name", "resnet5O", "--img_size", "64"], "resnet5O"),
        (["--cnn_layers", "layer9"], "layer9"),
        (["--device", "warp"], "warp"),
        (["--log_dir", "/proc/moleflow"], "--log_dir"),
        (["--backbone_weights", "absent.safetensors"], "absent.safetensors"),
        (["--data_path", "absent_folder"], "absent_folder"),
    ],
)
def test_misuse_ends_with_exit_2_before_anything_is_written(run, tmp_path, words, expected):
    code, printed = run(tmp_path / "logs", *words)
    assert code == 2, printed
    assert expected in one_sentence(printed)
    assert not (tmp_path / "logs" / "run").exists()


def test_an_unknown_class_lists_those_there_are(run, tmp_path):
    _, printed = run(tmp_path, "--task_classes", "washr")
    assert all(name in one_sentence(printed) for name in ("biscuit", "fabric", "washer"))


def test_a_missing_data_path_names_folder_datasets_and_the_demo(run, tmp_path, monkeypatch):
    monkeypatch.setenv("MOLEFLOW_DATA", str(tmp_path / "nowhere"))
    code, printed = run(tmp_path, "--data_path", str(tmp_path / "nowhere"))
    assert code == 2
    for word in ("nowhere", "folder", "mvtec", "--preset demo"):
        assert word in one_sentence(printed)


def test_weights_of_another_architecture(run, tmp_path, shared_weights):
    code, printed = run(tmp_path, "--backbone_weights", str(shared_weights))
    assert code == 2
    assert "another architecture" in one_sentence(printed)


def test_no_weights_reachable_lists_the_ways_out(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, printed = run(tmp_path, "--backbone_name", "resnet18")
    assert code == 2
    for way in ("--backbone_weights", "backbones", "--random_backbone"):
        assert way in printed


def test_an_empty_train_folder(run, copy, tmp_path):
    for image in (copy / "washer" / "train" / "good").iterdir():
        image.unlink()
    code, printed = run(tmp_path / "logs", "--task_classes", "fabric", "washer", data=copy)
    assert code == 2
    assert "washer" in one_sentence(printed)
    assert not (tmp_path / "logs" / "run").exists(), "seen before the first task is trained"


def test_a_mask_of_another_size_and_a_missing_mask_are_named(run, copy, tmp_path):
    defect = sorted(path.name for path in (copy / "fabric" / "ground_truth").iterdir())[0]
    mask = first_image(copy, "fabric", "ground_truth", defect)
    Image.new("L", (60, 50)).save(mask)
    code, printed = run(tmp_path / "logs", data=copy)
    assert code == 2
    assert mask.name in one_sentence(printed)
    assert "60" in one_sentence(printed)
    mask.unlink()
    code, printed = run(tmp_path / "logs", data=copy)
    assert code == 2
    assert mask.name.split("_")[0] in one_sentence(printed)


def truncated(image):
    image.write_bytes(image.read_bytes()[:400])


def emptied(image):
    image.write_bytes(b"")


@pytest.mark.parametrize("harm", [truncated, emptied])
def test_an_image_that_cannot_be_decoded_is_named_and_refused_or_skipped(run, copy, tmp_path, harm):
    trained, tested = first_image(copy, "fabric", "train", "good"), first_image(copy, "fabric", "test", "good")
    harm(trained)
    harm(tested)
    one = ["--task_classes", "fabric"]
    code, printed = run(tmp_path / "logs", *one, data=copy)
    assert code == 2
    assert trained.name in one_sentence(printed)
    code, printed = run(tmp_path / "logs", *one, "--on_bad_image", "skip", "--overwrite", data=copy)
    assert code == 0, printed
    assert "2 images were skipped" in printed
    assert str(trained) in printed
    assert str(tested) in printed
    assert str(tested) not in (tmp_path / "logs" / "run" / "predictions.csv").read_text(), "never silently scored"


def test_a_bad_image_in_a_later_task_costs_no_finished_work(run, copy, tmp_path):
    bad = first_image(copy, "washer", "train", "good")
    whole = bad.read_bytes()
    truncated(bad)
    two = ["--task_classes", "fabric", "washer"]
    code, printed = run(tmp_path / "logs", *two, data=copy)
    assert code == 2
    assert bad.name in one_sentence(printed)
    run_folder = tmp_path / "logs" / "run"
    expert = (run_folder / "experts" / "fabric.safetensors").read_bytes()
    bad.write_bytes(whole)
    code, printed = run(tmp_path / "logs", *two, "--resume", data=copy)
    assert code == 0, printed
    assert (run_folder / "experts" / "fabric.safetensors").read_bytes() == expert
    assert json.loads((run_folder / "results.json").read_text())["per_class"].keys() == {"fabric", "washer"}


def test_images_of_every_kind_work(run, copy, tmp_path):
    folder = copy / "fabric" / "train" / "good"
    files = sorted(folder.iterdir())
    grey = np.asarray(Image.open(files[0]).convert("L"))
    Image.fromarray(grey.astype(np.uint16) * 257).save(files[0])
    Image.open(files[1]).convert("L").save(files[1])
    Image.open(files[2]).convert("RGBA").save(files[2])
    Image.open(files[3]).convert("P").save(files[3])
    Image.open(files[4]).convert("CMYK").save(folder / "cmyk.jpg")
    assert {Image.open(file).mode for file in folder.iterdir()} >= {"I;16", "L", "RGBA", "P", "RGB", "CMYK"}
    code, printed = run(tmp_path / "logs", "--task_classes", "fabric", data=copy)
    assert code == 0, printed
    assert "skipped" not in printed


def test_a_class_without_masks_gets_image_metrics_only(run, copy, tmp_path):
    shutil.rmtree(copy / "fabric" / "ground_truth")
    code, printed = run(tmp_path / "logs", "--task_classes", "fabric", data=copy)
    assert code == 0, printed
    row = json.loads((tmp_path / "logs" / "run" / "results.json").read_text())["per_class"]["fabric"]
    assert row["pixel_ap"] is None
    assert row["aupro"] is None
    assert row["image_auroc"] is not None


def test_a_loss_that_explodes_keeps_finished_tasks(run, tmp_path):
    code, printed = run(tmp_path, "--task_classes", "fabric", "washer", "--stop_after", "1", "--lr", "1e30")
    assert code == 1
    assert "stopped being finite at step" in one_sentence(printed)
    assert not (tmp_path / "run" / "experts").exists()
    assert "stopped being finite" in (tmp_path / "run" / "run.log").read_text()


def test_a_split_file_that_names_a_missing_image_is_refused_before_anything_is_trained(run, tmp_path):
    visa(tmp_path / "visa", "candle", "pcb1")
    (tmp_path / "visa/pcb1/Data/Images/Normal/0002.JPG").unlink()
    code, printed = run(
        tmp_path / "logs", "--dataset", "visa", "--task_classes", "candle", "pcb1", data=tmp_path / "visa"
    )
    assert code == 2
    assert "0002.JPG in line 8, which does not exist" in one_sentence(printed)
    assert not (tmp_path / "logs" / "run").exists()


def test_what_spoils_numbers_is_told_at_the_start_and_does_not_stop_the_run(run, copy, tmp_path):
    """A test image that is trained on, an empty mask, and a class of one image."""
    good = copy / "fabric" / "train" / "good"
    leaked = shutil.copy(first_image(copy, "fabric", "train", "good"), copy / "fabric" / "test" / "good" / "leak.png")
    defect = sorted(path.name for path in (copy / "fabric" / "ground_truth").iterdir())[0]
    mask = first_image(copy, "fabric", "ground_truth", defect)
    Image.new("L", Image.open(mask).size).save(mask)
    for image in sorted((copy / "washer" / "train" / "good").iterdir())[1:]:
        image.unlink()
    code, printed = run(tmp_path / "logs", "--task_classes", "fabric", "washer", data=copy)
    assert code == 0, printed
    warnings = [line for line in printed.splitlines() if "warning: " in line]
    start = printed.index("task 1/2")
    assert len(warnings) == 3
    assert all(printed.index(line) < start for line in warnings)
    for word in (f"fabric/test/good/{leaked.name}", f"fabric/train/good/{sorted(good.iterdir())[0].name}"):
        assert word in " ".join(warnings)
    assert f"mask {mask} of a defective image is empty" in " ".join(warnings)
    assert "class 'washer' has one training image" in " ".join(warnings)
    row = json.loads((tmp_path / "logs" / "run" / "results.json").read_text())["per_class"]
    assert row["washer"]["reference_n"] == 0
    assert row["washer"]["decisions"]["oracle"]["accuracy"] is None
    assert row["fabric"]["pixel_ap"] is not None
