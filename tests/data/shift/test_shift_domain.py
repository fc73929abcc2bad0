"""A shifted domain: ranges, severities, determinism, variants, and photometric transforms that leave masks alone."""

import json

import numpy as np
import pytest

from moleflow.data.shift.blur import Blur
from moleflow.data.shift.colour import LUMA, Jitter
from moleflow.data.shift.domain import GEOMETRIC, PHOTOMETRIC, SEVERITIES, TRANSFORMS, DomainShift, replay
from moleflow.data.shift.illumination import Illumination, fall_off
from moleflow.data.shift.noise import Noise
from moleflow.utils.errors import UsageError

SHAPE = (48, 64)
STEPS = {
    "rotation": lambda p: abs(p["degrees"]),
    "crop": lambda p: 1 - p["area"],
    "translation": lambda p: abs(p["right"]) + abs(p["down"]),
    "colour": lambda p: sum(abs(factor - 1) for factor in p.values()),
    "illumination": lambda p: p["strength"],
    "blur": lambda p: p["sigma"],
    "noise": lambda p: p["sigma"],
}
"""Transform -> how far its parameters are from doing nothing."""


def picture(seed: int = 0) -> np.ndarray:
    """Smooth waves, uint8, away from black and white."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] / 4
    phases = np.random.default_rng(seed).uniform(0, 6, 3)
    return np.stack([128 + 60 * np.sin(rows + p) * np.cos(columns - p) for p in phases], -1).astype(np.uint8)


def masks() -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[20:30, 25:40] = True
    return mask


def drawn(name: str, severity: str, seeds: int = 300) -> list[dict]:
    shift = DomainShift(severity, (name,))
    table = GEOMETRIC if name in GEOMETRIC else PHOTOMETRIC
    return [dict(shift._draw(table, seed)[name]) for seed in range(seeds)]


RANGES = {
    ("rotation", "degrees"): (-10, 10), ("crop", "area"): (0.9, 1), ("crop", "left"): (0, 1), ("crop", "top"): (0, 1),
    ("translation", "right"): (-0.05, 0.05), ("translation", "down"): (-0.05, 0.05),
    ("colour", "brightness"): (0.7, 1.3),
    ("colour", "contrast"): (0.7, 1.3), ("colour", "saturation"): (0.7, 1.3), ("illumination", "strength"): (0.4, 0.7),
    ("noise", "sigma"): (0.01, 0.05), ("blur", "taps"): (3, 5),
}  # fmt: skip


@pytest.mark.parametrize(("name", "parameter"), list(RANGES))
def test_moderate_fills_the_range_of_the_specification(name, parameter):
    values = np.array([parameters[parameter] for parameters in drawn(name, "moderate")])
    low, high = RANGES[name, parameter]
    assert values.min() >= low
    assert values.max() <= high
    assert values.min() < low + 0.05 * (high - low)
    assert values.max() > high - 0.05 * (high - low)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_severities_scale_the_same_draw(name):
    mild, moderate, severe = (np.array([STEPS[name](p) for p in drawn(name, severity)]) for severity in SEVERITIES)
    assert list(SEVERITIES) == ["mild", "moderate", "severe"]
    assert mild == pytest.approx(0.5 * moderate)
    assert severe == pytest.approx(np.minimum(1.5 * moderate, 0.95) if name == "illumination" else 1.5 * moderate)


@pytest.mark.parametrize("name", [name for name in TRANSFORMS if name != "illumination"])
def test_pixels_change_more_with_severity(name):
    def change(severity: str) -> float:
        shift = DomainShift(severity, (name,))
        return float(
            np.mean([np.abs(shift(picture(), None, seed).image - picture().astype(float)) for seed in range(8)])
        )

    mild, moderate, severe = map(change, SEVERITIES)
    assert 0 < mild < moderate < severe


@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_seed_gives_the_same_image_and_another_seed_another(severity):
    shift = DomainShift(severity)
    one, again, other = (shift(picture(), masks(), seed) for seed in (7, 7, 8))
    assert np.array_equal(one.image, again.image)
    assert np.array_equal(one.mask, again.mask)
    assert one.parameters == again.parameters != other.parameters
    assert not np.array_equal(one.image, other.image)


@pytest.mark.parametrize("name", list(PHOTOMETRIC))
def test_photometric_transforms_leave_masks_alone(name):
    mask = masks()
    for seed in range(4):
        shifted = DomainShift("severe", (name,))(picture(), mask, seed)
        assert shifted.mask is not None
        assert np.array_equal(shifted.mask, mask)
        assert shifted.image.shape == picture().shape


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_single_transform_does_what_it_does_among_all(name):
    single = DomainShift("moderate", (name,))(picture(), None, 11).parameters
    assert dict(single) == {name: DomainShift("moderate")(picture(), None, 11).parameters[name]}


def test_transforms_have_streams_of_their_own():
    angles, moves = (np.array([p[key] for p in drawn(name, "moderate")]) for name, key in
                     (("rotation", "degrees"), ("translation", "right")))  # fmt: skip
    assert abs(np.corrcoef(angles, moves)[0, 1]) < 0.2


def test_parameters_survive_json_and_give_the_same_image():
    shifted = DomainShift("severe")(picture(), masks(), 5)
    again = replay(picture(), masks(), json.loads(json.dumps(shifted.parameters)))
    assert np.array_equal(again.image, shifted.image)
    assert np.array_equal(again.mask, shifted.mask)


def test_the_source_is_left_as_it_was():
    image, mask = picture(), masks()
    DomainShift("severe")(image, mask, 1)
    assert np.array_equal(image, picture())
    assert np.array_equal(mask, masks())


@pytest.mark.parametrize(
    ("severity", "transforms", "sentence"),
    [
        ("sever", TRANSFORMS, "did you mean 'severe'"),
        ("mild", ("blurr",), "did you mean 'blur'"),
        ("mild", (), "needs a"),
    ],
)
def test_unknown_names_are_refused(severity, transforms, sentence):
    with pytest.raises(UsageError, match=sentence):
        DomainShift(severity, transforms)


def test_half_of_the_images_are_lit_from_one_side_in_either_form():
    kinds = [parameters["kind"] for parameters in drawn("illumination", "moderate", 1000)]
    assert kinds.count("none") == pytest.approx(500, abs=60)
    assert kinds.count("linear") == pytest.approx(250, abs=60)
    assert kinds.count("radial") == pytest.approx(250, abs=60)


@pytest.mark.parametrize("kind", ["linear", "radial"])
def test_light_falls_off_from_all_of_it_to_the_strength(kind):
    parameters = {"kind": kind, "strength": 0.6, "degrees": 0.0, "x": 0.5, "y": 0.5}
    found = Illumination().apply(np.ones((40, 81, 3), np.float32), parameters)
    assert found.max() == pytest.approx(1, abs=0.01)
    assert found.min() == pytest.approx(0.4, abs=0.01)
    assert found[20, 40, 0] == pytest.approx(0.7 if kind == "linear" else 1, abs=0.02)
    assert np.unique(fall_off(parameters, 1, 1)).tolist() == [0]


def test_no_light_falls_off_where_the_image_is_not_chosen():
    image = np.ones((4, 4, 3), np.float32)
    assert Illumination().apply(image, {"kind": "none", "strength": 0.6, "degrees": 0.0, "x": 0.5, "y": 0.5}) is image


def test_jitter_by_its_formula():
    image = np.array([[[0.2, 0.4, 0.6], [0.5, 0.5, 0.5]]], np.float32)
    neutral = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0}
    jitter = Jitter()
    assert jitter.apply(image, neutral) == pytest.approx(image, abs=1e-6)
    assert jitter.apply(image, {**neutral, "brightness": 1.2}) == pytest.approx(1.2 * image)
    mean = float((image @ LUMA).mean())
    assert jitter.apply(image, {**neutral, "contrast": 0.7}) == pytest.approx(mean + 0.7 * (image - mean), abs=1e-6)
    grey = jitter.apply(image, {**neutral, "saturation": 0.0})
    assert np.ptp(grey, axis=-1) == pytest.approx(0, abs=1e-6)


def test_blur_is_a_gaussian_of_its_taps_that_keeps_the_light():
    dot = np.zeros((15, 15, 3), np.float32)
    dot[7, 7] = 1
    found = Blur().apply(dot, {"taps": 5, "sigma": 1.1})[..., 0]
    weights = np.exp(-0.5 * (np.arange(-2, 3) / 1.1) ** 2)
    weights /= weights.sum()
    assert found[5:10, 5:10] == pytest.approx(np.outer(weights, weights), abs=1e-6)
    assert found.sum() == pytest.approx(1, abs=1e-5)


def test_noise_has_its_standard_deviation_in_every_channel_alone():
    noise = Noise().apply(np.full((80, 80, 3), 0.5, np.float32), {"sigma": 0.05, "seed": 3}) - 0.5
    assert noise.std() == pytest.approx(0.05, rel=0.03)
    assert abs(noise.mean()) < 0.002
    assert np.abs(np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)).max() < 0.05
