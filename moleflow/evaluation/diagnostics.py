"""What goes on inside a trained model, task by task (``--run_diagnostics``): the content of diagnostics.json.

Defective images are looked at to describe the model, after everything has been trained and calibrated.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moleflow.config.task import Task
from moleflow.evaluation.latents import Latents, TestImages, latents_of
from moleflow.evaluation.probes import Probes
from moleflow.models.adapters.whitening import LOW, BoundedAffine
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.task import base_state, per_task_parts

Values = dict[str, float | None]

QUANTILES = {"min": 0.0, "q05": 0.05, "median": 0.5, "q95": 0.95, "max": 1.0}

FLAT = 0.01
"""A context that leaves less than this share of the variance it was given has collapsed."""

NEAR = 1.02
"""A γ below this multiple of its lower bound is at it; the adapter has collapsed where most channels are."""


@torch.no_grad()
def diagnose(model: MoLEFlow, data: TestImages, tasks: Sequence[Task], resize: str) -> dict[str, Any]:
    """Look at every task's test images under their own expert. What a configuration lacks is not in the answer.

    Args:
        model: trained on the tasks.
        data: where test images come from.
        tasks: those to look at.
        resize: how masks are brought to the input size.

    Returns:
        Scalars of the shared parts, and per task: ‖z‖, log|det| and NLL of the patches of good images, of defective
        images and of patches on defects; saturation of the couplings, variance around the context, the adapter's γ,
        the expert's scalars (all of them raw, as they are stored), routing margins, position effect, warnings.
    """
    learned = {name for name, _ in model.named_parameters()}
    shared = {name: value for name, value in base_state(model).items() if name in learned}
    return {
        "shared": {"scalars": scalars(shared)},
        "tasks": {task.name: diagnose_task(model, data, task, resize) for task in tasks},
    }


def diagnose_task(model: MoLEFlow, data: TestImages, task: Task, resize: str) -> dict[str, Any]:
    """What ``diagnose`` tells of one task."""
    model.experts.use(task.name)
    with Probes(model, task.name) as probes:
        good = latents_of(model, data, task, 0, resize)
    bad = latents_of(model, data, task, 1, resize)
    found: dict[str, Any] = {
        "good_images": describe(good, torch.ones_like(good.defects)),
        "defective_images": describe(bad, torch.ones_like(bad.defects)),
        "patches_on_defects": describe(bad, bad.defects),
        "saturation": probes.saturation,
        "context_variance": probes.context_variance,
        "adapter_scale": adapter_scale(model, task.name),
        "scalars": scalars(expert_parameters(model, task.name)),
        "routing_margin": routing_margin(model, torch.cat([good.images, bad.images])),
        "position_effect": position_effect(good.nll),
    }
    return {**{name: part for name, part in found.items() if part}, "warnings": list(collapse(found))}


def describe(latents: Latents, chosen: Tensor) -> dict[str, Any]:
    """Statistics of some patches, (n, H, W) bool; empty where none is chosen."""
    if not chosen.any():
        return {}
    counts = {"images": int(chosen.flatten(1).any(1).sum()), "patches": int(chosen.sum())}
    values = {"z_norm": latents.z_norm, "logdet": latents.logdet, "nll": latents.nll}
    return {**counts, **{name: summary(value[chosen]) for name, value in values.items()}}


def summary(values: Tensor) -> Values:
    """Mean, standard deviation and quantiles of values (n,), n ≥ 1."""
    array = values.double().numpy()
    quantiles = zip(QUANTILES, np.quantile(array, list(QUANTILES.values())), strict=True)
    return {"mean": number(array.mean()), "std": number(array.std()), **{name: number(q) for name, q in quantiles}}


def scalars(state: dict[str, Tensor]) -> Values:
    """The tensors that hold one element: gates, α and the like."""
    return {name: number(value.item()) for name, value in state.items() if value.numel() == 1}


def expert_parameters(model: MoLEFlow, task: str) -> dict[str, Tensor]:
    """What the task's expert learns by gradient: path without the task's name -> parameter."""
    return {
        f"{path}.{name}": parameter
        for path, part in per_task_parts(model)
        for name, parameter in part[task].named_parameters()
    }


def adapter_scale(model: MoLEFlow, task: str) -> Values:
    """Smallest, mean and largest γ of the task's adapter, and the share of channels at its lower bound, if it has one.

    An adapter's scale is what a module in it calls ``scale``.
    """
    modules = [module for _, part in per_task_parts(model.adapter) for module in part[task].modules()]
    scaling = [module for module in modules if isinstance(getattr(module, "scale", None), Tensor)]
    if not scaling:
        return {}
    gamma = torch.cat([module.scale.flatten() for module in scaling]).double().cpu()
    values = {"min": gamma.min(), "mean": gamma.mean(), "max": gamma.max()}
    if all(isinstance(module, BoundedAffine) for module in scaling):
        values["at_lower_bound"] = (gamma < NEAR * LOW).double().mean()
    return {name: number(value.item()) for name, value in values.items()}


def routing_margin(model: MoLEFlow, images: Tensor) -> Values:
    """Second smallest minus smallest squared distance of image features (n, D) to the tasks the router chooses from."""
    if not (model.router.chooses and len(model.router.tasks) > 1 and len(images)):
        return {}
    distances = model.router.task_distances(images.to(next(model.parameters()).device)).cpu()
    nearest = distances.sort(dim=1).values
    return summary(nearest[:, 1] - nearest[:, 0])


def position_effect(nll: Tensor) -> Values:
    """The mean NLL (n, H, W) of the grid's cells over good images: lowest, highest, and their difference, in nats."""
    if not len(nll):
        return {}
    cells = nll.double().mean(0)
    low, high = cells.min().item(), cells.max().item()
    return {"lowest": number(low), "highest": number(high), "range": number(high - low)}


def collapse(found: dict[str, Any]) -> Iterator[str]:
    """Warnings: likelihood is cheap where features are made equal, and the log-det does not see all who do it."""
    variance, scale = found["context_variance"], found["adapter_scale"]
    if variance and variance["out"] < FLAT * variance["in"]:
        yield f"the context leaves {variance['out'] / variance['in']:.2g} of its input's variance: patches become equal"
    share = scale.get("at_lower_bound")
    if share is not None and share > 0.5:
        yield f"{share:.0%} of the adapter's γ are at the lower bound {LOW}: the adapter shrinks what it can"


def number(value: float) -> float | None:
    """A number as JSON has it: NaN and infinity are None."""
    return float(value) if math.isfinite(value) else None


def flattened(content: dict[str, Any], path: str = "") -> Iterator[tuple[str, float]]:
    """The numbers in nested dictionaries, with their path: what TensorBoard shows."""
    for key, value in content.items():
        name = f"{path}/{key}" if path else key
        if isinstance(value, dict):
            yield from flattened(value, name)
        elif isinstance(value, int | float):
            yield name, float(value)
