"""Rows on the coupling step: forward and backward through four couplings, against its matrix products and FrEIA's."""

from collections.abc import Callable
from functools import partial

import torch
from FrEIA.framework import SequenceINN
from FrEIA.modules import AllInOneBlock
from torch import Tensor, nn

from benchmarks.row import Found, Row
from benchmarks.setting import Setting
from benchmarks.timing import Way, alternating, in_ms, ratio
from moleflow.models.coupling import CouplingFlow, every_task
from moleflow.models.lora import SharedLinear
from moleflow.models.stages import gaussian_energy
from moleflow.models.subnets.plain import PlainSubnet

LAYERS, IMAGES, CLAMP = 4, 16, 1.9


def flow_of(dim: int, side: int, device: torch.device) -> CouplingFlow:
    """Four couplings of plain subnets as wide as the features, away from the identity."""
    torch.manual_seed(0)
    subnet = partial(PlainSubnet, hidden=dim, linear=SharedLinear)
    flow = CouplingFlow((side, side, dim), LAYERS, subnet, CLAMP, every_task).to(device)
    for parameter in flow.parameters():
        nn.init.normal_(parameter, std=0.02)
    return flow


def step(flow: nn.Module, x: Tensor, *task: str, half: bool = False) -> None:
    """Forward, loss, backward; what the optimizer does is no part of it."""
    flow.zero_grad(set_to_none=True)
    with torch.autocast(next(flow.parameters()).device.type, torch.bfloat16, enabled=half):
        z, logdet = flow(x, *task)
    (gaussian_energy(z) - logdet).mean().backward()


def products(dim: int, patches: int, device: torch.device) -> Callable[[], None]:
    """The matrix products of that step and nothing else: two a subnet forwards, four backwards.

    The first subnet's input is data and has no gradient.
    """
    sizes = {"x": (patches, dim // 2), "enter": (dim, dim // 2), "h": (patches, dim), "leave": (dim, dim)}
    made = {name: torch.randn(size, device=device) for name, size in sizes.items()}
    x, enter, h, leave = made.values()

    def run() -> None:
        for layer in range(LAYERS):
            for left, right in ((x, enter.T), (h, leave.T), (h, leave), (h.T, h), (h.T, x)):
                left @ right
            if layer:
                h @ enter

    return run


def gemm_share(dim: int, setting: Setting) -> Found:
    """Time of the products over the time of the step, the smaller of two shapes."""
    shares, told = [], []
    for side in (16 if dim < 512 else 8,) if setting.quick else (16, 28):
        flow, x = flow_of(dim, side, setting.device), torch.randn(IMAGES, side, side, dim, device=setting.device)
        patches = IMAGES * side**2
        ways: dict[str, Way] = {"step": partial(step, flow, x, "t"), "products": products(dim, patches, setting.device)}
        times = alternating(ways, setting.rounds, setting.device)
        shares.append(ratio(times, "products", "step"))
        rate = 3 * LAYERS * patches * 3 * dim**2 / 1e9 / min(times["products"])
        told.append(f"{patches} patches: {in_ms(times)}, {rate:.0f} GFLOP/s")
    return Found(min(shares), "; ".join(told))


def freia_flow(dim: int, side: int, device: torch.device) -> SequenceINN:
    """FrEIA's stock block on patches; hidden width such that products cost the same with its permutation's counted.

    Ours cost 4.5·D·h multiplications a patch, forward and backward; its permutation 2·D² more.
    """
    hidden = round(dim - 2 * dim / 4.5)
    subnet = lambda inputs, outputs: nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
    blocks = SequenceINN(dim)
    for _ in range(LAYERS):
        blocks.append(AllInOneBlock, subnet_constructor=subnet, affine_clamping=CLAMP)
    return blocks.to(device)


def coupling_vs_freia(setting: Setting) -> Found:
    """FrEIA's time over ours, the smaller over the sizes."""
    ratios, told = [], []
    for dim in (152, 256):
        flow, freia = flow_of(dim, 16, setting.device), freia_flow(dim, 16, setting.device)
        x = torch.randn(IMAGES, 16, 16, dim, device=setting.device)
        ways = {"ours": partial(step, flow, x, "t"), "FrEIA's": partial(step, freia, x.flatten(0, 2))}
        times = alternating(ways, setting.rounds, setting.device)
        ratios.append(ratio(times, "FrEIA's", "ours"))
        told.append(f"D = {dim}: {in_ms(times)}")
    return Found(min(ratios), "; ".join(told))


def bf16_gain(setting: Setting) -> Found:
    """Time in float32 over time under bfloat16 autocast."""
    dim, side = 256, 8 if setting.quick else 16
    flow, x = flow_of(dim, side, setting.device), torch.randn(IMAGES, side, side, dim, device=setting.device)
    run = partial(step, flow, x, "t")
    times = alternating({"float32": run, "bfloat16": partial(run, half=True)}, setting.rounds, setting.device)
    return Found(ratio(times, "float32", "bfloat16"), f"D = {dim}: {in_ms(times)}")


ROWS = {
    **{
        f"gemm_share_{dim}": Row(f"coupling step, D = {dim}: matrix products' share of the time", "≥", 0.75,
                                 partial(gemm_share, dim))
        for dim in (152, 256, 768)
    },
    "coupling_vs_freia": Row("coupling step: FrEIA's AllInOneBlock over ours at equal arithmetic", "≥", 1.3,
                             coupling_vs_freia),
    "bf16_gain": Row("coupling step: float32 over bfloat16", "≥", 1.6, bf16_gain),
}  # fmt: skip
