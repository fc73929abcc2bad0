"""Verbs killed with -9 anywhere: the run stays whole, and the same command ends as if nothing had happened."""

import random
import shutil
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from killing import in_a_process
from registry.miniature import digests, fresh, original, promised, shelf, verb

from moleflow.registry.journal import begun

OTHERS = ("experts/fabric.safetensors", "probes/fabric.safetensors", "base.safetensors")

VERBS: dict[str, tuple[tuple[str, ...], Callable[[Path], list[object]]]] = {
    "add-task": (("fabric",), lambda room: ["--task", "washer"]),
    "remove-task": (("fabric", "washer"), lambda room: ["--task", "washer"]),
    "replace-task": (("fabric", "washer"), lambda room: ["--task", "washer", "--data_path", fewer_images()]),
    "import-task": (("fabric",), lambda room: ["--from", parcel()]),
    "export-task": (("fabric", "washer"), lambda room: ["--task", "washer", "--to", room / "out.safetensors"]),
}
"""Verb -> the tasks of the run it acts on, and its flags; the room is the folder in which its changes are counted."""


@cache
def fewer_images() -> Path:
    """The washer as it is made now: other images than the run has learned."""
    place = shelf() / "now"
    images = Path(shutil.copytree(shelf() / "products" / "washer", place / "washer")) / "train" / "good"
    for file in sorted(images.iterdir())[:3]:
        file.unlink()
    return place


@cache
def parcel() -> Path:
    """The washer's expert as a file."""
    file = shelf() / "washer.safetensors"
    assert verb("export-task", original("fabric", "washer"), "--task", "washer", "--to", file) == 0
    return file


def room_for(name: str, folder: Path) -> Path:
    """A run that the verb can act on, in a folder of its own."""
    return fresh(folder, *VERBS[name][0], name="room").parent


def act(name: str, room: Path) -> Callable[[], int]:
    """The command."""
    flags = VERBS[name][1](room)
    return lambda: verb(name, room / "run", *flags)


def outcome(room: Path) -> dict[str, str]:
    """All whose bytes are promised."""
    return {**promised(room / "run"), **digests(room, "out.safetensors")}


@cache
def undisturbed(name: str) -> tuple[dict[str, str], int]:
    """What the command leaves, and how many changes of files it takes."""
    room = room_for(name, shelf() / name)
    code, changes = in_a_process(act(name, room), room)
    assert code == 0
    assert begun(room / "run") is None
    return outcome(room), changes


def killed_and_repeated(name: str, folder: Path, number: int) -> None:
    """Kill the command before its change of that number, look at what is there, and give the command again."""
    expected, _ = undisturbed(name)
    room = room_for(name, folder)
    before = digests(room / "run")
    assert in_a_process(act(name, room), room, die_at=number) == (-9, number)
    assert {file: digests(room / "run")[file] for file in OTHERS} == {file: before[file] for file in OTHERS}
    assert verb("verify", room / "run") == 0
    assert verb("ledger", room / "run") == 0
    assert act(name, room)() == 0
    assert outcome(room) == expected
    assert begun(room / "run") is None
    assert verb("verify", room / "run") == 0


def signalled_and_repeated(name: str, folder: Path, number: int, by: int) -> None:
    """Ask the command to end before its change of that number, look at what is there, and give the command again."""
    room = room_for(name, folder)
    before = digests(room / "run")
    assert in_a_process(act(name, room), room, number, by)[0] == 128 + by
    after = digests(room / "run")
    assert {file: after[file] for file in OTHERS} == {file: before[file] for file in OTHERS}
    assert not list(room.rglob("*.tmp")), "nothing is half written"
    assert verb("verify", room / "run") == 0
    assert act(name, room)() == 0
    assert outcome(room) == undisturbed(name)[0]
    assert verb("verify", room / "run") == 0


def test_asked_to_end_once(tmp_path: Path) -> None:
    signalled_and_repeated("add-task", tmp_path, drawn("add-task", 1), signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("name", VERBS)
def test_asked_to_end_at_many_points(name: str, tmp_path: Path) -> None:
    """Twenty points that a seed draws, or every point of a command with fewer; both signals by turns."""
    for turn, number in enumerate(sorted({drawn(name, seed) for seed in range(1, 21)})):
        signalled_and_repeated(name, tmp_path / str(number), number, (signal.SIGINT, signal.SIGTERM)[turn % 2])


def drawn(name: str, seed: int) -> int:
    """A change of the command, drawn by a seed."""
    return random.Random(f"{name} {seed}").randrange(undisturbed(name)[1])


@pytest.mark.parametrize("name", ["remove-task", "export-task"])
def test_killed_once(name: str, tmp_path: Path) -> None:
    killed_and_repeated(name, tmp_path, drawn(name, 0))


def test_killed_when_all_but_the_last_change_is_made(tmp_path: Path) -> None:
    killed_and_repeated("import-task", tmp_path, undisturbed("import-task")[1] - 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", VERBS)
def test_killed_at_many_points(name: str, tmp_path: Path) -> None:
    """Twenty points that a seed draws, or every point of a command with fewer."""
    for number in sorted({drawn(name, seed) for seed in range(1, 21)}):
        killed_and_repeated(name, tmp_path / str(number), number)


def test_a_command_that_was_killed_is_told_by_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    room = room_for("remove-task", tmp_path)
    changes = undisturbed("remove-task")[1]
    assert in_a_process(act("remove-task", room), room, die_at=changes - 1)[0] == -9
    assert begun(room / "run") == ("remove-task", "washer")
    capsys.readouterr()
    assert verb("verify", room / "run") == 0
    assert "remove-task of washer was interrupted" in capsys.readouterr().out
    assert verb("remove-task", room / "run", "--task", "biscuit") == 2, "another task was never there"
    assert act("remove-task", room)() == 0
    assert outcome(room) == undisturbed("remove-task")[0]
