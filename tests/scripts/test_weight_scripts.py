"""The scripts that look at weights: misuse, help, and one end-to-end run of each."""

import subprocess
import sys
from pathlib import Path

import pytest
from scripts.calling import ROOT, call

from moleflow.data.demo import write_demo
from moleflow.utils.io import read_json

SVD, RANK, CROSS = "analyze_svd_full_finetune.py", "analyze_lora_rank.py", "analyze_cross_task_lora.py"


def test_help_names_every_flag_without_torch() -> None:
    for script, flag in ((SVD, "--task_pairs"), (RANK, "--run"), (CROSS, "--run")):
        line = [sys.executable, "-X", "importtime", str(ROOT / "scripts" / script), "--help"]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        assert flag in done.stdout, script
        assert "--output_dir" in done.stdout, script
        assert "| torch" not in done.stderr.replace("|   ", "| "), script


@pytest.mark.parametrize(("words", "expected"), [
    ([SVD, "--task0_class", "a", "--task1_class", "b"], "required: --output_dir"),
    ([SVD, "--output_dir", "x"], "Which products? Give --task0_class and --task1_class"),
    ([SVD, "--output_dir", "x", "--task0_class", "a"], "Give both --task0_class and --task1_class"),
    ([SVD, "--output_dir", "x", "--task_pairs", "a:a"], "two different products like screw:cookie, found 'a:a'"),
    ([SVD, "--output_dir", "x", "--task_pairs", "a:b:c"], "found 'a:b:c'"),
    ([SVD, "--output_dir", "x", "--task_pairs", "a:b", "--lrr", "1"], "Unknown argument '--lrr'; did you mean '--lr'?"),
    ([SVD, "--output_dir", "x", "--task_pairs", "a:b", "--data_path", "absent"], "absent of dataset 'mvtec' does not"),
    ([SVD, "--output_dir", "x", "--task_pairs", "a:b", "--draws", "1"], "--draws expects at least 2, found 1."),
    ([RANK, "--run", "absent"], "There is no run in absent"),
    ([RANK, "--run", "absent", "--draws", "0"], "--draws expects at least 2, found 0."),
    ([CROSS], "required: --run"),
    ([CROSS, "--run", "absent", "absent"], "There is no run in absent"),
])  # fmt: skip
def test_misuse_ends_with_2_and_one_sentence(words: list[str], expected: str, tmp_path: Path) -> None:
    log_dir = ["--log_dir", str(tmp_path)] if words[0] == SVD else []
    code, out, error = call(*words, *log_dir)
    assert (code, out) == (2, "")
    assert error.startswith("error: ")
    assert expected in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_full_finetuning_from_images_to_findings(tmp_path: Path) -> None:
    write_demo(tmp_path / "products", classes=("fabric", "washer"), train=10, test_good=3, per_defect=1, size=64)
    words = ["--preset", "demo", "--dataset", "folder", "--data_path", tmp_path / "products", "--num_steps", 3]
    words += ["--img_size", 64, "--embed_dim", 32, "--feature_grid", 4, "--coupling_layers", 2, "--device", "cpu"]
    words += ["--task0_class", "fabric", "--task1_class", "washer", "--log_dir", tmp_path / "logs", "--draws", 3]
    assert call(SVD, *words, "--output_dir", tmp_path / "out").returncode == 0
    first = read_json(tmp_path / "out" / "analysis_results.json")
    assert list(first["pairs"]) == ["fabric → washer"]
    assert all(layer["norm"] > 0 for layer in first["layers"])
    assert len(first["layers"]) == 4
    before = (tmp_path / "logs" / "fabric-washer" / "stream.json").stat().st_mtime_ns
    assert call(SVD, *words, "--output_dir", tmp_path / "again").returncode == 0
    assert read_json(tmp_path / "again" / "analysis_results.json") == first
    assert (tmp_path / "logs" / "fabric-washer" / "stream.json").stat().st_mtime_ns == before, "nothing trained again"
    (tmp_path / "logs" / "fabric").rename(tmp_path / "logs" / "old")
    done = call(SVD, *words, "--output_dir", tmp_path / "x", "--seed", 1)
    assert done.returncode == 2
    assert "fine-tuned from another flow" in done.stderr


@pytest.mark.slow
def test_lora_products_of_a_trained_run(tmp_path: Path) -> None:
    write_demo(tmp_path / "products", classes=("fabric", "washer"), train=10, test_good=3, per_defect=1, size=64)
    words = ["--preset", "demo", "--dataset", "folder", "--data_path", tmp_path / "products", "--num_steps", 3]
    words += ["--img_size", 64, "--embed_dim", 32, "--feature_grid", 4, "--num_coupling_layers", 2, "--no_figures"]
    words += ["--log_dir", tmp_path / "logs", "--experiment_name", "run", "--task_classes", "fabric", "washer"]
    subprocess.run([sys.executable, str(ROOT / "run_moleflow.py"), *map(str, words)], check=True, capture_output=True)
    run = tmp_path / "logs" / "run"
    for script, name in ((RANK, "lora_rank"), (CROSS, "cross_task_lora")):
        code, out, error = call(script, "--run", run, "--draws", 3)
        assert (code, error) == (0, "")
        page = (run / "analyses" / name / "summary.md").read_text()
        assert all(sentence in page for sentence in out.strip().split("\n"))
