"""Methods across tasks and training seeds: means with intervals, paired differences, corrections, ranks.

The tasks are independent test sets. Within a task, all methods share images and draws, so a resample takes the same
images and draws for all of them; where a method was trained with several seeds, seeds are resampled as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import friedmanchisquare

from d24fad_lite.evaluation.uncertainty.intervals import (
    RESAMPLES,
    bootstrap_p,
    image_counts,
    percentile_interval,
    wins,
)
from d24fad_lite.evaluation.uncertainty.paired import DrawnScores, require_paired

if TYPE_CHECKING:
    import pandas as pd

LEAST_TASKS, LEAST_METHODS = 3, 3  # of a test over ranks


@dataclass(frozen=True)
class Resampled:
    """Mean image AUROCs of several methods, and what they become in each resample.

    Attributes
    ----------
    names : list of M str
    means : float [M]
        Over draws and training seeds.
    samples : float [R, M]
        The same in R resamples; the difference of two columns is that of a paired resample.
    """

    names: list[str]
    means: np.ndarray
    samples: np.ndarray

    def interval(self, column: int) -> tuple[float, float]:
        """95 % percentile interval of one method's mean."""
        return percentile_interval(self.samples[:, column])

    def against(self, first: int, second: int) -> dict[str, float]:
        """Difference of two methods, its interval and two-sided p value by the paired bootstrap."""
        values = self.samples[:, first] - self.samples[:, second]
        low, high = percentile_interval(values)
        difference = float(self.means[first] - self.means[second])
        return {"difference": difference, "low": low, "high": high, "p": bootstrap_p(values)}


def resampled(reports: Mapping[str, Sequence[DrawnScores]], *, resamples: int = RESAMPLES, seed: int = 0) -> Resampled:
    """Mean AUROCs of methods on one task, jointly resampled over images (patients where known), draws and seeds.

    Parameters
    ----------
    reports : mapping of method to its reports
        One report for each training seed; all on the same images and draws.
    resamples : int, default 2000
    seed : int, default 0
        Of the resampling.

    Raises
    ------
    ValueError
        No reports, or reports of other images, draws or protocols.
    """
    lists = {name: list(each) for name, each in reports.items()}
    if not lists or not all(lists.values()):
        raise ValueError("resampled() needs at least one report of each method")
    first = next(iter(lists.values()))[0]
    for each in lists.values():
        for report in each:
            require_paired(first, report)
    labels, generator = first.labels, np.random.default_rng([seed, 97])
    counts = image_counts(labels, first.groups, generator, resamples)
    u, v = counts[:, labels == 1].astype(np.float32), counts[:, labels == 0].astype(np.float32)
    pairs = u.sum(axis=1, dtype=np.float64) * v.sum(axis=1, dtype=np.float64)
    draws = first.draws
    draw_weights = generator.multinomial(draws, [1 / draws] * draws, size=resamples) / draws  # (R, D)
    seed_weights = {  # the same seeds for all methods that have as many
        count: generator.multinomial(count, [1 / count] * count, size=resamples) / count
        for count in sorted({len(each) for each in lists.values()})
    }
    means, samples = np.empty(len(lists)), np.empty((resamples, len(lists)))
    for column, each in enumerate(lists.values()):
        total, mean = np.zeros(resamples), 0.0
        for row, report in enumerate(each):
            of_seed = np.zeros(resamples)
            for draw, scores in enumerate(report.scores):
                won = wins(scores[labels == 1], scores[labels == 0])
                of_seed += draw_weights[:, draw] * ((u @ won) * v).sum(axis=1)
                mean += float(won.mean(dtype=np.float64)) / draws / len(each)
            total += seed_weights[len(each)][:, row] * of_seed
        means[column], samples[:, column] = mean, total
    usable = pairs > 0  # a resample of patients can miss a class; it has no AUROC
    return Resampled(list(lists), means, samples[usable] / pairs[usable, None])


def mean_of_tasks(tasks: Sequence[Resampled]) -> Resampled:
    """The mean over tasks, which are independent: resample r of the mean is the mean of the tasks' resamples r.

    Raises ValueError where tasks have other methods.
    """
    if not tasks or any(task.names != tasks[0].names for task in tasks):
        raise ValueError("the mean over tasks needs the same methods on each of them")
    least = min(len(task.samples) for task in tasks)
    samples = np.mean([task.samples[:least] for task in tasks], axis=0)
    return Resampled(tasks[0].names, np.mean([task.means for task in tasks], axis=0), samples)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's step-down correction: adjusted p values, float [n], which control the chance of any false claim.

    References
    ----------
    Holm, Scandinavian Journal of Statistics 1979.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order]))
    return adjusted


@dataclass(frozen=True)
class Ranks:
    """Ranks of methods over tasks: 1 is the best, ties share.

    Attributes
    ----------
    mean_rank : float [M], in the order of the columns
    friedman_p : float
        That all methods are alike.
    nemenyi : DataFrame [M, M] of p values, of each pair, corrected for all pairs; None without scikit-posthocs
    """

    mean_rank: np.ndarray
    friedman_p: float
    nemenyi: pd.DataFrame | None


def ranks(aurocs: pd.DataFrame) -> Ranks | None:
    """Friedman's test and Nemenyi's pairs for AUROCs [T tasks, M methods]; None for fewer than 3 of either.

    References
    ----------
    Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 2006.
    """
    if len(aurocs) < LEAST_TASKS or aurocs.shape[1] < LEAST_METHODS:
        return None
    mean_rank = aurocs.rank(axis=1, ascending=False).mean().to_numpy()
    p = float(friedmanchisquare(*aurocs.to_numpy().T).pvalue)
    try:
        import scikit_posthocs
    except ImportError:
        return Ranks(mean_rank, p, None)
    pairs = scikit_posthocs.posthoc_nemenyi_friedman(aurocs.to_numpy())
    pairs.index = pairs.columns = aurocs.columns
    return Ranks(mean_rank, p, pairs)
