"""Where the study's files lie."""

from pathlib import Path

from moleflow.study.layout import ADAPTED, CLEAN, PHASES, cell, phases_of, side


def test_every_phase_belongs_to_clean_or_to_shifted_images():
    assert (*phases_of(CLEAN), *phases_of("severe")) == PHASES
    assert CLEAN not in phases_of("severe")
    assert set(ADAPTED) < set(phases_of("severe"))


def test_cells_and_side_studies_never_share_a_folder():
    out = Path("out")
    folders = [
        cell(out, "padim", severity, phase, "a") for severity in (CLEAN, "mild") for phase in phases_of(severity)
    ]
    folders.append(side(out, "coreset"))
    assert len(set(folders)) == len(folders) == 6
    assert folders[0] == Path("out/padim/clean/clean/a")
