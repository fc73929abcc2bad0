"""Rows on many tasks: routing among a thousand, and what one more costs."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import torch
from torch import Tensor

from benchmarks.inference import LITE0
from benchmarks.row import Found, Row
from benchmarks.setting import Setting, add_task, extracted
from benchmarks.timing import alternating, in_ms, ratio
from benchmarks.training import features_of, prepared
from moleflow.config.task import Task
from moleflow.losses.build import build_loss
from moleflow.models.routing.mahalanobis import TiedMahalanobis
from moleflow.trainer.continual_trainer import ContinualTrainer

TASKS = 1000


@cache
def router_of(setting: Setting, dim: int) -> TiedMahalanobis:
    """A router that knows a thousand tasks of random statistics."""
    router = TiedMahalanobis(dim).to(setting.device)
    random = torch.Generator().manual_seed(0)
    mixing = torch.randn(dim, dim, generator=random, dtype=torch.float64)
    for index in range(TASKS):
        task = Task((f"task{index:04}",), index)
        router.statistics.begin(task)
        own = router.statistics[task.name]
        own.count.fill_(200)
        own.mean.copy_(torch.randn(1, dim, generator=random))
        upper = torch.triu_indices(dim, dim)
        own.scatter.copy_((200 * mixing @ mixing.T / dim)[upper[0], upper[1]])
        own.fourth.fill_(200.0 * dim**2)
    router.to(setting.device)
    router.know([f"task{index:04}" for index in range(TASKS)])
    return router


@torch.no_grad()
def route_1000(setting: Setting) -> Found:
    """Milliseconds of routing one image among a thousand tasks; at most a tenth of lite0's pass."""
    model, image = setting.model(LITE0), setting.images[:1]
    features = model.extractor(image)
    router = router_of(setting, model.extractor.dim)
    ways = {"lite0": lambda: model.extractor(image), "routing": lambda: router(features)}
    times = alternating(ways, 3 * setting.rounds, setting.device)
    routing, backbone = (1e3 * sorted(times[name])[len(times[name]) // 2] for name in ("routing", "lite0"))
    return Found(routing, in_ms(times), backbone / 10)


def router_mb(setting: Setting) -> Found:
    """Megabytes that routing a thousand tasks keeps beyond their prototypes."""
    router = router_of(setting, setting.model(LITE0).extractor.dim)
    router(torch.randn(1, 2, 2, router.statistics["task0000"].mean.shape[1], device=setting.device))
    kept = [value for value in vars(router).values() if isinstance(value, Tensor)]
    prototypes = router._means.nbytes
    beyond = sum(value.nbytes for value in kept) - prototypes
    return Found(beyond / 1e6, f"prototypes {prototypes / 1e6:.3g} MB")


def add_task_vs_t(setting: Setting) -> Found:
    """Seconds of training one more task after many over the same after one."""
    resolved = setting.resolved("--preset", "realstream", *setting.brief)
    config = replace(resolved.run.training, num_steps=2 if setting.quick else 5)
    ways: dict[str, Callable[[], object]] = {}
    for count in (1, 2 if setting.quick else 30):
        model = setting.bare(resolved)
        features = extracted(model, setting.images[:4])
        for index in range(count):
            add_task(model, Task((f"product{index:03}",), index), features)
        normal = prepared(features_of(setting, model, 4, setting.folder / "cache"))
        trainer = ContinualTrainer(model, build_loss(resolved.ablation), config, lambda *_: None)
        ways[f"after {count}"] = partial(_train, trainer, Task(("washer",), count), normal)
    times = alternating(ways, setting.rounds, setting.device)
    few, many = ways
    return Found(ratio(times, many, few), in_ms(times))


def _train(trainer: ContinualTrainer, task: Task, normal: object) -> None:
    trainer.train(task, normal, normal)  # type: ignore[arg-type]
    trainer.model.remove_task(task.name)


ROWS = {
    "route_1000_ms": Row("routing one image among 1 000 tasks, ms (a tenth of lite0's pass)", "≤", None, route_1000),
    "router_mb_1000": Row("memory of routing 1 000 tasks beyond their prototypes, MB", "≤", 2.5, router_mb),
    "add_task_vs_t": Row("training a task after many over training it after one", "≤", 1.1, add_task_vs_t),
}
