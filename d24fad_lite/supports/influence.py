"""Is my choice any good: the chosen supports beside random sets, and what each support does to the result.

This looks at test labels. It is for learning what supports do; a choice made by it, and reported on the same test
images, is as optimistic as an epoch chosen on the test set. `own_score` alone uses no label.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from d24fad_lite.data.benchmark import Task
from d24fad_lite.data.supports import draw_supports, leave_one_out
from d24fad_lite.evaluation.metrics import PixelAuroc, image_auroc
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.features import SupportBank
from d24fad_lite.supports.even_part import even_part, evenly_spaced
from d24fad_lite.supports.live import BATCH, REFERENCE_IMAGES

# A support is flagged as harmful when leaving it out gains this much AUROC.
HARMFUL = 0.02
# Unpicked normal images have a median score and a 95 % quantile. A support is flagged as unlike the others when its own
# score is further above that median than this many times the distance from the median to the quantile.
UNLIKE = 2.0


@dataclass(frozen=True)
class SetScores:
    """Metrics of D support sets.

    Attributes
    ----------
    auroc : ndarray, float [D]
        Image AUROC.
    pixel_auroc : ndarray, float [D], or None
        None where no mask is known.
    weights : list of D ndarrays, float [L, K]
        Mean over test images of the weight of each support, by level from fine to coarse.
    """

    auroc: np.ndarray
    pixel_auroc: np.ndarray | None
    weights: list[np.ndarray]


@dataclass(frozen=True)
class Influence:
    """What one support does to the result.

    Attributes
    ----------
    index, name : int, str
        Its position in `task.train`, and its name.
    auroc_without : float
        AUROC of the other supports alone.
    change : float
        AUROC of all supports minus `auroc_without`; negative where this one does harm.
    share : float
        Its weight, 0..1, mean over levels and test images.
    own_score : float
        Its anomaly score with the other supports as supports.
    usual : float
        A higher `own_score` is unusual, judged by normal images that are not picked, see `UNLIKE`; infinite where all
        are picked.
    flags : tuple of str
        Reasons to look at it, in words; empty where there are none.
    """

    index: int
    name: str
    auroc_without: float
    change: float
    share: float
    own_score: float
    usual: float
    flags: tuple[str, ...]


@dataclass(frozen=True)
class ChoiceReport:
    """The chosen support set beside R random ones of the same size.

    Attributes
    ----------
    auroc, pixel_auroc : float, float or None
        Of the chosen set; None where no mask is known.
    random_auroc, random_pixel_auroc : ndarray [R], ndarray [R] or None
        Of the random sets.
    influence : list of Influence
        One per support, in the order of the choice; empty for a single support.
    tested, total : int
        Test images used, and those there are.
    """

    auroc: float
    pixel_auroc: float | None
    random_auroc: np.ndarray
    random_pixel_auroc: np.ndarray | None
    influence: list[Influence]
    tested: int
    total: int

    @property
    def percentile(self) -> float:
        """Share of the random sets with a lower AUROC, 0..100; one with the same AUROC counts half."""
        return _percentile(self.auroc, self.random_auroc)

    @property
    def pixel_percentile(self) -> float | None:
        """The same for the pixel AUROC; None where no mask is known."""
        if self.pixel_auroc is None or self.random_pixel_auroc is None:
            return None
        return _percentile(self.pixel_auroc, self.random_pixel_auroc)

    def summary(self) -> str:
        """One line: "AUROC 0.81, better than 73 % of 100 random sets (0.64 to 0.88)"."""

        def part(name: str, value: float, others: np.ndarray, rank: float) -> str:
            return (
                f"{name} {value:.3f}, better than {rank:.0f} % of {len(others)} random sets "
                f"({others.min():.3f} to {others.max():.3f})"
            )

        parts = [part("AUROC", self.auroc, self.random_auroc, self.percentile)]
        if self.pixel_auroc is not None and self.random_pixel_auroc is not None:
            parts.append(part("pixel AUROC", self.pixel_auroc, self.random_pixel_auroc, self.pixel_percentile or 0.0))
        return "; ".join(parts)

    def rows(self) -> list[dict[str, object]]:
        """The influence of each support as rows of a table, rounded to three digits."""
        return [
            {
                "support": k,
                "image": i.name,
                "AUROC without it": round(i.auroc_without, 3),
                "its influence": round(i.change, 3) + 0.0,  # not -0.0
                "mean weight": round(i.share, 3),
                "flags": "; ".join(i.flags),
            }
            for k, i in enumerate(self.influence, start=1)
        ]


def assess_choice(
    model: D24FAD,
    task: Task,
    selected: Sequence[int],
    sets: int = 100,
    seed: int = 0,
    max_tested: int = 400,
    progress: Callable[[int, int], None] | None = None,
) -> ChoiceReport:
    """Compare a choice of supports with random ones of the same size.

    Parameters
    ----------
    model : D24FAD
    task : Task
    selected : sequence of int
        K positions in `task.train`.
    sets, seed : int
        Number of random sets (draws of `draw_supports`), default 100, and their seed.
    max_tested : int
        Test images used at most, default 400: an even part of both classes.
    progress : callable, optional
        Called with (comparisons done, comparisons in all), about a hundred times.

    Returns
    -------
    ChoiceReport

    Raises
    ------
    ValueError
        Nothing selected, or a test set with one class.
    """
    chosen = [int(i) for i in selected]
    if not chosen:
        raise ValueError("no support is picked; pick one, or call selection.suggest('random')")
    tested = even_part(task.test.labels, max_tested)
    random_sets = draw_supports(len(task.train), len(chosen), sets, seed).tolist()
    without = np.array(chosen)[leave_one_out(len(chosen))].tolist() if len(chosen) > 1 else []
    scored = score_sets(model, task, [chosen, *random_sets, *without], tested, progress)
    pixel = scored.pixel_auroc
    return ChoiceReport(
        auroc=float(scored.auroc[0]),
        pixel_auroc=None if pixel is None else float(pixel[0]),
        random_auroc=scored.auroc[1 : 1 + sets],
        random_pixel_auroc=None if pixel is None else pixel[1 : 1 + sets],
        influence=_influences(model, task, chosen, scored, scored.auroc[1 + sets :]),
        tested=len(tested),
        total=len(task.test),
    )


def score_sets(
    model: D24FAD,
    task: Task,
    sets: Sequence[Sequence[int]],
    tested: np.ndarray | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SetScores:
    """Metrics of several support sets, also of different sizes; each image is encoded once, whatever their number.

    Parameters
    ----------
    model : D24FAD
    task : Task
    sets : sequence of D sequences of int
        Positions in `task.train`.
    tested : ndarray of int, optional
        Positions in `task.test`, default all.
    progress : callable, optional
        As for `assess_choice`.

    Returns
    -------
    SetScores
    """
    size, test = model.config.image_size, task.test
    tested = np.arange(len(test)) if tested is None else tested
    banks = _banks(model, task, sets)
    scores = np.empty((len(sets), len(tested)))
    weights: list[np.ndarray] = [np.zeros(1)] * len(sets)
    meters: list[PixelAuroc] = []
    parts = np.array_split(np.arange(len(tested)), -(-len(tested) // BATCH))
    done, total = 0, len(parts) * len(sets)
    for part in parts:
        queries = model.encode_queries(test.images(size, tested[part]))
        known = test.mask_known[tested[part]]
        masks = test.masks(size, tested[part][known]) if test.has_masks and known.any() else None
        for d, bank in enumerate(banks):
            prediction = model.predict(queries, bank())
            scores[d, part] = prediction.score.float().cpu().numpy()
            weights[d] = weights[d] + prediction.weights.float().sum(dim=0).cpu().numpy() / len(tested)
            if masks is not None:
                maps = prediction.anomaly_map.float().cpu().numpy()
                if len(meters) <= d:
                    spread = float(maps.max() - maps.min())
                    meters.append(PixelAuroc(float(maps.min()) - spread, float(maps.max()) + 3 * spread))
                meters[d].add(maps[known], masks.numpy())
            done += 1
            if progress and (done == total or done % max(1, total // 100) == 0):
                progress(done, total)
    pixel = [meter.value for meter in meters]
    return SetScores(
        np.array([image_auroc(test.labels[tested], s) for s in scores]),
        np.array(pixel) if pixel and None not in pixel else None,
        weights,
    )


def _banks(model: D24FAD, task: Task, sets: Sequence[Sequence[int]]) -> list[Callable[[], SupportBank]]:
    """For each set a function that gives its bank; each image is encoded once, and no two banks are held at a time."""
    unique = np.unique(np.concatenate([np.asarray(s, np.int64) for s in sets]))
    parts = np.array_split(unique, -(-len(unique) // BATCH))
    size = model.config.image_size
    joined = SupportBank.join([model.encode_supports(task.train.images(size, part)) for part in parts])
    return [partial(joined.select, np.searchsorted(unique, s).tolist()) for s in sets]


def _influences(
    model: D24FAD, task: Task, chosen: list[int], scored: SetScores, auroc_without: np.ndarray
) -> list[Influence]:
    """The influence of each support, from the metrics of the chosen set, the first of `scored`, and without it [K]."""
    if len(chosen) < 2:
        return []
    own_scores, usual = _own_and_usual_scores(model, task, chosen)
    shares = scored.weights[0].mean(axis=0)  # [K]
    influences = []
    for k, index in enumerate(chosen):
        change = float(scored.auroc[0]) - float(auroc_without[k])
        flags = [f"the AUROC is {-change:.3f} higher without it"] if change <= -HARMFUL else []
        flags += ["it looks unlike the other supports"] if own_scores[k] > usual[k] else []
        influences.append(
            Influence(
                index=index,
                name=task.train.names[index],
                auroc_without=float(auroc_without[k]),
                change=change,
                share=float(shares[k]),
                own_score=own_scores[k],
                usual=usual[k],
                flags=tuple(flags),
            )
        )
    return influences


def _own_and_usual_scores(model: D24FAD, task: Task, chosen: list[int]) -> tuple[list[float], list[float]]:
    """For each support its score with the others as supports, and the highest score that is usual there (`UNLIKE`)."""
    unpicked = evenly_spaced(np.setdiff1d(np.arange(len(task.train)), chosen), REFERENCE_IMAGES)
    images = task.train.images(model.config.image_size, [*chosen, *unpicked])
    bank, queries = model.encode_supports(images[: len(chosen)]), model.encode_queries(images)
    own_scores, usual = [], []
    for k, others in enumerate(leave_one_out(len(chosen))):
        scores = model.predict(queries, bank.select(others.tolist())).score.float().cpu().numpy()
        own_scores.append(float(scores[k]))
        normal = scores[len(chosen) :]
        middle, high = np.quantile(normal, [0.5, 0.95]) if len(normal) else (0.0, np.inf)
        usual.append(float(middle + UNLIKE * (high - middle)))
    return own_scores, usual


def _percentile(value: float, others: np.ndarray) -> float:
    return float(100 * (np.mean(others < value) + np.mean(others == value) / 2))
