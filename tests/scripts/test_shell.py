"""The shell scripts: every command they print parses, and many runs go on where one fails."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from moleflow.config.ablations import ABLATIONS, GROUPS
from moleflow.config.cli import parse
from moleflow.config.resolve import Resolved
from moleflow.data.datasets import facts_of
from moleflow.data.mvtec import MVTEC_CLASSES
from moleflow.data.tasks import make_stream
from moleflow.utils.io import write_json

ROOT = Path(__file__).resolve().parents[2]
ALL = {place.name for place in (ROOT / "scripts").glob("run_*.sh")}
SCRIPTS = sorted(ALL - {"run_accuracy.sh"})  # whose commands are not all of one program: test_run_accuracy.py
ARGUMENTS = {"run_ablation_study.sh": ["all"], "run_visa.sh": ["all"]}
RUNS = {"run_ablation_study.sh": 1 + len(ABLATIONS), "run_cl_scenarios.sh": 10, "run_dsm.sh": 6,
        "run_forgetting.sh": 12, "run_interaction_effect.sh": 8, "run_measured_ablations.sh": 3 * 15,
        "run_seeds.sh": 10, "run_visa.sh": 4}  # fmt: skip

STUB = """#!{python}
import os, subprocess, sys, time
if sys.argv[1] == "scripts/list_ablations.py":
    sys.exit(subprocess.call([{python!r}, *sys.argv[1:]]))
words = sys.argv[1:]
value = lambda flag: words[words.index(flag) + 1]
with open({journal!r}, "a") as journal:
    journal.write(" ".join(words) + "\\n")
if words[0] != "run_moleflow.py":
    sys.exit(0)
begun = time.time()
with open({journal!r} + ".pid", "w") as pid:
    pid.write(str(os.getpid()))
if os.environ.get("STUB_SLOW", "") in value("--device"):
    time.sleep(float(os.environ.get("STUB_SECONDS", "0")))
with open({journal!r} + ".times", "a") as times:
    times.write(f"{{value('--device')}} {{begun}} {{time.time()}}\\n")
if os.environ.get("STUB_FAILS", "nothing") in value("--experiment_name"):
    print("error: the stub fails")
    sys.exit(3)
from pathlib import Path
folder = Path(value("--log_dir"), value("--experiment_name"))
(folder / "evaluations").mkdir(parents=True)
(folder / "evaluations" / "after_000.json").write_text("{{}}")
(folder / "results.json").write_text('{{\\n  "tasks": [\\n    [\\n      "a"\\n    ]\\n  ]\\n}}\\n')
(folder / "report.html").write_text("")
"""


def call(script: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script with nothing but these settings."""
    settings = {"PATH": os.environ["PATH"], "PYTHON": sys.executable, **env}
    line = ["bash", str(ROOT / "scripts" / script), *words]
    return subprocess.run(line, capture_output=True, text=True, check=False, env=settings, timeout=60)


def printed(script: str, *words: str, **env: str) -> list[list[str]]:
    """The commands of a dry run, as words."""
    done = call(script, *words, DRY_RUN="1", **env)
    assert done.returncode == 0, done.stderr
    return [shlex.split(line) for line in done.stdout.splitlines()]


def resolved(command: list[str]) -> Resolved:
    assert command[:2] == [sys.executable, "run_moleflow.py"]
    return parse(command[2:])[0]


