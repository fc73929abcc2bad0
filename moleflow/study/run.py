"""The study from start to end: images, phases of every method, side studies, a table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moleflow.baselines.anomalib_parts import require_anomalib
from moleflow.baselines.registry import PEERS
from moleflow.config.resolve import Resolved
from moleflow.data.shift.domain import SEVERITIES
from moleflow.extractors.cache import FeatureStore
from moleflow.models.build import build_extractor
from moleflow.run import open_data
from moleflow.study.bench import Bench
from moleflow.study.data import open_splits
from moleflow.study.layout import PHASES, STUDY
from moleflow.study.methods import METHODS
from moleflow.study.phases import Phases
from moleflow.study.sides import SIDES, WITH_PATCHCORE, run_side, sides_left
from moleflow.study.summary import summary
from moleflow.utils.env import PACKAGES, choose_device, git_revision, installed
from moleflow.utils.errors import UsageError
from moleflow.utils.io import read_json, write_json, write_text
from moleflow.utils.progress import progress
from moleflow.utils.text import refuse_unknown


@dataclass(frozen=True)
class Study:
    """What to measure and where to.

    Attributes:
        out: folder of all that is found; a study that stopped goes on there.
        resolved: dataset, classes, features, seed, and how MoLE-Flow is trained.
        methods: some of ``METHODS``.
        severities: some of ``moleflow.data.shift``'s.
        sides: some of ``SIDES``.
        command: what was typed, for the record.
    """

    out: Path
    resolved: Resolved
    methods: tuple[str, ...] = tuple(METHODS)
    severities: tuple[str, ...] = tuple(SEVERITIES)
    sides: tuple[str, ...] = tuple(SIDES)
    command: str = ""

    def run(self) -> str:
        """Do what is not done yet.

        Returns:
            ``summary.md``: a table of means.

        Raises:
            UsageError: something of it is unknown, or the folder holds another study.
            MoleflowError: images or features cannot be read or written.
        """
        self._check()
        self._claim()
        bench = self.bench()
        self._phases(bench)
        for name in progress(left := sides_left(self.out, self.sides), len(left), "side studies", "study"):
            run_side(name, bench, self.out)
        table = summary(self.out, self.methods, bench.severities, bench.classes).markdown()
        write_text(self.out / "summary.md", table)
        return table

    def _check(self) -> None:
        """Refuse what is wrong before anything is written."""
        refuse_unknown("--methods", self.methods, METHODS)
        refuse_unknown("--sides", self.sides, SIDES)
        refuse_unknown("--severities", self.severities, SEVERITIES)
        refuse_unknown("--classes", self.classes, dict.fromkeys(open_data(self.resolved.run).classes))
        for name in (*self.methods, *self.sides):
            if name in (*PEERS, *WITH_PATCHCORE):
                require_anomalib(f"{name!r}")

    @property
    def classes(self) -> tuple[str, ...]:
        """The products: as configured, else all of the dataset."""
        run = self.resolved.run
        return run.stream.task_classes or open_data(run).classes

    def bench(self) -> Bench:
        """Images and features; shifted images are written if they are not there."""
        resolved = self.resolved
        run = resolved.run
        extractor = build_extractor(resolved.ablation, run)
        splits = open_splits(open_data(run), self.classes, self.severities, self.out)
        kept = Path(run.features.feature_cache or self.out / "feature_cache") if run.features.cache_features else None
        device = choose_device(run.hardware.device)
        store = FeatureStore(extractor, run.data.resize, kept, num_workers=run.hardware.num_workers, device=device)
        bench = Bench(resolved, store, splits)
        for severity, of_class in splits.items():
            for name, split in of_class.items():
                store.prepare((*split.train, *split.val, *split.test), title=f"features {severity} {name}")
        return bench

    def _phases(self, bench: Bench) -> None:
        left = {name: Phases(bench, name, self.out) for name in self.methods}
        work = [(phases, pair) for phases in left.values() for pair in phases.todo()]
        for phases, pair in progress(work, len(work), "phases", "phase"):
            phases.run(*pair)

    def _claim(self) -> None:
        """Note what this study is, and refuse a folder of another one."""
        file, content = self.out / STUDY, self._content()
        fixed = ("classes", "seed", "image_size", "flags")
        if file.exists():
            stored = read_json(file)
            other = [key for key in fixed if stored.get(key) != content[key]]
            if other:
                raise UsageError(f"{self.out} holds a study with another {other[0]}: choose another --out.")
            for key in ("methods", "severities"):
                content[key] = list(dict.fromkeys([*stored[key], *content[key]]))
        write_json(file, content)

    def _content(self) -> dict[str, Any]:
        run, flags = self.resolved.run, self.resolved.flags
        versions = {name: installed(name) for name in (*PACKAGES, "anomalib")}
        return {
            "classes": list(self.classes), "methods": list(self.methods), "severities": list(self.severities),
            "phases": list(PHASES), "seed": run.training.seed, "image_size": run.data.img_size,
            "versions": {"git": git_revision(), **versions}, "command": self.command,
            "flags": {flag: list(v) if isinstance(v, tuple) else v for flag, v in flags.items() if flag not in PLACES},
        }  # fmt: skip


PLACES = {"data_path", "feature_cache", "use_feature_cache", "device", "num_workers", "log_dir", "experiment_name",
          "backbone_weights", "resume", "overwrite", "tensorboard", "figures"}  # fmt: skip
"""Flags that say where, not what: a study that goes on may change them."""
