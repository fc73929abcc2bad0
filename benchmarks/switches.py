"""Rows on what can be switched: off over on, in time; a switch is on by default only where it pays."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from benchmarks.coupling import flow_of, step
from benchmarks.inference import LITE0, RESNET
from benchmarks.row import Found, Row
from benchmarks.setting import Setting
from benchmarks.timing import alternating, in_ms, ratio
from benchmarks.training import InMemory, features_of, trainer_of
from moleflow.utils.products import fast_products, is_exact


def off_over_on(setting: Setting, off: Callable[[], object], on: Callable[[], object], more: str = "") -> Found:
    """Time without the switch over time with it."""
    times = alternating({"off": off, "on": on}, setting.rounds, setting.device)
    return Found(ratio(times, "off", "on"), in_ms(times) + more)


def amp(setting: Setting) -> Found:
    """An epoch of the preset realstream in float32 over one with --amp."""
    resolved = setting.resolved("--preset", "realstream")
    model = setting.bare(resolved)
    half = replace(resolved, run=replace(resolved.run, hardware=replace(resolved.run.hardware, amp=True)))
    kept = InMemory(features_of(setting, model, 8 if setting.quick else 32, None))
    off, on = (partial(trainer_of(way, model).epoch, kept) for way in (resolved, half))
    return off_over_on(setting, off, on)


def onednn(setting: Setting) -> Found:
    """A coupling step with torch's own products over one with oneDNN's."""
    run = partial(step, flow_of(256, 16, setting.device), torch.randn(16, 16, 16, 256, device=setting.device), "t")
    exact = "" if is_exact() else "; not used here: it would round"
    return off_over_on(setting, run, fast_products()(run), exact)


def compiled(setting: Setting) -> Found:
    """A coupling step as it is over one that torch.compile has made."""
    flow, x = flow_of(152, 16, setting.device), torch.randn(16, 16, 16, 152, device=setting.device)
    run = lambda forward: lambda: _backward(forward, x)
    return off_over_on(setting, run(flow), run(torch.compile(flow)))


def _backward(flow: Callable[..., tuple[Tensor, Tensor]], x: Tensor) -> None:
    z, logdet = flow(x, "t")
    (z.square().sum(-1) / 2 - logdet).mean().backward()


@torch.no_grad()
def channels_last(backbone: str, setting: Setting) -> Found:
    """A backbone's pass with its weights in torch's layout over one with channels last."""
    model = setting.bare(setting.real(backbone))
    network, images = cast(Any, model.extractor.network), setting.images[:4]

    def run(layout: torch.memory_format) -> Callable[[], object]:
        def forward() -> object:
            network.to(memory_format=layout)
            return network(images.contiguous(memory_format=layout))

        return forward

    return off_over_on(setting, run(torch.contiguous_format), run(torch.channels_last))


ROWS = {
    "switch_amp": Row("an epoch in float32 over one with --amp", "≥", None, amp, in_quick=False),
    "switch_onednn": Row("a coupling step by MKL's products over oneDNN's (on by default)", "≥", None, onednn),
    "switch_compile": Row("a coupling step over a compiled one", "≥", None, compiled, in_quick=False),
    "switch_channels_last_lite0": Row("lite0 as torch lays it out over channels last (on by default)", "≥", None,
                                      partial(channels_last, LITE0)),
    "switch_channels_last_resnet50": Row("resnet50_v1 as torch lays it out over channels last (on by default)", "≥",
                                         None, partial(channels_last, RESNET), in_quick=False),
}  # fmt: skip
