"""Paired tests against their definitions, against each other and against the rate they promise."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from toy_reports import toy_report

from d24fad_lite.evaluation.metrics import image_auroc
from d24fad_lite.evaluation.uncertainty.paired import compare_paired, delong_covariance


def toy_scores(seed: int, draws: int = 3, count: int = 60, gain: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Two correlated scorings [2, D, N], the first better by `gain`."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    common = rng.normal(size=count) + labels
    first = common + gain * labels + rng.normal(scale=0.7, size=(draws, count))
    second = common + rng.normal(scale=0.7, size=(draws, count))
    return np.stack([first, second]), labels


def naive_delong(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The structural components of 1988, pair by pair."""

    def kernel(x: float, y: float) -> float:
        return 1.0 if x > y else 0.5 if x == y else 0.0

    v10, v01 = [], []
    for row in scores:
        x, y = row[labels == 1], row[labels == 0]
        v10.append([np.mean([kernel(a, b) for b in y]) for a in x])
        v01.append([np.mean([kernel(a, b) for a in x]) for b in y])
    a, b = np.array(v10), np.array(v01)
    return a.mean(axis=1), np.cov(a) / a.shape[1] + np.cov(b) / b.shape[1]


@pytest.mark.parametrize("decimals", [0, 6])
def test_fast_delong_is_the_pairwise_definition_also_with_ties(decimals: int) -> None:
    rng = np.random.default_rng(2)
    labels = (rng.random(35) < 0.4).astype(int)
    scores = (rng.normal(size=(3, 35)) + labels).round(decimals)
    aurocs, covariance = delong_covariance(labels, scores)
    expected_aurocs, expected_covariance = naive_delong(labels, scores)
    np.testing.assert_allclose(aurocs, expected_aurocs, atol=1e-12)
    np.testing.assert_allclose(covariance, expected_covariance, atol=1e-12)
    assert aurocs[0] == pytest.approx(image_auroc(labels, scores[0]))


def test_delong_and_the_bootstrap_of_images_agree_on_the_standard_error() -> None:
    both, labels = toy_scores(4, draws=1, count=300, gain=0.3)
    (first, second), covariance = delong_covariance(labels, both[:, 0])
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    p = 2 * NormalDist().cdf(-abs(first - second) / error)
    pair = compare_paired(toy_report("a", both[0], labels), toy_report("b", both[1], labels))
    assert (pair.high - pair.low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.1)
    assert pair.delong_p == pytest.approx(p)
    half = 1.96 * error
    expected = (first - second - half, first - second + half)
    assert (pair.delong_low, pair.delong_high) == pytest.approx(expected, abs=1e-4)
    assert abs(np.log(pair.p / p)) < 1.5 or max(pair.p, p) < 2e-3  # the bootstrap cannot tell smaller ones apart


def test_no_difference_is_found_where_there_is_none_at_the_promised_rate() -> None:
    rng, rejected = np.random.default_rng(0), 0
    labels = np.arange(80) % 2
    for _ in range(300):
        common = rng.normal(size=80) + labels
        reports = [toy_report(name, (common + rng.normal(size=80))[None], labels) for name in "ab"]
        p = compare_paired(*reports, resamples=2).delong_p
        rejected += p is not None and p < 0.05
    assert 3 <= rejected <= 30  # 15 expected


def test_a_method_against_itself_differs_by_nothing_and_a_better_one_by_something() -> None:
    both, labels = toy_scores(1, gain=1.5)
    same = compare_paired(toy_report("a", both[0], labels), toy_report("a again", both[0], labels))
    assert (same.difference, same.low, same.high, same.p, same.delong_p) == (0, 0, 0, 1, 1)
    pair = compare_paired(toy_report("a", both[0], labels), toy_report("b", both[1], labels))
    means = [np.mean([image_auroc(labels, row) for row in part]) for part in both]
    assert pair.difference == pytest.approx(means[0] - means[1])
    assert 0 < pair.low < pair.difference < pair.high and pair.p < 0.01 and "a - b: +" in pair.summary()


def test_a_difference_that_rounds_to_nothing_is_said_without_a_minus() -> None:
    both, labels = toy_scores(1, gain=1.5)
    pair = compare_paired(toy_report("a", both[0], labels), toy_report("b", both[1], labels))
    tiny = replace(pair, difference=-1e-5, low=-0.0004, high=-0.0)
    assert tiny.summary().startswith("a - b: +0.000 [+0.000, +0.000], p=")
    assert replace(pair, low=-0.0006).summary().count("[-0.001, ") == 1


def test_images_of_one_patient_count_as_one_and_widen_the_interval() -> None:
    both, labels = toy_scores(5, draws=1, count=40, gain=0.6)
    repeated, more = np.repeat(both, 6, axis=2), np.repeat(labels, 6)  # six equal images of each of 40 patients
    patients = [f"p{i // 6}" for i in range(240)]
    naive = compare_paired(toy_report("a", repeated[0], more), toy_report("b", repeated[1], more))
    clustered = compare_paired(*(toy_report(n, s, more, patients) for n, s in zip("ab", repeated, strict=True)))
    single = compare_paired(toy_report("a", both[0], labels), toy_report("b", both[1], labels))
    assert clustered.delong_p is None and clustered.clusters == 40 and naive.clusters == 240
    assert (clustered.high - clustered.low) > 1.8 * (naive.high - naive.low)
    assert (clustered.high - clustered.low) == pytest.approx(single.high - single.low, rel=0.25)


def test_reports_that_do_not_belong_together_are_refused() -> None:
    both, labels = toy_scores(1)
    first = toy_report("a", both[0], labels)
    with pytest.raises(ValueError, match="different supports"):
        compare_paired(first, toy_report("b", both[1], labels, hashes="other"))
    with pytest.raises(ValueError, match="differ in names"):
        compare_paired(first, toy_report("b", both[1][:, :40], labels[:40]))
    with pytest.raises(ValueError, match="at least 2 images of each class"):
        delong_covariance(np.array([0, 1, 1]), np.random.default_rng(0).random((2, 3)))


def test_the_confidence_sets_the_width_of_both_intervals() -> None:
    both, labels = toy_scores(7, gain=0.5)
    reports = toy_report("a", both[0], labels), toy_report("b", both[1], labels)
    narrow, wide = (compare_paired(*reports, confidence=confidence) for confidence in (0.5, 0.99))
    assert (narrow.confidence, wide.confidence) == (0.5, 0.99) and narrow.p == wide.p
    assert wide.low < narrow.low < narrow.high < wide.high
    assert wide.delong_low < narrow.delong_low < narrow.delong_high < wide.delong_high
