"""Figures of spectra: singular values, energy at ranks, effective ranks, each beside random matrices."""

from collections.abc import Mapping, Sequence
from statistics import mean

import numpy as np
from matplotlib.figure import Figure

from moleflow.analysis.weights.layers import LayerChange
from moleflow.evaluation.report.figures.canvas import ACCENT, DARK, LIGHT, grid, label, new_figure, plain

Groups = Mapping[str, Sequence[LayerChange]]
"""Title of a panel -> the changes in it."""


def draw_spectra(groups: Groups, random: str) -> Figure:
    """Singular values relative to the largest, one line a layer, and the mean of random matrices; a panel a group."""
    figure = new_figure(min(3.4 * len(groups), 10.2), 2.7 * -(-len(groups) // 3))
    for axes, (title, changes) in zip(grid(figure, len(groups), min(3, len(groups))), groups.items(), strict=True):
        for place, change in enumerate(changes):
            steps = np.arange(1, len(change.spectrum) + 1)
            mine, chance = ("this change", random) if place == 0 else (None, None)
            axes.plot(steps, change.spectrum / change.spectrum[0], color=DARK, linewidth=0.9, alpha=0.7, label=mine)
            axes.plot(steps, change.null / change.null[0], "--", color=ACCENT, linewidth=0.9, alpha=0.7, label=chance)
        axes.set_yscale("log")
        axes.set_ylim(1e-3, 1.3)
        axes.set_title(label(title, 34), fontsize=9)
        axes.set_xlabel("direction k", fontsize=8)
        axes.set_ylabel("σₖ / σ₁", fontsize=8)
        plain(axes)
    figure.axes[0].legend(fontsize=7, frameon=False)
    return figure


def draw_energy(groups: Groups, random: str) -> Figure:
    """Mean share of the energy in the first k directions, by rank k, one line a group; random matrices dashed."""
    figure = new_figure(4.8, 3.1)
    axes = figure.subplots()
    for (title, changes), mark in zip(groups.items(), _marks(len(groups)), strict=True):
        ranks = sorted(set.intersection(*(set(change.energies) for change in changes)))
        mine = [100 * mean(change.energies[rank].value for change in changes) for rank in ranks]
        chance = [100 * mean(change.energies[rank].null for change in changes) for rank in ranks]
        axes.plot(ranks, mine, color=DARK, marker=mark, markersize=4, linewidth=1.1, label=label(title, 34))
        axes.plot(ranks, chance, "--", color=ACCENT, marker=mark, markersize=3, linewidth=0.9)
    axes.plot([], [], "--", color=ACCENT, label=random)
    axes.set_xscale("log", base=2)
    ticks = sorted({rank for changes in groups.values() for change in changes for rank in change.energies})
    axes.set_xticks(ticks, [str(rank) for rank in ticks])
    axes.set_ylim(0, 103)
    axes.set_xlabel("rank k", fontsize=9)
    axes.set_ylabel("energy in the first k directions, %", fontsize=9)
    plain(axes)
    axes.legend(fontsize=7, frameon=False)
    return figure


def draw_ranks(changes: Sequence[LayerChange], random: str, share: float = 0.95) -> Figure:
    """How many layers have which effective rank, as a share of their directions; random matrices beside them."""
    figure = new_figure(4.8, 2.9)
    axes = figure.subplots()
    mine = [100 * change.ranks[share].value / len(change.spectrum) for change in changes]
    chance = [100 * change.ranks[share].null / len(change.spectrum) for change in changes]
    bins = np.linspace(0, 100, 26).tolist()
    axes.hist(mine, bins, color=DARK, label="layers")
    axes.hist(chance, bins, color=LIGHT, hatch="//", edgecolor=ACCENT, linewidth=0.8, alpha=0.8, label=random)
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"effective rank at {100 * share:.0f} % energy, % of all directions", fontsize=9)
    axes.set_ylabel("layers", fontsize=9)
    plain(axes)
    axes.legend(fontsize=8, frameon=False)
    return figure


def _marks(count: int) -> list[str]:
    return [*"osD^vPX*<>"][:count] if count <= 10 else ["o"] * count
