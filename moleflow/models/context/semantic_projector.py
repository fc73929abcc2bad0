"""X7: the semantic projector: each patch is told what the whole image shows, by a set code (Zaheer et al. 2017)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moleflow.config.task import Task
from moleflow.models.context.shared import SharedContext, zero_linear

FIRST_GATE = 0.3
"""The gate starts at σ(0.3)."""


class SemanticProjector(SharedContext):
    """x + σ(g)·W·[e, c] with e = gelu(E·x) of each patch and c = gelu(C·mean of e over the image's patches).

    The code c is the same for any order of the patches. W starts at zero: the context starts as the identity. Shared by
    all tasks.

    Args:
        dim: channels D.
        bottleneck: channels of e and of c.
        trains_in: whether it learns in a task.
    """

    def __init__(self, dim: int, bottleneck: int, trains_in: Callable[[Task], bool]):
        super().__init__(trains_in)
        self.encoder = nn.Linear(dim, bottleneck)
        self.set_code = nn.Linear(bottleneck, bottleneck)
        self.out = zero_linear(2 * bottleneck, dim)
        self.gate = nn.Parameter(torch.tensor(FIRST_GATE))

    def forward(self, x: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W, D)."""
        encoded = F.gelu(self.encoder(x))
        code = F.gelu(self.set_code(encoded.mean(dim=(1, 2), keepdim=True)))
        return x + torch.sigmoid(self.gate) * self.out(torch.cat([encoded, code.expand_as(encoded)], dim=-1))
