"""Methods across tasks and seeds: against the one-task intervals, slow loops, and libraries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from toy_reports import toy_report

from d24fad_lite.evaluation.metrics import image_auroc
from d24fad_lite.evaluation.report import EvaluationReport
from d24fad_lite.evaluation.uncertainty.across import holm, mean_of_tasks, ranks, resampled
from d24fad_lite.evaluation.uncertainty.paired import compare_paired


def report(method: str, shift: float, seed: int = 0, images: int = 60, draws: int = 4) -> EvaluationReport:
    generator = np.random.default_rng([seed, round(100 * shift)])
    labels = np.repeat([0, 1], images // 2)
    return toy_report(method, generator.normal(size=(draws, images)) + shift * labels, labels)


def test_means_and_intervals_agree_with_those_of_one_task() -> None:
    good, bad = report("good", 1.5), report("bad", 0.4)
    found = resampled({"good": [good], "bad": [bad]}, resamples=20_000)
    assert found.means == pytest.approx([good.auroc, bad.auroc], abs=1e-12)
    for column, one in enumerate((good, bad)):
        assert found.interval(column) == pytest.approx(one.ci, abs=0.012)
    pair, paired = found.against(0, 1), compare_paired(good, bad, resamples=20_000)
    assert pair["difference"] == pytest.approx(paired.difference, abs=1e-12)
    assert (pair["low"], pair["high"]) == pytest.approx((paired.low, paired.high), abs=0.012)
    assert pair["p"] <= 0.01 and paired.p <= 0.01


def test_seeds_are_resampled_too_as_a_slow_loop_does_it() -> None:
    seeds = [report("m", shift, seed) for seed, shift in ((1, 0.2), (2, 1.0), (3, 2.0))]
    baseline = report("b", 0.7, 9)
    found = resampled({"m": seeds, "b": [baseline]}, resamples=4000)
    assert found.means[0] == pytest.approx(np.mean([one.auroc for one in seeds]), abs=1e-12)
    generator, slow = np.random.default_rng(5), []
    labels = baseline.labels
    for _ in range(1500):
        chosen = np.concatenate([generator.choice(np.flatnonzero(labels == label), 30) for label in (0, 1)])
        draws, which = generator.integers(4, size=4), generator.integers(3, size=3)
        slow.append(np.mean([image_auroc(labels[chosen], seeds[s].scores[d, chosen]) for s in which for d in draws]))
    assert found.samples[:, 0].std() == pytest.approx(np.std(slow), rel=0.08)
    one_seed = resampled({"m": seeds[1:2]}, resamples=4000).samples[:, 0].std()
    assert found.samples[:, 0].std() > 1.5 * one_seed  # the spread between trainings is in the interval


def test_the_mean_over_tasks_is_that_of_independent_tasks() -> None:
    tasks = [resampled({"m": [report("m", 1.0, seed)]}, resamples=8000, seed=seed) for seed in (1, 2, 3, 4)]
    mean = mean_of_tasks(tasks)
    assert mean.means[0] == pytest.approx(np.mean([task.means[0] for task in tasks]))
    of_tasks = np.sqrt(sum(task.samples[:, 0].var() for task in tasks)) / 4
    assert mean.samples[:, 0].std() == pytest.approx(of_tasks, rel=0.05)
    with pytest.raises(ValueError, match="the same methods"):
        mean_of_tasks([tasks[0], resampled({"other": [report("other", 1.0)]})])


def test_equal_methods_differ_in_nothing_and_other_images_are_refused() -> None:
    one = report("a", 1.0)
    pair = resampled({"a": [one], "b": [replace(one, method="b")]}).against(0, 1)
    assert pair == {"difference": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}
    with pytest.raises(ValueError, match="different supports"):
        resampled({"a": [one], "b": [replace(one, support_hashes=[["x", "y"]] * 4)]})
    with pytest.raises(ValueError, match="at least one report"):
        resampled({"a": []})


def test_holm_agrees_with_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(0).uniform(size=17) ** 3
    assert holm(p) == pytest.approx(multitest.multipletests(p, method="holm")[1], abs=1e-12)
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_ranks_are_those_of_the_textbook_example() -> None:
    """Demšar 2006, section 3.2.2, table 6: 14 data sets, 4 methods; mean ranks 3.143, 2.000, 2.893, 1.964."""
    table = """0.763 0.768 0.771 0.798 | 0.599 0.591 0.590 0.569 | 0.954 0.971 0.968 0.967 | 0.628 0.661 0.654 0.657
        0.882 0.888 0.886 0.898 | 0.936 0.931 0.916 0.931 | 0.661 0.668 0.609 0.685 | 0.583 0.583 0.563 0.625
        0.775 0.838 0.866 0.875 | 1.000 1.000 1.000 1.000 | 0.940 0.962 0.965 0.962 | 0.619 0.666 0.614 0.669
        0.972 0.981 0.9751 0.975 | 0.957 0.978 0.946 0.970"""
    values = np.array(table.replace("|", " ").split(), float).reshape(14, 4)
    found = ranks(pd.DataFrame(values, columns=["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"]))
    assert found is not None
    assert found.mean_rank == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=0.001)
    assert found.friedman_p < 0.05
    if found.nemenyi is not None:  # critical difference 1.25: only these pairs are apart or nearly so
        assert found.nemenyi.loc["C4.5", "C4.5+m+cf"] < 0.1 < found.nemenyi.loc["C4.5", "C4.5+cf"]
    assert ranks(pd.DataFrame(values[:2])) is None and ranks(pd.DataFrame(values[:, :2])) is None
