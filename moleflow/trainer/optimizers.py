"""The optimizer and the learning-rate schedule of one task, and the order of its images."""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from moleflow.models.task import Learner


def adamw(learners: Iterable[Learner], lr: float, weight_decay: float) -> AdamW:
    """AdamW (Loshchilov and Hutter 2019), new for every task: no momentum of an older one.

    Learners with another ``lr_factor`` have a group of their own.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for learner in learners:
        groups.setdefault(learner.lr_factor, []).append(learner.parameter)
    settings = [{"params": group, "lr": lr * factor} for factor, group in groups.items()]
    return AdamW(settings, lr=lr, weight_decay=weight_decay, foreach=True)


def warmup_cosine(optimizer: Optimizer, warmup: int, steps: int) -> LambdaLR:
    """Linear warm-up over ``warmup`` steps (a fifth of all at most), then a cosine to zero at ``steps``."""
    warmup = min(warmup, steps // 5)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return LambdaLR(optimizer, factor)


def image_order(images: int, batch_size: int, steps: int, seed: int) -> Iterator[list[int]]:
    """The images of each step: one permutation after another, cut into batches of min(batch_size, images)."""
    generator = torch.Generator().manual_seed(seed)
    batch = min(batch_size, images)
    waiting: list[int] = []
    for _ in range(steps):
        while len(waiting) < batch:
            waiting += torch.randperm(images, generator=generator).tolist()
        yield waiting[:batch]
        waiting = waiting[batch:]
