"""torchvision imports here, and only its one known illness is treated."""

import importlib
import subprocess
import sys
from types import SimpleNamespace

import pytest

from moleflow.utils import torchvision_shim
from moleflow.utils.errors import MoleflowError

FRESH = """
from moleflow.utils.torchvision_shim import import_torchvision
first = import_torchvision()
assert import_torchvision() is first
import torch, torchvision
assert torchvision is first
from torchvision.ops import nms
print(torch.ops.torchvision.nms)
"""


def test_a_fresh_process_can_import_torchvision():
    run = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert "torchvision" in run.stdout


def test_another_failure_is_passed_on(monkeypatch):
    def fail(name):
        raise RuntimeError("undefined symbol: cudaFoo")

    monkeypatch.setattr(importlib, "import_module", fail)
    monkeypatch.setattr(torchvision_shim, "_declare_operators", lambda: pytest.fail("treated another failure"))
    with pytest.raises(RuntimeError, match="cudaFoo"):
        torchvision_shim.import_torchvision()


def test_nothing_is_declared_where_the_import_works(monkeypatch):
    monkeypatch.setattr(importlib, "import_module", lambda name: sys)
    monkeypatch.setattr(torchvision_shim, "_declare_operators", lambda: pytest.fail("treated a healthy torchvision"))
    assert torchvision_shim.import_torchvision() is sys


def test_the_known_illness_is_treated_once_before_a_second_try(monkeypatch):
    modules = {"torchvision.extension": sys, "torchvision": sys, "torchvisionary": sys, "torch": sys}
    events = []

    def fail_once(name):
        events.append("import")
        if len(events) == 1:
            raise RuntimeError("operator torchvision::nms does not exist")
        assert set(modules) == {"torchvisionary", "torch"}  # nothing half imported is left
        return sys

    monkeypatch.setattr(importlib, "import_module", fail_once)
    monkeypatch.setattr(torchvision_shim, "sys", SimpleNamespace(modules=modules))
    monkeypatch.setattr(torchvision_shim, "_declare_operators", lambda: events.append("declare"))
    assert torchvision_shim.import_torchvision() is sys
    assert events == ["import", "declare", "import"]


def test_an_absent_torchvision_is_named(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MoleflowError, match="torchvision is not installed"):
        torchvision_shim.import_torchvision()
