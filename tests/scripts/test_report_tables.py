"""generate_report_tables.py and analyze_domain_shift.py as people call them."""

import csv
import json
import shutil

import pytest
from analysis.shift.synthetic import write_study
from registry.miniature import fresh
from scripts.calling import ROOT, call

from moleflow.analysis.measured_table import measured_table
from moleflow.analysis.shift import report


def test_nothing_asked_for_is_misuse(tmp_path):
    done = call("generate_report_tables.py", "--output_dir", tmp_path)
    assert done.returncode == 2
    assert "Which tables?" in done.stderr


@pytest.mark.parametrize(("script", "flag"), [
    ("generate_report_tables.py", "--domain_shift"), ("analyze_domain_shift.py", "--results"),
])  # fmt: skip
def test_a_folder_without_a_study_is_misuse(tmp_path, script, flag):
    done = call(script, flag, tmp_path, "--output_dir", tmp_path / "out")
    assert done.returncode == 2
    assert "no study.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_all_tables_in_one_go(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "PARTS", {name: report.PARTS[name] for name in ("recovery", "embeddings")})
    study, run = write_study(tmp_path / "study"), fresh(tmp_path)
    shutil.rmtree(study / "side")  # what is left out is named
    words = ["--runs", run, "--ablations", "--domain_shift", study, "--output_dir", tmp_path / "out"]
    done = call("generate_report_tables.py", *words)
    assert done.returncode == 0, done.stderr
    assert "embeddings: left out" in done.stdout
    written = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*.tex")}
    assert {"ablations/ablations.tex", "domain_shift/recovery/recovery.tex", "runs/seeds.tex"} <= written


def test_ablations_are_against_the_full_method():
    content = json.loads((ROOT / "documents" / "ablations_measured.json").read_text())
    rows = {row["row"]: row for row in csv.DictReader(measured_table(content).csv().splitlines())}
    full, without = (content["rows"][name]["image_auroc"]["mean"] for name in ("full", "wo_lora"))
    assert float(rows["wo_lora"]["image AUROC against full"]) == pytest.approx(100 * (without - full))
    assert rows["full"]["image AUROC against full"] == ""
