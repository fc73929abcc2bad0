"""SIGINT and SIGTERM: the step ends, the position is kept, one line says how to go on, the exit code says why."""

import os
import signal

import pytest
from faults.lives import NEVER, assert_resumes, output, started, wait_for

from moleflow.trainer.progress_file import PROGRESS

WAY_ON = "interrupted; what is done is kept, the same line with --resume goes on\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_training_keeps_the_position(tmp_path, number, code):
    log_dir = tmp_path / "logs"
    process = started(log_dir, "--num_steps", "3000", share=NEVER)
    metrics = log_dir / "run" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") >= 2, process)
    assert not (log_dir / "run" / PROGRESS).exists(), "no position was due"
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == code
    assert output(log_dir).endswith(WAY_ON)
    assert "Traceback" not in output(log_dir)
    assert (log_dir / "run" / PROGRESS).exists()


def test_a_signal_while_features_are_computed_keeps_those_that_are_whole(whole, tmp_path):
    log_dir, cache = tmp_path / "logs", tmp_path / "cache"
    own = ("--feature_cache", str(cache))
    process = started(log_dir, *own, dies_at=21, by=signal.SIGTERM, within=cache)
    process.join()
    assert process.exitcode == 143
    assert output(log_dir).endswith(WAY_ON)
    assert "Traceback" not in output(log_dir)
    kept = list(cache.rglob("*.npy"))
    assert kept, "it came to the features"
    assert not list(cache.rglob("*.tmp"))
    assert_resumes(log_dir, whole, *own)
    assert "cannot be used" not in output(log_dir), "no feature file was half written"
    assert len(list(cache.rglob("*.npy"))) > len(kept)


def test_a_signal_in_an_evaluation_ends_it_and_it_is_done_again(whole, tmp_path):
    log_dir = tmp_path / "logs"
    process = started(log_dir)
    wait_for((log_dir / "run" / "stream.json").exists, process)
    os.kill(process.pid, signal.SIGTERM)
    process.join()
    assert process.exitcode == 143
    assert output(log_dir).endswith(WAY_ON)
    assert_resumes(log_dir, whole)
