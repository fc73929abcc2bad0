"""Signals end work at once, or at the end of what is held; a second one always ends it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from moleflow.utils import interrupt
from moleflow.utils.interrupt import PATIENCE, Interrupted, asked_to_stop, held, listening, stop_if_asked


def send(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_work_at_once(number, code):
    before, done = signal.getsignal(number), []

    def work():
        send(number)
        done.append("went on")

    with pytest.raises(Interrupted) as caught, listening():
        work()
    assert not done
    assert caught.value.exit_code == code
    assert signal.getsignal(number) == before


def test_held_work_comes_to_its_end_first_however_deep_it_is():
    done = []

    def work():
        with held():
            with held():
                send()
                done.append(asked_to_stop())
            done.append("outer")
        done.append("never")

    with pytest.raises(Interrupted), listening():
        work()
    assert done == [True, "outer"]
    assert not asked_to_stop()


def test_held_work_may_end_itself():
    done = []

    def work():
        stop_if_asked()
        send()
        done.append("held")
        stop_if_asked()
        done.append("never")

    with pytest.raises(Interrupted), listening(), held():
        work()
    assert done == ["held"]


def test_a_failure_in_held_work_is_told_as_it_is():
    def work():
        send()
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"), listening(), held():
        work()


def test_signals_that_come_together_count_as_one_and_a_later_one_ends_even_held_work(monkeypatch):
    """Every signal has been dealt with when the next line runs: they are this process's own."""
    now, ended = [100.0], []
    monkeypatch.setattr(interrupt.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(interrupt.os, "_exit", ended.append)

    def work():
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        now[0] += 0.9 * PATIENCE
        send(signal.SIGINT)
        assert not ended
        now[0] += 0.2 * PATIENCE
        send(signal.SIGINT)
        assert ended == [130]

    with pytest.raises(Interrupted) as caught, listening(), held():
        work()
    assert caught.value.exit_code == 143


ENDLESS = """
import time
from moleflow.utils.interrupt import asked_to_stop, held, listening
with listening(), held():
    print("ready", flush=True)
    while not asked_to_stop():
        time.sleep(0.01)
    print("asked", flush=True)
    while True:
        time.sleep(0.01)
"""


def test_a_second_signal_ends_even_held_work():
    with subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "asked\n", "the first one has arrived, and the work goes on"
        time.sleep(PATIENCE + 0.1)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
