"""Promised false-alarm rates are kept, measured by simulation; what cannot be promised is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from d24fad_lite.evaluation.scorer import ScoredBatch
from d24fad_lite.evaluation.uncertainty.thresholds import (
    ThresholdError,
    calibrate,
    conformal_p_values,
    conformal_threshold,
    false_alarm_interval,
    images_needed,
    leave_one_out_scores,
    lowest_alpha,
    normal_scores,
)
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD

SIZE = 16


class DistanceToMean:
    """A few-shot scorer that is fast enough to simulate with: distance of the mean pixel to that of the supports."""

    name, image_size = "distance to mean", SIZE

    def prepare(self, images: Tensor, draws: np.ndarray) -> np.ndarray:
        return images.mean(dim=(1, 2, 3)).numpy()[draws].mean(axis=1)

    def score(self, images: Tensor, prepared: np.ndarray) -> ScoredBatch:
        return ScoredBatch(np.abs(images.mean(dim=(1, 2, 3)).numpy()[None] - prepared[:, None]), None)


def normal_images(rng: np.random.Generator, count: int) -> Tensor:
    """Images of one grey level each, all that the scorer looks at."""
    grey = torch.from_numpy(rng.uniform(0.2, 0.8, count).astype(np.float32))
    return grey.view(-1, 1, 1, 1).expand(-1, 3, 2, 2)


def measured_rate(supports: int, normals: int, alpha: float, trials: int = 600) -> float:
    """Mean false-alarm rate over trials, each with supports, calibration and new normal images of its own."""
    rng, scorer, rates = np.random.default_rng(0), DistanceToMean(), []
    for _ in range(trials):
        bank = normal_images(rng, supports)
        threshold = calibrate(scorer, bank, alpha, normal_images(rng, normals) if normals else None)
        rates.append(threshold.alarms(normal_scores(scorer, bank, normal_images(rng, 100))).mean())
    return float(np.mean(rates))


@pytest.mark.parametrize(("normals", "alpha"), [(9, 0.1), (19, 0.1), (30, 0.2)])
def test_further_normal_images_keep_the_promised_rate(normals: int, alpha: float) -> None:
    rank = int(np.ceil((normals + 1) * (1 - alpha) - 1e-9))
    exact = 1 - rank / (normals + 1)  # what split conformal gives for scores without ties
    rate = measured_rate(4, normals, alpha)
    assert exact <= alpha and rate == pytest.approx(exact, abs=0.012)


@pytest.mark.parametrize(("supports", "alpha"), [(4, 0.2), (8, 0.2), (19, 0.05)])
def test_leave_one_out_over_supports_is_close_to_its_rate_and_on_the_quiet_side(supports: int, alpha: float) -> None:
    assert 0.4 * alpha < measured_rate(supports, 0, alpha) <= alpha + 0.012


def test_p_values_of_normal_images_are_never_too_small() -> None:
    rng = np.random.default_rng(1)
    p = np.concatenate([conformal_p_values(rng.normal(size=19), rng.normal(size=5)) for _ in range(1500)])
    for alpha in (0.05, 0.1, 0.3, 0.5):
        assert (p <= alpha + 1e-9).mean() == pytest.approx(alpha, abs=0.012)
    assert p.min() == pytest.approx(1 / 20)


def test_p_values_are_those_of_their_definition_with_ties() -> None:
    calibration, scores = np.array([1, 2, 2, 5.0]), np.array([0, 2, 2.5, 5, 9.0])
    expected = [(1 + sum(c >= s for c in calibration)) / 5 for s in scores]
    np.testing.assert_allclose(conformal_p_values(calibration, scores), expected)


def test_an_alarm_is_a_p_value_of_at_most_alpha() -> None:
    rng = np.random.default_rng(2)
    for n, alpha in ((9, 0.1), (40, 0.07), (99, 0.3)):
        calibration, scores = rng.normal(size=n).round(1), rng.normal(size=200).round(1)
        threshold = conformal_threshold(calibration, alpha)
        np.testing.assert_array_equal(threshold.alarms(scores), threshold.p_values(scores) <= alpha + 1e-12)


@pytest.mark.parametrize("alpha", [0.5, 0.2, 0.1, 0.05, 0.03, 0.01])
def test_one_image_less_than_needed_is_refused(alpha: float) -> None:
    needed = images_needed(alpha)
    assert 1 / (needed + 1) <= alpha + 1e-12 and (needed == 1 or 1 / needed > alpha)
    conformal_threshold(np.arange(needed), alpha)
    with pytest.raises(ThresholdError, match=f"at least {needed} normal images"):
        conformal_threshold(np.arange(needed - 1), alpha)


@pytest.mark.parametrize("n", [1, 2, 3, 9, 24, 99])
def test_the_lowest_rate_that_few_images_promise_is_at_their_highest_score_and_no_lower_one_is_given(n: int) -> None:
    scores = np.random.default_rng(n).normal(size=n)
    threshold = conformal_threshold(scores, max(1e-6, lowest_alpha(n)))
    assert threshold.value == scores.max() and images_needed(lowest_alpha(n)) == n
    with pytest.raises(ThresholdError, match=rf"lowest they can is 1/\(n\+1\) = {lowest_alpha(n):.3g};"):
        conformal_threshold(scores, 0.999 * lowest_alpha(n))


def test_no_image_promises_nothing() -> None:
    assert lowest_alpha(0) == 1
    with pytest.raises(ThresholdError, match="0 normal images cannot promise"):
        conformal_threshold(np.array([]), 0.5)


def test_four_supports_alone_do_not_promise_one_in_ten() -> None:
    images = normal_images(np.random.default_rng(0), 20)
    with pytest.raises(ThresholdError, match="4 supports and 0 further normal images cannot promise .* is 0.2; give 9"):
        calibrate(DistanceToMean(), images[:4], 0.1)
    with pytest.raises(ThresholdError, match="1 supports"):
        calibrate(DistanceToMean(), images[:1], 0.5)
    mixed = calibrate(DistanceToMean(), images[:4], 0.1, images[4:9])
    assert not mixed.exact and mixed.n == 9 and "about 10 %" in mixed.summary()
    full = calibrate(DistanceToMean(), images[:4], 0.1, images[4:13])
    assert full.exact and full.n == 9 and "at most 10 %" in full.summary()


def test_the_rate_of_a_single_threshold_lies_in_its_interval_as_often_as_said() -> None:
    rng, n, alpha = np.random.default_rng(3), 30, 0.1
    low, high = false_alarm_interval(n, alpha)
    rates = np.array([1 - conformal_threshold(rng.uniform(size=n), alpha).value for _ in range(3000)])  # true rates
    assert ((low <= rates) & (rates <= high)).mean() == pytest.approx(0.95, abs=0.015)
    low, high = false_alarm_interval(n, alpha, confidence=0.5)
    assert ((low <= rates) & (rates <= high)).mean() == pytest.approx(0.5, abs=0.03)


def test_leave_one_out_scores_are_those_of_single_predictions() -> None:
    model = D24FAD(D24FADConfig(teacher="test_resnet", weights="random", image_size=32))
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = [
        float(model.predict(images[i : i + 1], model.encode_supports(images[[j for j in range(4) if j != i]])).score)
        for i in range(4)
    ]
    np.testing.assert_allclose(leave_one_out_scores(model, images), expected, rtol=1e-4)


def test_wrong_calibration_is_refused() -> None:
    images = normal_images(np.random.default_rng(0), 20)
    with pytest.raises(ValueError, match=r"images \[0\] are supports as well"):
        calibrate(DistanceToMean(), images[:4], 0.1, images[3:15])
    with pytest.raises(ValueError, match="alpha=10"):
        calibrate(DistanceToMean(), images[:4], 10, images[4:])
    with pytest.raises(ValueError, match="NaN"):
        conformal_threshold(np.array([1, np.nan, 2]), 0.5)
    with pytest.raises(ValueError, match="at least 2 supports"):
        leave_one_out_scores(DistanceToMean(), images[:1])
