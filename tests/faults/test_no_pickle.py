"""Nothing that a run or a weights file holds is ever run: no pickle is opened, by any way."""

import ast
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from registry.miniature import fresh, original, promised, trained, verb

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    ROOT / "run_moleflow.py",
    *sorted((ROOT / "moleflow").rglob("*.py")),
    *sorted((ROOT / "scripts").glob("*.py")),
]
FOREIGN = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
NEEDS = {("torch", "load"): ("weights_only", True), ("np", "load"): ("allow_pickle", False)}
"""(module, function) -> the argument without which it would unpickle."""


def calls(source: str) -> list[ast.Call]:
    """Every call of a source."""
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]


def called(call: ast.Call) -> tuple[str, str]:
    """(module, function) as written; the module is empty where there is none."""
    match call.func:
        case ast.Attribute(attr=name, value=ast.Name(id=module)):
            return module, name
        case ast.Attribute(attr=name):
            return "?", name
        case ast.Name(id=name):
            return "", name
    return "", ""


def unsafe(call: ast.Call) -> bool:
    """Whether a call could run what a file holds."""
    module, name = called(call)
    given = {word.arg: getattr(word.value, "value", None) for word in call.keywords}
    if (module, name) in NEEDS:
        argument, value = NEEDS[module, name]
        return given.get(argument) is not value
    if name == "load_state_dict" and call.args and called_with_path(call):
        return given.get("weights_only") is not True
    return module in FOREIGN or (module, name) in {("yaml", "load"), ("", "eval"), ("", "exec")}


def called_with_path(call: ast.Call) -> bool:
    """Whether timm's ``load_state_dict`` is meant, which takes a file, and not a module's own."""
    return ast.unparse(call.func) == "timm.models.load_state_dict"


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_no_source_opens_a_pickle(file: Path) -> None:
    lines = [call.lineno for call in calls(file.read_text(encoding="utf-8")) if unsafe(call)]
    assert lines == []


@pytest.mark.parametrize("line", [
    "pickle.load(f)", "torch.load(f)", "torch.load(f, weights_only=False)", "np.load(f)", "joblib.load(f)",
    "np.load(f, allow_pickle=True)", "timm.models.load_state_dict(p)", "yaml.load(f)", "eval(text)",
])  # fmt: skip
def test_the_test_sees_what_it_looks_for(line: str) -> None:
    assert unsafe(calls(line)[0])
    assert not unsafe(calls("model.load_state_dict(state)")[0])
    assert not unsafe(calls("torch.load(f, weights_only=True)")[0])


class Watch:
    """What pickles name, while it watches; an audit hook can never be taken off, only told to look away."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.watching = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if self.watching and event == "pickle.find_class":
            self.found.append(".".join(args))


WATCH = Watch()


def test_a_run_its_verbs_and_its_weights_unpickle_nothing(tmp_path: Path) -> None:
    run, parcel = fresh(tmp_path, "fabric", "washer"), tmp_path / "washer.safetensors"
    assert run.exists()
    WATCH.found, WATCH.watching = [], True
    try:
        assert trained(tmp_path / "new", "--task_classes", "fabric") == 0
        assert verb("verify", run) == 0
        assert verb("export-task", run, "--task", "washer", "--to", parcel) == 0
        assert verb("import-task", tmp_path / "new" / "run", "--from", parcel, "--no_evaluate") == 0
        (run / "report.html").unlink()
        assert trained(run.parent, "--task_classes", "fabric", "washer", "--resume") == 0
    finally:
        WATCH.watching = False
    assert WATCH.found == []
    assert promised(run) == promised(original("fabric", "washer"))


def test_the_watch_hears_a_pickle(tmp_path: Path) -> None:
    torch.save(Path("x"), tmp_path / "x.pt")
    WATCH.found, WATCH.watching = [], True
    try:
        torch.load(tmp_path / "x.pt", weights_only=False)
    finally:
        WATCH.watching = False
    assert any("pathlib" in name for name in WATCH.found)


def test_a_weights_file_that_runs_code_is_refused_and_the_reason_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "code_ran",)

    torch.save({"conv_stem.weight": Evil()}, tmp_path / "evil.pth")
    capsys.readouterr()
    assert trained(tmp_path, "--task_classes", "fabric", "--backbone_weights", str(tmp_path / "evil.pth")) == 2
    told = capsys.readouterr().err
    assert "evil.pth" in told
    assert "weights_only=True" in told
    assert "Traceback" not in told
    assert not (tmp_path / "code_ran").exists()
