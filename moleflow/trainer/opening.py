"""How a run's folder is made, continued or replaced: by nobody's accident."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from moleflow.config.stored import stored_config
from moleflow.trainer.checkpoint import RunFolder
from moleflow.trainer.links import refuse_links_out
from moleflow.trainer.lock import LOCK
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import TEMPORARY
from moleflow.utils.sums import NEXT, SUMS


def open_run(path: Path, config: dict[str, Any], resume: bool, overwrite: bool) -> RunFolder:
    """Create, continue or replace the folder of a run, and save its configuration.

    Args:
        path: the folder.
        config: the resolved configuration, as ``Resolved.to_store`` gives it.
        resume: whether to continue a run that is there.
        overwrite: whether to replace it.

    Raises:
        UsageError: there is a run and neither was asked for, its configuration differs, or it cannot be written.
    """
    refuse_foreign(path)
    refuse_links_out(path)
    folder = RunFolder(path)
    if (path / "config.json").exists():
        if overwrite:
            _empty(path)
        elif resume:
            folder.tidy()
            _refuse_other_config(folder, config)
        else:
            raise UsageError(
                f"There is a run in {path}; continue it with --resume, replace it with --overwrite, "
                "or choose another --experiment_name."
            )
    try:
        path.mkdir(parents=True, exist_ok=True)
        folder.sums.write_json("config.json", config)
    except (OSError, MoleflowError) as error:
        raise UsageError(f"The run folder {path} cannot be written ({error}); give a --log_dir that can.") from error
    folder.tidy()
    return folder


def refuse_foreign(path: Path) -> None:
    """Leave folders alone that hold something else than a run; a kill at its very start leaves a lock and a part.

    Raises:
        UsageError: the folder is not empty and has no config.json.
    """
    if (path / "config.json").exists() or not path.is_dir():
        return
    early = {LOCK, SUMS, f"config.json{NEXT}"}
    if any(item.name not in early and not item.match(TEMPORARY) for item in path.iterdir()):
        raise UsageError(f"{path} is not empty and holds no run (no config.json); choose another --experiment_name.")


def _empty(path: Path) -> None:
    """Remove all that is in a run's folder but its lock, which whoever empties it holds.

    The list of hashes goes first, config.json last: a kill on the way leaves a folder that still counts as a run, and
    nothing is missed in it.
    """
    for item in sorted(path.iterdir(), key=lambda item: (item.name == "config.json", item.name != SUMS)):
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        elif item.name != LOCK:
            item.unlink()


def check_writable(folder: Path) -> None:
    """Make the folder of runs if it is not there.

    Raises:
        UsageError: nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"The folder of runs {folder} cannot be written ({error.strerror}); give a --log_dir that can."
        ) from error


FREE_TO_CHANGE = {
    "resume", "overwrite", "stop_after", "log_dir", "experiment_name", "tensorboard", "figures", "device",
    "run_diagnostics", "keep_scores", "num_workers", "feature_cache", "use_feature_cache", "data_path",
    "backbone_weights", "on_bad_image",
}  # fmt: skip
"""Flags that a resumed run may change: they say where and how, not what (and results.json names each skipped image)."""


def _refuse_other_config(folder: RunFolder, config: dict[str, Any]) -> None:
    """Refuse to continue under other flags; those that the run was begun before had their defaults."""
    content = folder.sums.read_json("config.json")
    old, new = stored_config(content, str(folder.path / "config.json")).flags, config["flags"]
    plain = lambda value: list(value) if isinstance(value, tuple) else value
    differing = [
        flag for flag in {**old, **new} if flag not in FREE_TO_CHANGE and plain(old.get(flag)) != plain(new.get(flag))
    ]
    if differing:
        changes = ", ".join(f"--{flag} was {old.get(flag)!r}, is {new.get(flag)!r}" for flag in differing[:5])
        raise UsageError(
            f"--resume found another configuration in {folder.path}: {changes}; use the old one, or another "
            "--experiment_name."
        )
