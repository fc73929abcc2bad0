"""run_accuracy.sh: every command it prints parses, lies where its head says, and is not done twice."""

import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from moleflow.config.cli import parse
from moleflow.experiments.conditions import read_experiments

ROOT = Path(__file__).resolve().parents[2]
STUB = """#!{python}
import sys
from pathlib import Path
words = sys.argv[1:]
value = lambda flag: words[words.index(flag) + 1]
with open({journal!r}, "a") as journal:
    journal.write(" ".join(words) + "\\n")
if words[0] == "run_moleflow.py":
    folder = Path(value("--log_dir"), value("--experiment_name"))
    (folder / "evaluations").mkdir(parents=True)
    (folder / "scores").mkdir()
    (folder / "evaluations" / "after_000.json").write_text("{{}}")
    (folder / "results.json").write_text('{{\\n  "tasks": [\\n    [\\n      "a"\\n    ]\\n  ]\\n}}\\n')
sys.exit(3 if "--only" in words and value("--only") == "dfm" else 0)
"""
LITE, RESNET = "tf_efficientnet_lite0", "resnet50_v1"


def call(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the script with nothing but these settings."""
    settings = {"PATH": os.environ["PATH"], "PYTHON": sys.executable, **env}
    line = ["bash", str(ROOT / "scripts" / "run_accuracy.sh"), *words]
    return subprocess.run(line, capture_output=True, text=True, check=False, env=settings, timeout=60)


def printed(*words: str, **env: str) -> list[list[str]]:
    """The commands of a dry run, without what is put before them."""
    done = call(*words, DRY_RUN="1", **{"DATA_PATH": "/data", "WEIGHTS": "/w", "OUT": "/out", **env})
    assert done.returncode == 0, done.stderr
    return [shlex.split(line) for line in done.stdout.splitlines()]


def value(command: list[str], flag: str) -> str:
    return command[command.index(flag) + 1]


def test_the_preset_runs_every_seed_in_both_orders():
    commands = printed("preset", "--num_steps", "7")
    assert {command[1] for command in commands} == {"run_moleflow.py"}
    runs = [parse(command[2:])[0].run for command in commands]
    assert [f"{run.output.log_dir}/{run.output.experiment_name}" for run in runs] == [
        f"/out/{backbone}/preset/{order}-s{seed}"
        for backbone in (LITE, RESNET) for seed in (0, 1, 2) for order in ("given", "reversed")
    ]  # fmt: skip
    assert runs[0].stream.task_classes == runs[1].stream.task_classes[::-1]
    assert {run.training.num_steps for run in runs} == {7}
    assert [run.features.backbone_weights for run in runs[5:7]] == [None, "/w"]
    assert all(run.output.keep_scores and run.output.resume for run in runs)


def test_peers_see_what_the_preset_sees():
    commands = printed("peers", BACKBONES=LITE, SEEDS="4 5", CLASSES="a b", LAUNCH="nice -n 1")
    assert all(command[:3] == ["nice", "-n", "1"] for command in commands)
    names = [value(command, "--only") for command in commands]
    flags = {"task_classes": ["a", "b"], "preset": "realstream_resnet50", "backbone_weights": "/w"}
    experiments = read_experiments(ROOT / "scripts" / "accuracy.yaml", flags)
    assert sorted(names) == sorted(one.name for one in experiments)
    assert {value(command, "--seed") for command in commands} == {"4"}
    preset = parse(printed("preset", BACKBONES=RESNET)[0][2:])[0]
    for backbone, name in ((LITE, "realstream"), (RESNET, "realstream_resnet50")):
        commands = printed("preset", "peers", BACKBONES=backbone)
        assert {value(command, "--preset") for command in commands} == {name}
    for one in experiments:
        assert one.resolved.ablation.extractor == preset.ablation.extractor
        mine, own = one.resolved.run, preset.run
        assert (mine.data.img_size, mine.data.val_fraction) == (own.data.img_size, own.data.val_fraction)
        assert (mine.features.feature_grid, mine.features.embed_dim) == (
            own.features.feature_grid, own.features.embed_dim
        )  # fmt: skip


def test_few_images_are_the_same_for_the_preset_and_its_peers():
    commands = printed("fewshot", BACKBONES=LITE, SEEDS="0 1", IMAGES="5 10", FEW_CLASS="nut")
    places = [
        f"{value(command, '--log_dir')}/preset" if command[1] == "run_moleflow.py" else
        f"{value(command, '--out')}/{value(command, '--only')}" for command in commands
    ]  # fmt: skip
    assert sorted(places) == sorted(
        f"/out/{LITE}/fewshot/n{n}-s{seed}/{method}"
        for n in (5, 10) for seed in (0, 1) for method in ("preset", "patchcore_10")
    )  # fmt: skip
    for command, place in zip(commands, places, strict=True):
        drawn = f"n{value(command, '--max_train_images')}-s{value(command, '--seed')}"
        assert drawn in place
        assert value(command, "--task_classes") == "nut"


def test_each_undone_run_is_the_preset_but_for_one_choice():
    for backbone, count in ((LITE, 11), (RESNET, 13)):
        preset = parse(printed("preset", BACKBONES=backbone)[0][2:])[0]
        commands = printed("undone", BACKBONES=backbone)
        assert len(commands) == count
        for command in commands:
            undone = parse(command[2:])[0]
            name = undone.run.output.experiment_name
            assert undone.run.output.log_dir == f"/out/{backbone}/undone", name
            calibrated = "held_out" if name == "flow_alone" else "all"  # no memory can do without an image
            assert undone.run.training == replace(preset.run.training, calibration_images=calibrated), name
            assert undone.ablation != preset.ablation or undone.run.data != preset.run.data, name
    assert [value(one, "--experiment_name") for one in printed("undone", BACKBONES=LITE, UNDO="ramp_instead")] == [
        "ramp_instead"
    ]


def test_what_was_run_is_judged_inside_once_the_damaged_images_are_there():
    made, *judged = printed("inside", SEEDS="4", CLASSES="a b", BACKBONES=LITE)
    assert made[1:] == [
        "scripts/make_inner_validation.py", "--dataset", "folder", "--data_path", "/data", "--classes", "a", "b",
        "--held_out", "0", "--out", "/out/inner",
    ]  # fmt: skip
    undone = {value(one, "--experiment_name") for one in printed("undone", BACKBONES=LITE)} - {"flow_alone"}
    runs = [f"/out/{LITE}/preset/given-s4", *(f"/out/{LITE}/undone/{name}" for name in undone)]
    assert sorted(one[2] for one in judged) == sorted(runs)
    for one in judged:
        assert one[1] == "scripts/validate_inside.py"
        assert (value(one, "--inner"), value(one, "--out")) == ("/out/inner", f"/out/{LITE}/inside")
    assert f"/out/{RESNET}/undone/every_depth_alike" in [one[2] for one in printed("inside", BACKBONES=RESNET)]
    few = printed("inside", BACKBONES=LITE, UNDO="squashed flow_alone")
    assert [one[2] for one in few[1:]] == [f"/out/{LITE}/preset/given-s0", f"/out/{LITE}/undone/squashed"]


@pytest.mark.parametrize(("words", "env", "sentence"), [
    (["peer"], {"DATA_PATH": "/d"}, "unknown part 'peer'"),
    ([], {}, "give the folder of the products"),
    (["preset"], {"DATA_PATH": "/d", "DRY_RUN": "1"}, "give the weights of resnet50_v1"),
])  # fmt: skip
def test_misuse_is_one_sentence(words, env, sentence):
    done = call(*words, **env)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_failed_run_is_named_and_what_is_done_is_not_done_again(tmp_path):
    python, journal = tmp_path / "python", tmp_path / "journal"
    python.write_text(STUB.format(python=sys.executable, journal=str(journal)))
    python.chmod(0o755)
    env = {"PYTHON": str(python), "OUT": str(tmp_path / "out"), "DATA_PATH": "/data", "BACKBONES": LITE,
           "SEEDS": "0", "IMAGES": "5", "JOBS": "2", "UNDO": "every_place_alike"}  # fmt: skip
    done = call(**env)
    assert done.returncode == 1
    assert done.stderr.count("\nfailed ") == 1
    assert f"{LITE}/peers/dfm (exit code 3): {tmp_path}/out/console/{LITE}/peers/dfm.log" in done.stderr
    lines = journal.read_text().splitlines()
    assert len(lines) == 2 + 1 + 6 + 2 + (1 + 2 + 1) + 1
    inside = f"{tmp_path}/out/{LITE}/inside --base given-s0 --output_dir {tmp_path}/out/tables/inside_{LITE}"
    assert lines[-2] == f"scripts/analyze_choices.py {inside}"
    assert lines[-1].startswith(f"scripts/analyze_accuracy.py {tmp_path}/out --output_dir {tmp_path}/out/tables")
    again = call("preset", "fewshot", **env)
    assert again.returncode == 0
    assert again.stdout.count("skip ") == 3
    started = journal.read_text().splitlines()[len(lines) :]
    assert all(line.startswith("scripts/run_experiments.py") for line in started), "which skips what is done by itself"
