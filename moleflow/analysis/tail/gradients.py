"""How much of the gradient comes from the tail, by the loss's tail weight w."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from moleflow.analysis.intervals import Interval, mean_interval
from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.tables import Cell, Table
from moleflow.analysis.tail.patches import tail_of
from moleflow.config.task import Task
from moleflow.evaluation.report.figures.canvas import ACCENT, DARK, new_figure, plain
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.task import tell_experts_changed, trained_in

WEIGHTS = (0.0, 0.7, 1.0)


def coefficients(tail: Tensor, weight: float) -> Tensor:
    """What multiplies each patch's NLL in the tail-aware loss of an image: (1 − w)/N, in the tail + w/k; (H, W)."""
    return (1 - weight) / tail.numel() + weight * tail.double() / tail.sum()


def latent_ratio(z: Tensor, tail: Tensor, weight: float) -> float:
    """Mean ‖∂L/∂z‖ of a tail patch over that of another; infinite at w = 1. ∂(½‖z‖²)/∂z = z, so ‖∂L/∂z_p‖ = c_p‖z_p‖.

    Args:
        z: latents of one image, (H, W, D).
        tail: which patches are its tail, (H, W) bool.
        weight: w.
    """
    sizes = coefficients(tail, weight) * z.double().norm(dim=-1)
    return float(sizes[tail].mean() / sizes[~tail].mean())


def parameter_share(nll: Tensor, tail: Tensor, weight: float, parameters: Sequence[Tensor]) -> float:
    """‖g_tail‖/(‖g_tail‖ + ‖g_rest‖): the gradients of the loss's two parts with respect to the parameters.

    Args:
        nll: NLL of one image's patches with its graph, (H, W).
        tail: which patches are its tail, (H, W) bool.
        weight: w.
        parameters: what learns.
    """
    weighted = coefficients(tail, weight).to(nll) * nll
    norms = [
        _norm(torch.autograd.grad(weighted[part].sum(), parameters, retain_graph=True, allow_unused=True))
        for part in (tail, ~tail)
    ]
    return norms[0] / sum(norms)


def _norm(gradients: Sequence[Tensor | None]) -> float:
    return sum(float(one.double().square().sum()) for one in gradients if one is not None) ** 0.5


def gradients(model: MoLEFlow, features: Tensor, task: Task, ratio: float, name: str, command: str = "") -> Analysis:
    """The study on some training images (n, H, W, D): each image's gradient under each weight."""
    shares: dict[float, list[float]] = {weight: [] for weight in WEIGHTS}
    ratios: dict[float, list[float]] = {weight: [] for weight in WEIGHTS}
    parameters = list(trained_in(model, task))
    for parameter in parameters:
        parameter.requires_grad_(True)
    tell_experts_changed(model)
    for image in features:
        latent = model.likelihood(image[None], task.name)
        tail = torch.from_numpy(tail_of(latent.nll.detach().cpu().numpy(), ratio))[0].to(image.device)
        for weight in WEIGHTS:
            shares[weight].append(parameter_share(latent.nll[0], tail, weight, parameters))
            ratios[weight].append(latent_ratio(latent.z[0].detach(), tail, weight))
    model.requires_grad_(False)
    tell_experts_changed(model)
    found = {weight: mean_interval([100 * value for value in values]) for weight, values in shares.items()}
    times = {weight: mean_interval(values) for weight, values in ratios.items() if np.isfinite(values).all()}
    return _analysis(found, times, ratio, name, command)


def _analysis(
    found: dict[float, Interval], times: dict[float, Interval], ratio: float, name: str, command: str
) -> Analysis:
    sentences = [
        f"The tail ({100 * ratio:g} % of the patches) makes, by w: "
        + ", ".join(f"{weight:g}: {one.shown()} %" for weight, one in found.items())
        + f" of the gradient's norm on what learns (mean over {found[0.0].n} images).",
        "On the latents a tail patch weighs, by w: "
        + ", ".join(f"{weight:g}: {one.shown()} times" for weight, one in times.items())
        + " as much as another; at w = 1 the others weigh nothing.",
    ]
    rows: list[tuple[Cell, ...]] = [
        (f"{weight:g}", one.shown(), times[weight].shown() if weight in times else "∞") for weight, one in found.items()
    ]
    columns = ("w", "share of the parameters' gradient, %", "tail : rest on latents")
    numbers = {
        "share_percent": {str(weight): one._asdict() for weight, one in found.items()},
        "latent_ratio": {str(weight): one._asdict() for weight, one in times.items()},
    }
    picture = Picture(
        "gradient", draw(found), "The tail's share of the gradient; the dashed line is its share of patches."
    )
    table = Table(f"Gradient of the tail: {name}", columns, tuple(rows))
    return Analysis(f"Gradient concentration: {name}", sentences, numbers, command, [picture], {"gradient": table})


def draw(found: dict[float, Interval]) -> Figure:
    """A bar a weight."""
    figure = new_figure(3.6, 2.6)
    axes = figure.subplots()
    values = [one.value for one in found.values()]
    errors = [[one.value - one.low for one in found.values()], [one.high - one.value for one in found.values()]]
    axes.bar(range(len(found)), values, yerr=np.nan_to_num(errors), color=DARK, capsize=3, width=0.6, ecolor=ACCENT)
    axes.set_xticks(range(len(found)), [f"w = {weight:g}" for weight in found])
    axes.set_ylabel("tail's share of the gradient, %", fontsize=9)
    plain(axes)
    return figure
