"""Rows against anomalib's PatchCore and PaDiM, on the same images and the same features."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.inference import LITE0, RESNET, several_products
from benchmarks.row import Found, NotRun, Row
from benchmarks.setting import Setting
from benchmarks.timing import alternating, in_ms, ratio
from moleflow.baselines.base import Peer
from moleflow.baselines.registry import get_model
from moleflow.models.task import expert_state

NORMAL, CORESET = 200, 0.1
FEW = 24
"""Images PaDiM is fitted to: its time does not depend on them."""


def drawn(backbone: str, setting: Setting, images: int) -> Tensor:
    """Features (n, H, W, D) of that many images: those there are, repeated with noise."""
    seen = several_products(backbone, setting).extractor(setting.images[:8]).cpu()
    repeated = seen.repeat(images // len(seen) + 1, 1, 1, 1)[:images]
    return repeated + 0.1 * torch.randn(repeated.shape, generator=torch.Generator().manual_seed(0))


def patchcore(backbone: str, setting: Setting) -> Peer:
    """PatchCore with a bank of 10 % of 200 images' patches; drawn, not chosen: which they are changes no time."""
    peer = get_model("patchcore", img_size=several_products(backbone, setting).extractor.img_size)
    patches = drawn(backbone, setting, NORMAL).flatten(0, 2)
    kept = torch.randperm(len(patches), generator=torch.Generator().manual_seed(0))[: int(CORESET * len(patches))]
    peer.model.memory_bank = patches[kept]  # type: ignore[attr-defined]
    return peer


def padim(backbone: str, setting: Setting) -> Peer:
    """PaDiM of 100 channels."""
    peer = get_model("padim", img_size=several_products(backbone, setting).extractor.img_size)
    peer.fit([drawn(backbone, setting, FEW)])
    return peer


@torch.no_grad()
def predict_vs(make: Callable[[str, Setting], Peer], backbone: str, setting: Setting) -> Found:
    """A peer's time from image to map over ours, router included."""
    if setting.device.type != "cpu":
        raise NotRun("the peers compute on the CPU")
    peer, model, image = make(backbone, setting), several_products(backbone, setting), setting.images[:1]
    ways = {"peer": lambda: peer.score(model.extractor(image)), "ours": lambda: model.predict(image)}
    times = alternating(ways, setting.rounds, setting.device)
    return Found(ratio(times, "peer", "ours"), in_ms(times))


def storage_vs_patchcore(setting: Setting) -> Found:
    """Bytes of an expert over those of PatchCore's bank of 10 % of 200 images' patches."""
    model = setting.model(LITE0)
    task = next(iter(model.tasks))
    half = {torch.float32: 2}
    parts: dict[str, int] = {}
    for name, tensor in expert_state(model, task).items():
        part = ".".join(name.split(".")[: 3 if name.startswith("fusion") else 1])
        parts[part] = parts.get(part, 0) + tensor.numel() * half.get(tensor.dtype, tensor.element_size())
    height, width = model.extractor.grid
    bank = 4 * int(CORESET * NORMAL * height * width) * model.extractor.dim
    told = ", ".join(f"{part} {size / 1e6:.2g}" for part, size in parts.items() if size > 1e4)
    return Found(sum(parts.values()) / bank, f"bank {bank / 1e6:.3g} MB; expert in MB: {told}")


ROWS = {
    "predict_vs_patchcore": Row("anomalib's PatchCore (10 %) over ours, an image to its map", "≥", 3.0,
                                partial(predict_vs, patchcore, LITE0)),
    "predict_vs_padim": Row("anomalib's PaDiM over ours, an image to its map", "≥", 1.0,
                            partial(predict_vs, padim, LITE0)),
    "predict_vs_patchcore_resnet50": Row("the same with resnet50_v1, PatchCore (10 %)", "≥", None,
                                         partial(predict_vs, patchcore, RESNET), in_quick=False),
    "predict_vs_padim_resnet50": Row("the same with resnet50_v1, PaDiM", "≥", None,
                                     partial(predict_vs, padim, RESNET), in_quick=False),
    "storage_vs_patchcore": Row("bytes of an expert over PatchCore's bank (10 %)", "≤", 0.1, storage_vs_patchcore),
}  # fmt: skip
