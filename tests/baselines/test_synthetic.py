"""Painted defects and what they are painted with."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from moleflow.baselines.autoencoders import mmd
from moleflow.baselines.auxiliary import COUNT, auxiliary_images
from moleflow.baselines.draem_sevnet import focal
from moleflow.baselines.synthetic import BLEND, with_defects
from moleflow.utils.errors import UsageError


def test_defects_change_pixels_of_their_mask_alone():
    torch.manual_seed(0)
    images = torch.rand(20, 3, 32, 32)
    found = with_defects(images, torch.zeros(1, 3, 32, 32))
    outside = found.masks[:, None].expand_as(images) == 0
    assert torch.equal(found.images[outside], images[outside])
    hit = found.severity > 0
    assert 4 < hit.sum() < 16
    assert (found.masks[~hit] == 0).all()
    assert ((found.masks[hit].mean((1, 2)) - 0.3).abs() < 0.29).all()
    assert BLEND[0] <= found.severity[hit].min() <= found.severity.max() <= BLEND[1]


def test_severity_is_the_weight_of_the_foreign_texture():
    torch.manual_seed(1)
    images = torch.full((12, 3, 32, 32), 0.5)
    found = with_defects(images, torch.full((1, 3, 32, 32), 10.0))  # bright beyond any shift: clamped to 1
    for image, mask, severity in zip(found.images, found.masks, found.severity, strict=True):
        inside = image[:, mask > 0]
        if severity:
            torch.testing.assert_close(inside, torch.full_like(inside, 0.5 + 0.5 * severity.item()))


def test_auxiliary_images_come_from_the_folder_or_are_generated(tmp_path: Path):
    made = auxiliary_images(None, 32, 0)
    assert made.shape == (COUNT, 3, 32, 32)
    assert 0 <= made.min() < made.max() <= 1
    assert made.std((1, 2, 3)).min() > 0
    assert torch.equal(made, auxiliary_images(None, 32, 0))
    with pytest.raises(UsageError, match="no image lies below"):
        auxiliary_images(str(tmp_path), 32, 0)
    (tmp_path / "banded").mkdir()
    Image.new("RGB", (50, 40), (255, 0, 0)).save(tmp_path / "banded" / "one.png")
    read = auxiliary_images(str(tmp_path), 16, 0)
    assert read.shape == (1, 3, 16, 16)
    torch.testing.assert_close(read[0, :, 3, 3], torch.tensor([1.0, 0.0, 0.0]))


def test_mmd_is_near_zero_for_one_distribution_and_large_for_two():
    torch.manual_seed(0)
    same = mmd(torch.randn(200, 4), torch.randn(200, 4))
    apart = mmd(torch.randn(200, 4) + 2, torch.randn(200, 4))
    assert abs(same) < 0.02 < 0.2 < apart


def test_focal_loss_without_focus_is_cross_entropy_and_with_it_forgets_what_is_easy():
    logits, truth = torch.tensor([4.0, -0.2]), torch.tensor([1.0, 1.0])
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth)
    torch.testing.assert_close(focal(logits, truth, gamma=0.0), entropy)
    p = logits.sigmoid()
    torch.testing.assert_close(focal(logits, truth), (-((1 - p) ** 2) * p.log()).mean())
