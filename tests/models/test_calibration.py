"""S6: z-scores and p-values by hand, against scipy, at their edges, and in the model's decisions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import SIZE, TINY, trained
from scipy import stats

from moleflow.config.task import Task
from moleflow.config.variants import Excess as ExcessConfig
from moleflow.config.variants import PValue as PValueConfig
from moleflow.config.variants import RawScores as RawScoresConfig
from moleflow.config.variants import ZScore as ZScoreConfig
from moleflow.models.scoring.calibration import Calibration, Excess, PValue, ZScore
from moleflow.models.scoring.reference import ScoreReference

SCALES = [ZScore(), Excess(), PValue()]


def reference(scores: list[float] | torch.Tensor, rate: float = 0.1) -> ScoreReference:
    part = ScoreReference(Task(("a",), 0))
    part.learn(torch.as_tensor(scores, dtype=torch.float32), rate)
    return part


def normals(n: int, seed: int = 0) -> torch.Tensor:
    return 5 + 2 * torch.randn(n, generator=torch.Generator().manual_seed(seed))


def test_z_scores_by_hand():
    """Mean 4, variance (4 + 0 + 4)/2 = 4."""
    z = ZScore()(torch.tensor([[4.0, 8.0], [2.0, 5.0]]), reference([6.0, 2.0, 4.0]))
    assert z.tolist() == [[0.0, 2.0], [-1.0, 0.5]]


def test_excesses_by_hand_look_only_upwards():
    """Median 4, exceeded by 0, 0, 0, 2 and 8: by 2 in the mean."""
    known, low = reference([4.0, 1.0, 12.0, 3.0, 6.0]), reference([4.0, -900.0, 12.0, 3.0, 6.0])
    scores = torch.tensor([[4.0, 8.0], [3.0, 5.0]])
    for one in (known, low):
        assert Excess()(scores, one).tolist() == [[0.0, 2.0], [-0.5, 0.5]]


def test_excesses_of_scores_that_never_exceed_their_median_are_unknown():
    assert Excess()(torch.tensor([1.0, 5.0, 9.0]), reference([1.0, 5.0, 5.0, 5.0])).isnan().all()


def test_p_values_of_many_reference_scores_are_plus_one_shares():
    known = reference([float(i) for i in range(1, 100)])
    p = PValue()(torch.tensor([0.5, 1.0, 50.0, 99.0, 99.5, 1e9]), known)
    assert p.tolist() == pytest.approx([1.0, 1.0, 0.51, 0.02, 0.01, 0.01])


def test_p_values_of_few_reference_scores_are_scipys_gumbel_tail():
    few = normals(20)
    width = few.double().std().item() * np.sqrt(6) / np.pi
    gumbel = stats.gumbel_r(loc=few.double().mean().item() - np.euler_gamma * width, scale=width)
    scores = torch.linspace(-5, 80, 30, dtype=torch.float64)
    p = PValue()(scores, reference(few))
    np.testing.assert_allclose(p.numpy(), gumbel.sf(scores.numpy()), rtol=1e-6)
    assert 0 < p[-1] < 1e-15, "far defects are told apart"
    assert (p.diff() <= 0).all()


@pytest.mark.parametrize(("n", "steps"), [(49, False), (50, True)])
def test_fifty_reference_scores_are_enough_for_their_own_shares(n, steps):
    p = PValue()(normals(200, seed=1), reference(normals(n)))
    shares = p * (n + 1)
    assert torch.allclose(shares, shares.round(), atol=1e-9) == steps


def test_p_values_of_new_normal_images_keep_their_level():
    """P(p ≤ u) ≤ u in expectation over references of 60 (exact) and, nearly, of 20 Gumbel scores (parametric)."""
    gumbel = torch.distributions.Gumbel(3.0, 2.0)
    torch.manual_seed(0)
    for n, most in ((60, 0.105), (20, 0.13)):
        shares = [(PValue()(gumbel.sample((50,)), reference(gumbel.sample((n,)))) <= 0.1).double() for _ in range(200)]
        assert 0.07 < torch.cat(shares).mean() < most


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: type(scale).__name__)
@pytest.mark.parametrize("scores", [[], [3.0], [3.0, 3.0, 3.0]], ids=["none", "one", "all equal"])
def test_without_spread_there_is_no_scale_and_no_infinity(scale: Calibration, scores: list[float]):
    calibrated = scale(torch.tensor([1.0, 3.0, 1e9]), reference(scores))
    assert torch.isnan(calibrated).all()


def test_equal_scores_enough_for_shares_still_have_p_values():
    assert PValue()(torch.tensor([3.0, 3.5]), reference([3.0] * 50)).tolist() == pytest.approx([1.0, 1 / 51])


@pytest.mark.parametrize("n", [20, 60])
@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: type(scale).__name__)
def test_the_threshold_decides_alike_on_every_scale(scale: Calibration, n: int):
    known = reference(normals(n))
    scores = torch.cat([normals(300, seed=2), known.scores.float()])
    calibrated, limit = scale(scores, known), scale(known.threshold, known)
    decided = calibrated > limit if scale.higher_is_anomalous else calibrated < limit
    expected = scores.double() > known.threshold
    assert torch.equal(decided, expected)
    assert 0 < expected.sum() < len(scores)


def test_a_threshold_that_was_never_set_stays_unset():
    for scale in SCALES:
        assert torch.isnan(scale(torch.tensor(torch.nan), reference(normals(60))))


@pytest.mark.parametrize(
    "config", [RawScoresConfig(), ZScoreConfig(), ExcessConfig(), PValueConfig()], ids=lambda c: type(c).__name__
)
def test_predictions_are_on_the_scale_and_their_decision_is_the_raw_scores(config):
    model = trained(["a", "b"], replace(TINY, calibration=config))
    images = torch.rand(6, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    tasks = ["b", "a", "a", "b", "b", "a"]
    with torch.no_grad():
        raw = model.score(model.features(images), tasks).images
    for task in "ab":  # so that some are beyond and some are not
        model.reference[task].threshold = raw[[name == task for name in tasks]].double().median()
    prediction = model.predict(images, tasks)
    limits = torch.stack([model.threshold(task) for task in tasks])
    assert torch.equal(prediction.anomalous, raw > limits)
    assert 0 < prediction.anomalous.sum() < 6
    for index, task in enumerate(tasks):
        expected = model.calibration(raw[index], model.reference[task])
        assert prediction.scores[index] == expected
        assert prediction.thresholds[index] == model.calibration(limits[index], model.reference[task])
    if not isinstance(config, RawScoresConfig):
        assert not torch.allclose(prediction.scores.float(), raw)


def test_loading_a_base_leaves_what_an_expert_promises():
    """A base names no expert's buffers; an older expert's file names all but the rate."""
    part = reference([1.0, 2.0, 3.0])
    part.load_state_dict({}, strict=False)
    assert part.rate == 0.1
    part.load_state_dict({"scores": torch.zeros(2, dtype=torch.float64), "threshold": torch.tensor(5.0)})
    assert part.rate.isnan()
