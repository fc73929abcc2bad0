"""kill -9 anywhere; the resumed run ends with the bytes of one that was never interrupted."""

import random
import signal
import time
from pathlib import Path

import pytest
from faults.lives import ALWAYS, Whole, assert_resumes, finished, output, started, wait_for
from registry.miniature import promised

from moleflow.trainer.progress_file import PROGRESS, ProgressFile

FOLDS = ("--calibration_folds", "3")


def killed_when(log_dir: Path, condition: str) -> None:
    """Kill a run from outside as soon as a file is there."""
    process = started(log_dir)
    wait_for(lambda: list((log_dir / "run").glob(condition)) if (log_dir / "run").exists() else [], process)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_killed_in_an_epoch_while_positions_are_written(whole, tmp_path):
    killed_when(tmp_path / "logs", PROGRESS)
    assert_resumes(tmp_path / "logs", whole)


@pytest.mark.parametrize("share", [0.3, 0.75])
def test_killed_at_a_file_that_it_touches_and_again_when_it_goes_on(whole, tmp_path, share):
    log_dir = tmp_path / "logs"
    at = round(share * whole.touches)
    assert finished(log_dir, dies_at=at) == -signal.SIGKILL
    assert finished(log_dir, "--resume", dies_at=at // 3) == -signal.SIGKILL
    assert_resumes(log_dir, whole)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["experts/.*.tmp", "base.safetensors", "stream.json", "evaluations", "results.json"])
def test_killed_while_a_checkpoint_is_written_between_tasks_and_in_an_evaluation(whole, tmp_path, what):
    killed_when(tmp_path / "logs", what)
    assert_resumes(tmp_path / "logs", whole)


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A run in one piece whose thresholds rest on experts of folds."""
    log_dir = tmp_path_factory.mktemp("folded") / "logs"
    assert finished(log_dir, *FOLDS, counted=log_dir.parent / "touches", share=ALWAYS) == 0, output(log_dir)
    metrics = (log_dir / "run" / "metrics.jsonl").read_text()
    return Whole(promised(log_dir / "run"), metrics, int((log_dir.parent / "touches").read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(8))
def test_killed_at_random_points_with_folds(folded, whole, tmp_path, trial):
    assert folded.promised != whole.promised, "folds change thresholds"
    log_dir, chance = tmp_path / "logs", random.Random(100 + trial)
    for _ in range(chance.randint(1, 3)):
        if trial % 2:
            finished(log_dir, "--resume", *FOLDS, dies_at=chance.randrange(folded.touches))
        else:
            process = started(log_dir, "--resume", *FOLDS)
            time.sleep(chance.uniform(0.0, 6.0))
            process.kill()
            process.join()
    assert_resumes(log_dir, folded, *FOLDS)


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(20))
def test_killed_at_random_points(whole, tmp_path, trial):
    """Half of them at a random file, half after a random time; up to three deaths in a row."""
    log_dir, chance = tmp_path / "logs", random.Random(trial)
    for _ in range(chance.randint(1, 3)):
        if trial % 2:
            finished(log_dir, "--resume", dies_at=chance.randrange(whole.touches))
        else:
            process = started(log_dir, "--resume")
            time.sleep(chance.uniform(0.0, 4.0))
            process.kill()
            process.join()
    assert_resumes(log_dir, whole, share=ALWAYS if trial % 4 else ProgressFile.share)