class Stub:
    """A python that notes what it was asked to run and pretends to."""

    def __init__(self, folder: Path):
        self.journal = folder / "journal"
        self.python = folder / "python"
        self.python.write_text(STUB.format(python=sys.executable, journal=str(self.journal)))
        self.python.chmod(0o755)
        self.env = {"PYTHON": str(self.python), "LOG_DIR": str(folder / "logs"), "DATA_PATH": "/data"}

    @property
    def started(self) -> list[str]:
        """Names of the runs that were started, or the scripts, in order."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [_named(line.split()) for line in lines]


def _named(words: list[str]) -> str:
    return words[words.index("--experiment_name") + 1] if words[0] == "run_moleflow.py" else " ".join(words)


@pytest.fixture
def stub(tmp_path: Path) -> Stub:
    return Stub(tmp_path)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_command_of_every_script_parses(script):
    commands = printed(script, *ARGUMENTS.get(script, []), DATA_PATH="/data")
    assert len(commands) == RUNS[script]
    names = [command[command.index("--experiment_name") + 1] for command in commands]
    for command in commands if len(commands) < 50 else commands[:: len(commands) // 20]:
        resolved(command)
    assert len(set(names)) == len(names), "each run has a folder of its own"


def test_paths_with_spaces_devices_and_further_flags_reach_every_run():
    where = {"DATA_PATH": "/my data", "DEVICES": "0 1 4 5", "ORDERS": "given"}
    commands = printed("run_seeds.sh", "mvtec_default", "--lora_rank", "8", **where)
    configs = [resolved(command) for command in commands]
    assert [one.run.hardware.device for one in configs] == ["cuda:0", "cuda:1", "cuda:4", "cuda:5", "cuda:0"]
    assert [one.run.training.seed for one in configs] == [0, 42, 123, 456, 789]
    assert {one.run.data.data_path for one in configs} == {"/my data"}
    assert {one.flags["lora_rank"] for one in configs} == {8}
    assert {one.flags["num_coupling_layers"] for one in configs} == {10}
    assert all(one.run.output.resume for one in configs)
    cpu = printed("run_seeds.sh", DEVICES="")
    assert {resolved(command).run.hardware.device for command in cpu} == {"cpu"}


@pytest.mark.parametrize(("study", "rows"), [
    ("core", GROUPS["core"]),
    ("design", GROUPS["design"]),
    ("rank", GROUPS["rank"]),
    ("combination", ("wo_adapter", "wo_tail", "wo_dia", "inter_frozen_none", "inter_frozen_wa", "inter_frozen_tal",
                     "inter_frozen_dia")),
    ("wo_lora", ("wo_lora",)),
])  # fmt: skip
def test_a_study_is_the_full_method_and_its_rows(study, rows):
    names = [resolved(command).run.output.experiment_name for command in printed("run_ablation_study.sh", study)]
    assert names == ["mvtec_main-full", *(f"mvtec_main-{row}" for row in rows)]


def test_orders_and_scenarios_are_ones_that_a_run_accepts():
    for command in printed("run_cl_scenarios.sh"):
        stream = resolved(command).run.stream
        assert make_stream(MVTEC_CLASSES, None, stream.cl_scenario, stream.task_order, facts_of("mvtec"))


def test_a_stream_is_named_by_preset_scenario_order_and_seed():
    commands = printed("run_cl_scenarios.sh", SCENARIOS="1-1 2-1", ORDERS="random:1", SEEDS="3 4", PRESET="realstream")
    runs = [resolved(command).run for command in commands]
    assert [run.output.experiment_name for run in runs] == [
        f"realstream-{stream}-s{seed}" for seed in (3, 4) for stream in ("1-1-given", "2-1-given", "1-1-random-1")
    ]
    assert [(run.stream.cl_scenario, run.stream.task_order, run.training.seed) for run in runs] == [
        (scenario, order, seed)
        for seed in (3, 4)
        for scenario, order in (("1-1", "given"), ("2-1", "given"), ("1-1", "random:1"))
    ]
    seeds = [resolved(command).run for command in printed("run_seeds.sh", "realstream", SCENARIO="3-2", SEEDS="5")]
    names = [run.output.experiment_name for run in seeds]
    assert names == ["realstream-3-2-given-s5", "realstream-3-2-random-0-s5"]
    assert [run.stream.task_order for run in seeds] == ["given", "random:0"]


def test_visa_settings():
    default, tail, top, vit = (resolved(command) for command in printed("run_visa.sh", "all"))
    assert (default.flags["tail_weight"], tail.flags["tail_weight"], top.flags["tail_weight"]) == (0.6, 0.8, 0.6)
    assert top.flags["score_aggregation_top_k"] == 5
    assert vit.flags["backbone_type"] == "vit"


def test_measured_rows_share_one_setting():
    commands = printed("run_measured_ablations.sh", STEPS="7", SEEDS="3 4", LOG_DIR="/runs")
    configs = [resolved(command) for command in commands]
    rows = ["full", *GROUPS["core"], *GROUPS["design"]]
    assert [one.run.output.experiment_name for one in configs] == [f"{row}-s{s}" for s in (3, 4) for row in rows]
    assert {
        (one.run.training.num_steps, one.run.output.log_dir, one.run.features.feature_cache) for one in configs
    } == {(7, "/runs/measured", "/runs/feature_cache")}
    assert {one.run.training.seed for one in configs} == {3, 4}


@pytest.mark.parametrize(("script", "words"), [
    ("run_ablation_study.sh", []), ("run_ablation_study.sh", ["coer"]), ("run_visa.sh", []),
    ("run_visa.sh", ["deflaut"]), ("run_dsm.sh", ["core"]), ("run_measured_ablations.sh", []),
])  # fmt: skip
def test_misuse_says_so_and_starts_nothing(script, words, stub):
    env = {name: value for name, value in stub.env.items() if name != "DATA_PATH"}
    done = call(script, *words, **env)
    assert done.returncode == 2
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
    assert stub.started == []


def test_a_failed_run_does_not_stop_the_rest_and_is_named_with_its_log(stub):
    done = call("run_ablation_study.sh", "core", STUB_FAILS="wo_adapter", **stub.env)
    assert done.returncode == 1
    assert len(stub.started) == 10
    tail = done.stderr.split("These runs failed:")[1]
    assert tail.count("\nfailed ") == 1
    log = Path(stub.env["LOG_DIR"], "console", "mvtec_main-wo_adapter.log")
    assert f"mvtec_main-wo_adapter (exit code 3): {log}" in tail
    assert "the stub fails" in log.read_text()


def test_finished_runs_are_skipped_without_starting_python(stub):
    assert call("run_visa.sh", "all", STUB_FAILS="topk5", **stub.env).returncode == 1
    again = call("run_visa.sh", "all", **stub.env)
    assert again.returncode == 0
    assert stub.started[4:] == ["visa-topk5"]
    assert again.stdout.count("skip ") == 3


def test_a_paused_run_goes_on_though_it_has_a_report(stub):
    run = Path(stub.env["LOG_DIR"], "visa-vit")
    write_json(run / "results.json", {"schema": 1, "tasks": [["a", "b"], ["c"]], "matrix": {"x": [[1.0, None]]}})
    (run / "report.html").touch()
    (run / "evaluations").mkdir()
    (run / "evaluations" / "after_000.json").touch()
    call("run_visa.sh", "vit", **stub.env)
    assert stub.started == ["visa-vit"]
    (run / "evaluations" / "after_001.json").touch()
    call("run_visa.sh", "vit", **stub.env)
    assert stub.started == ["visa-vit"]


def test_devices_work_side_by_side_and_one_run_at_a_time(stub):
    done = call("run_interaction_effect.sh", DEVICES="0 1", STUB_SECONDS="0.1", **stub.env)
    assert done.returncode == 0, done.stderr
    lines = Path(f"{stub.journal}.times").read_text().splitlines()
    spans = [(device, float(begun), float(ended)) for device, begun, ended in map(str.split, lines)]
    pairs = [(one, other) for one in spans for other in spans if one < other]
    together = [(one, other) for one, other in pairs if one[1] < other[2] and other[1] < one[2]]
    assert len(spans) == 8
    assert together, "both devices work at once"
    assert all(one[0] != other[0] for one, other in together), "a device has one run at a time"


def test_the_next_run_goes_to_the_device_that_is_free(stub):
    done = call("run_interaction_effect.sh", DEVICES="0 1", STUB_SECONDS="3", STUB_SLOW="cuda:0", **stub.env)
    assert done.returncode == 0, done.stderr
    devices = [line.split()[0] for line in Path(f"{stub.journal}.times").read_text().splitlines()]
    assert sorted(devices) == ["cuda:0"] + 7 * ["cuda:1"]
    assert len(set(stub.started)) == len(stub.started) == 8


def test_an_interrupt_ends_the_runs_too(stub):
    line = ["bash", str(ROOT / "scripts" / "run_visa.sh"), "all"]
    env = {"PATH": os.environ["PATH"], "STUB_SECONDS": "30", **stub.env}
    script = subprocess.Popen(line, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pid = Path(f"{stub.journal}.pid")
    wait_for(lambda: pid.exists() and pid.read_text())
    script.send_signal(signal.SIGTERM)
    assert script.wait(timeout=10) == 130
    wait_for(lambda: not Path("/proc", pid.read_text()).exists())
    assert stub.started == ["visa-default"]


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_measuring_script_gathers_what_is_there_also_after_a_failure(stub):
    done = call("run_measured_ablations.sh", "wo_dia", SEEDS="0", STUB_FAILS="wo_dia", **stub.env)
    assert done.returncode == 1
    folder = f"{stub.env['LOG_DIR']}/measured"
    gather = [f"scripts/collect_measured.py {folder}", "scripts/make_ablation_table.py"]
    assert stub.started == ["full-s0", "wo_dia-s0", *gather]
    assert call("run_measured_ablations.sh", "wo_dia", SEEDS="0", **stub.env).returncode == 0
    assert stub.started[4:] == ["wo_dia-s0", *gather]


@pytest.mark.parametrize("words", [["summary"], ["visa"], ["ablations"], ["summary", "a", "b"]])
def test_verbs_of_run_sh_ask_for_their_folder(words):
    done = subprocess.run(["bash", str(ROOT / "run.sh"), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "folder" in done.stderr


@pytest.fixture
def ready(tmp_path: Path) -> dict[str, str]:
    """Settings under which run.sh finds its environment made: it must install nothing here."""
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (venv / "bin" / "python").chmod(0o755)
    mark = subprocess.run(
        ["cksum"], stdin=(ROOT / "requirements.txt").open(), capture_output=True, text=True, check=True
    )
    (venv / f".moleflow-{mark.stdout.split()[0]}").touch()
    return {"PATH": os.environ["PATH"], "MOLEFLOW_VENV": str(venv), "DRY_RUN": "1"}


def run_sh(ready: dict[str, str], *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = ["bash", str(ROOT / "run.sh"), *words]
    return subprocess.run(line, cwd=cwd, env=ready, capture_output=True, text=True, check=False)


def test_verbs_of_run_sh_start_the_scripts_with_the_callers_folder(ready, tmp_path):
    lines = run_sh(ready, "ablations", "data", "--seed", "3", cwd=tmp_path).stdout.splitlines()
    assert len(lines) == 10
    assert all(f"--data_path {tmp_path}/data" in line and "--seed 3" in line for line in lines)
    assert len(run_sh(ready, "ablations", "data", "design", cwd=tmp_path).stdout.splitlines()) == 6
    default = run_sh(ready, "visa", "data", "--seed", "3", cwd=tmp_path).stdout
    assert "--preset visa_pixel" in default
    assert "--preset visa_image" in run_sh(ready, "visa", "data", "vit", cwd=tmp_path).stdout


def test_summary_of_run_sh_on_a_broken_folder(ready, tmp_path):
    (tmp_path / "logs" / "half").mkdir(parents=True)
    (tmp_path / "logs" / "half" / "config.json").write_text("{}")
    done = run_sh(ready, "summary", "logs", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "cannot be read: half: cannot read" in done.stdout
    assert run_sh(ready, "summary", "absent", cwd=tmp_path).returncode == 2


def test_scripts_run_from_anywhere(tmp_path):
    line = [sys.executable, str(ROOT / "scripts" / "list_ablations.py"), "design"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert tuple(done.stdout.split()) == GROUPS["design"]
    done = subprocess.run(
        ["bash", str(ROOT / "scripts" / "run_visa.sh"), "default"], cwd=tmp_path, capture_output=True, text=True,
        check=True, env={"PATH": os.environ["PATH"], "DRY_RUN": "1", "DATA_PATH": "here", "PYTHON": sys.executable},
    )  # fmt: skip
    assert resolved(shlex.split(done.stdout)).run.data.data_path == str(tmp_path / "here")


def test_results_are_read_by_the_shell_as_they_are_written(tmp_path):
    """The scripts count a run's tasks without python, so the form of results.json matters to them."""
    write_json(tmp_path / "results.json", {"schema": 1, "tasks": [["a", "b"], ["c"]], "x": [[1], [2]]})
    assert json.loads((tmp_path / "results.json").read_text())["tasks"] == [["a", "b"], ["c"]]
    count = r"""sed -n '/^  "tasks": \[/,/^  \]/p' results.json | grep -c '^    \['"""
    assert count.replace("results.json", '"$run/results.json"') in (ROOT / "scripts" / "lib.sh").read_text()
    assert subprocess.run(["bash", "-c", count], cwd=tmp_path, capture_output=True, text=True).stdout == "2\n"
