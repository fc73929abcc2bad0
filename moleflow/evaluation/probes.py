"""What is read off a model while features pass through it: hooks that leave the data path as it is."""

from collections import defaultdict
from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from moleflow.models.coupling import AffineCoupling
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.stages import NoMapping
from moleflow.models.task import key_of

SATURATED = 0.95
"""Beyond this share of its bound a log-scale hardly learns: its gradient is a tenth of what it is at zero."""


class Shares:
    """A share, counted batch by batch."""

    def __init__(self) -> None:
        self.hits = self.total = 0

    def add(self, hits: Tensor) -> None:
        """Count booleans."""
        self.hits += int(hits.sum())
        self.total += hits.numel()


class Spread:
    """Variance over patches of features that come batch by batch, mean over channels."""

    def __init__(self) -> None:
        self.count = 0
        self.sum = self.squares = torch.zeros(())

    def add(self, x: Tensor) -> None:
        """Take in features (B, H, W, D)."""
        patches = x.detach().double().cpu().flatten(0, -2)
        self.count += len(patches)
        self.sum = self.sum + patches.sum(0)
        self.squares = self.squares + patches.square().sum(0)

    @property
    def variance(self) -> float:
        """The variance so far."""
        mean = self.sum / self.count
        return (self.squares / self.count - mean.square()).clamp(min=0).mean().item()


class Probes:
    """Watches the couplings' log-scales and the context of a model while it is entered.

    Args:
        model: the model.
        task: the task whose features will pass.
    """

    def __init__(self, model: MoLEFlow, task: str):
        self._model = model
        self._own = f".copies.{key_of(task)}"
        self._saturated: dict[str, Shares] = defaultdict(Shares)
        self._before, self._after = Spread(), Spread()
        self._handles: list[RemovableHandle] = []

    @property
    def saturation(self) -> dict[str, float]:
        """Coupling's path without the task's name -> share of its log-scales with |s̃| > 0.95·c."""
        return {name: share.hits / share.total for name, share in self._saturated.items()}

    @property
    def context_variance(self) -> dict[str, float]:
        """Variance of what entered the context and of what left it; empty where there is none."""
        return {"in": self._before.variance, "out": self._after.variance} if self._before.count else {}

    def __enter__(self) -> "Probes":
        for path, module in self._model.named_modules():
            if isinstance(module, AffineCoupling):
                watch = self._watch_log_scale(path.replace(self._own, ""), module.clamp)
                self._handles.append(module.subnet.register_forward_hook(watch))
        if not isinstance(self._model.context, NoMapping):
            self._handles.append(self._model.context.register_forward_hook(self._watch_context))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def _watch_log_scale(self, name: str, clamp: float) -> Callable[..., None]:
        def watch(subnet: nn.Module, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
            self._saturated[name].add(torch.tanh(output[0] / clamp).abs() > SATURATED)

        return watch

    def _watch_context(self, context: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self._before.add(inputs[0])
        self._after.add(output)
