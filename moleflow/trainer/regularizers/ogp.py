"""O1: orthogonal gradient projection of updates (OGD, Farajtabar et al. 2020; GPM, Saha et al. 2021)."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from moleflow.config.task import Task
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.task import Learner
from moleflow.trainer.regularizers.base import Learned, Protector
from moleflow.trainer.regularizers.gradients import chosen_images, per_image_gradients

HELD_BYTES = 2**30
"""Gradients held at a time; one parameter's are held whole, however large."""
PIECE = 2**16
"""Columns of which a Gram matrix is summed in float64 at a time."""


class OrthogonalProjection(Protector):
    """O1: what the optimizer does to a shared weight loses its components along directions that older tasks used.

    After a task each shared weight's per-image gradients G (m × n) give a basis B (r × n, rows orthonormal), united
    over tasks: with R = G − G·BᵀB, the right singular vectors of R are added, the strongest first, until ‖G·BᵀB‖² is
    ``threshold`` of ‖G‖², ``max_rank`` of them at most (GPM's criterion). The *update* Δ (the step after AdamW's
    preconditioning, momentum and decay) becomes Δ − BᵀB·Δ, so B·Δ = 0. Memory: r·n floats for each shared weight.

    Args:
        threshold: share of gradient energy that is protected.
        max_rank: most directions a task adds to a weight's basis.
        samples: images whose gradients are taken.
        seed: seed of the choice of images.
    """

    def __init__(self, threshold: float, max_rank: int, samples: int, seed: int):
        self.threshold = threshold
        self.max_rank = max_rank
        self.samples = samples
        self.seed = seed
        self.bases: dict[str, Tensor] = {}
        self._start: dict[str, Tensor] = {}

    def begin(self, model: MoLEFlow, task: Task) -> None:
        """Remember where protected weights are."""
        weights = dict(model.named_parameters())
        self.bases = {name: basis.to(weights[name].device) for name, basis in self.bases.items()}
        self._start = {name: weights[name].detach().clone() for name in self.bases}

    @torch.no_grad()
    def after_update(self, shared: Sequence[Learner]) -> None:
        """Take from the way since the task's start what lies along protected directions.

        Earlier steps left nothing there, so this projects the step; rounding errors do not add up over steps.
        """
        for name, weight, *_ in shared:
            if name in self._start:
                way = (weight - self._start[name]).flatten()
                way -= self.bases[name].T @ (self.bases[name] @ way)
                weight.copy_(self._start[name] + way.view_as(weight))

    def end(self, learned: Learned) -> None:
        """Add the task's directions; the gradients of as many weights at a time as fit in memory."""
        images = chosen_images(len(learned.normal), self.samples, self.seed, learned.task.name, "ogp")
        for group in _groups(learned.shared, len(images)):
            stacks = [weight.new_empty(len(images), weight.numel()) for _, weight, *_ in group]
            weights = [learner.parameter for learner in group]
            for row, gradients in enumerate(per_image_gradients(learned.loss, weights, learned.normal, images)):
                for stack, gradient in zip(stacks, gradients, strict=True):
                    stack[row] = gradient.flatten()
            while stacks:
                self._extend(group[len(stacks) - 1].name, stacks.pop())

    def state(self) -> dict[str, Tensor]:
        """Each weight's basis, (r, n)."""
        return dict(self.bases)

    def load(self, state: dict[str, Tensor]) -> None:
        """Take the bases."""
        self.bases = dict(state)

    def _extend(self, name: str, gradients: Tensor) -> None:
        old = self.bases.get(name, gradients[:0]).to(gradients.device)
        basis = extended_basis(old, gradients, self.threshold, self.max_rank)
        if len(basis):
            self.bases[name] = basis


@torch.no_grad()
def extended_basis(basis: Tensor, gradients: Tensor, threshold: float, max_rank: int) -> Tensor:
    """A basis with the directions that it lacks to hold ``threshold`` of the gradients' energy.

    The singular vectors come from the samples' Gram matrix: V = Rᵀ·U/σ with R·Rᵀ = U·σ²·Uᵀ, (m × m) instead of (m × n).

    Args:
        basis: (r, n), rows orthonormal.
        gradients: (m, n); overwritten by their residual.
        threshold: share of ‖gradients‖² to be held.
        max_rank: most directions to add.

    Returns:
        (r', n), rows orthonormal, the first r as they were.
    """
    total = gradients.square().sum(dtype=torch.float64)
    gradients -= (gradients @ basis.T) @ basis
    energies, vectors = torch.linalg.eigh(_gram(gradients))
    energies, vectors = energies.flip(0).clamp(min=0), vectors.flip(1)
    missing = threshold * total - (total - energies.sum())
    wanted = int((energies.cumsum(0) - energies < missing).sum())
    resolved = int((energies > 1e-10 * total).sum())
    room = gradients.shape[1] - len(basis)
    rank = min(wanted, resolved, max_rank, room)
    new = (vectors[:, :rank] / energies[:rank].sqrt()).T.to(gradients.dtype) @ gradients
    for _ in range(2):  # once leaves rounding errors in what is nearly dependent
        new -= (new @ basis.T) @ basis
        new = torch.linalg.qr(new.T).Q.T
    return torch.cat([basis, new])


def _gram(rows: Tensor) -> Tensor:
    """rows·rowsᵀ in float64."""
    pieces = (piece.double() for piece in rows.split(PIECE, dim=1))
    return sum((piece @ piece.T for piece in pieces), torch.zeros(len(rows), len(rows), device=rows.device).double())


def _groups(shared: Sequence[Learner], samples: int) -> Iterator[list[Learner]]:
    """The weights in groups of which all gradients can be held; one at least."""
    group: list[Learner] = []
    held = 0
    for learner in shared:
        size = samples * learner.parameter.numel() * learner.parameter.element_size()
        if group and held + size > HELD_BYTES:
            yield group
            group, held = [], 0
        group.append(learner)
        held += size
    if group:
        yield group
