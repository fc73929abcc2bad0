"""The coreset that PatchCore and its likeness for streams keep."""

import torch

from moleflow.baselines.coreset import CANDIDATES, coreset


def test_rare_patches_are_kept_among_many():
    """All patches are looked at: of 20 000 drawn ones, a fifth of these would be missing."""
    random = torch.Generator().manual_seed(0)
    common, rare = torch.randn(25_000, 16, generator=random), 100 * torch.randn(40, 16, generator=random)
    bank = coreset(torch.cat([common, rare]), 50 / 25_040, CANDIDATES, seed=0)
    assert len(bank) == 50
    assert (torch.cdist(rare, bank).amin(1) < 10).all()  # some 500 lie between them


def test_what_is_asked_for_is_kept_whatever_the_candidates():
    patches = torch.randn(300, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(coreset(patches, 1.0, 10, 0).sort(0).values, patches.sort(0).values)
    assert len(coreset(patches, 0.1, 10, 0)) == 30
    assert len(coreset(patches, 1e-9, 10, 0)) == 1
    assert torch.equal(coreset(patches, 0.1, 100, 3), coreset(patches, 0.1, 100, 3))
