"""Is my choice any good: the chosen supports beside random sets, and what each support does to the result.

This looks at test labels. It is for learning what supports do; a choice made by it, and reported on the same test
images, is as optimistic as an epoch chosen on the test set. `own_score` alone uses no label.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..data.benchmark import Task
from ..data.episodes import draw_supports
from ..evaluation.metrics import PixelAuroc, image_auroc
from ..model.detector import D24FAD
from ..model.features import SupportBank
from .live import BATCH, REFERENCE_IMAGES, even_part

HARMFUL = 0.02  # AUROC gained by leaving a support out, from which on it is flagged
UNLIKE = 2.0  # flagged as unlike the others when so many times as far above the median of normals as 95 % of these


@dataclass(frozen=True)
class SetScores:
    """Metrics of D support sets: auroc [D], pixel_auroc [D] or None, mean weights per set, level and support."""

    auroc: np.ndarray
    pixel_auroc: np.ndarray | None
    weights: list[np.ndarray]  # D of [L, K]


@dataclass(frozen=True)
class Influence:
    """One support of the choice.

    auroc_without : AUROC of the others alone; change : AUROC of all minus that (negative: it does harm).
    share : mean weight over levels and test images, 0..1.
    own_score : its anomaly score with the others as supports; usual : the most that is usual of unpicked normals.
    flags : reasons to look at it, in words; empty when there are none.
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
    """The chosen set beside R random ones; percentiles in 0..100 (share of random sets at or below, ties half)."""

    auroc: float
    pixel_auroc: float | None
    random_auroc: np.ndarray
    random_pixel_auroc: np.ndarray | None
    influence: list[Influence]
    tested: int
    total: int

    @property
    def percentile(self) -> float:
        return _percentile(self.auroc, self.random_auroc)

    @property
    def pixel_percentile(self) -> float | None:
        if self.pixel_auroc is None or self.random_pixel_auroc is None:
            return None
        return _percentile(self.pixel_auroc, self.random_pixel_auroc)

    def summary(self) -> str:
        """One line: "AUROC 0.81, better than 73 % of 100 random sets (0.64 to 0.88)"."""
        def part(name: str, value: float, others: np.ndarray, rank: float) -> str:
            return (f"{name} {value:.3f}, better than {rank:.0f} % of {len(others)} random sets "
                    f"({others.min():.3f} to {others.max():.3f})")

        parts = [part("AUROC", self.auroc, self.random_auroc, self.percentile)]
        if self.pixel_auroc is not None and self.random_pixel_auroc is not None:
            parts.append(part("pixel AUROC", self.pixel_auroc, self.random_pixel_auroc, self.pixel_percentile or 0.0))
        return "; ".join(parts)

    def rows(self) -> list[dict[str, object]]:
        """The influence of each support as rows of a table."""
        return [{"support": k, "image": i.name, "AUROC without it": round(i.auroc_without, 3),
                 "its influence": round(i.change, 3), "mean weight": round(i.share, 3), "flags": "; ".join(i.flags)}
                for k, i in enumerate(self.influence, start=1)]


def assess_choice(model: D24FAD, task: Task, selected: Sequence[int], sets: int = 100, seed: int = 0,
                  max_tested: int = 400, progress: Callable[[int, int], None] | None = None) -> ChoiceReport:
    """Compare a choice of supports with random ones of the same size.

    Parameters
    ----------
    selected : positions in `task.train`, K of them.
    sets, seed : random sets (draws of `draw_supports`), usually 50 to 200.
    max_tested : test images used at most, an even part of both classes.
    progress : called with (comparisons done, comparisons in all), about a hundred times.

    Raises
    ------
    ValueError : nothing selected, or a test set with one class.
    """
    chosen = [int(i) for i in selected]
    if not chosen:
        raise ValueError("no support is picked; pick one, or call selection.suggest('random')")
    rows = even_part(task.test.labels, max_tested)
    random_sets = draw_supports(len(task.train), len(chosen), sets, seed).tolist()
    without = [[i for i in chosen if i != left_out] for left_out in chosen] if len(chosen) > 1 else []
    scored = score_sets(model, task, [chosen, *random_sets, *without], rows, progress)
    pixel = scored.pixel_auroc
    return ChoiceReport(
        auroc=float(scored.auroc[0]), pixel_auroc=None if pixel is None else float(pixel[0]),
        random_auroc=scored.auroc[1 : 1 + sets], random_pixel_auroc=None if pixel is None else pixel[1 : 1 + sets],
        influence=_influence(model, task, chosen, scored, sets), tested=len(rows), total=len(task.test))


def score_sets(model: D24FAD, task: Task, sets: Sequence[Sequence[int]], rows: np.ndarray | None = None,
               progress: Callable[[int, int], None] | None = None) -> SetScores:
    """Metrics of several support sets, also of different sizes; each image is encoded once, whatever their number.

    sets : positions in `task.train`. rows : positions in `task.test`, default all.
    """
    size, test = model.config.image_size, task.test
    rows = np.arange(len(test)) if rows is None else rows
    unique = np.unique(np.concatenate([np.asarray(s, np.int64) for s in sets]))
    images = [task.train.images(size, part) for part in np.array_split(unique, -(-len(unique) // BATCH))]
    bank = SupportBank.join([model.encode_supports(part) for part in images])
    places = [np.searchsorted(unique, s).tolist() for s in sets]
    scores = np.empty((len(sets), len(rows)))
    weights: list[np.ndarray] = [np.zeros(1)] * len(sets)
    meters: list[PixelAuroc] = []
    parts = np.array_split(np.arange(len(rows)), -(-len(rows) // BATCH))
    done, total = 0, len(parts) * len(sets)
    for part in parts:
        queries = model.encode_queries(test.images(size, rows[part]))
        known = test.mask_known[rows[part]]
        masks = test.masks(size, rows[part][known]) if test.has_masks and known.any() else None
        for d, place in enumerate(places):
            found = model.predict(queries, bank.select(place))
            scores[d, part] = found.score.float().cpu().numpy()
            weights[d] = weights[d] + found.weights.float().sum(dim=0).cpu().numpy() / len(rows)
            if masks is not None:
                maps = found.anomaly_map.float().cpu().numpy()
                if len(meters) <= d:
                    spread = float(maps.max() - maps.min())
                    meters.append(PixelAuroc(float(maps.min()) - spread, float(maps.max()) + 3 * spread))
                meters[d].add(maps[known], masks.numpy())
            done += 1
            if progress and (done == total or done % max(1, total // 100) == 0):
                progress(done, total)
    values = [meter.value for meter in meters]
    labels = test.labels[rows]
    return SetScores(np.array([image_auroc(labels, s) for s in scores]),
                     np.array(values) if values and None not in values else None, weights)


def _influence(model: D24FAD, task: Task, chosen: list[int], scored: SetScores, sets: int) -> list[Influence]:
    if len(chosen) < 2:
        return []
    own, usual = _scores_among_normals(model, task, chosen)
    shares = scored.weights[0].mean(axis=0)  # [K]
    found = []
    for k, index in enumerate(chosen):
        without = float(scored.auroc[1 + sets + k])
        change = float(scored.auroc[0]) - without
        flags = [f"the AUROC is {-change:.3f} higher without it"] if change <= -HARMFUL else []
        flags += ["it looks unlike the other supports"] if own[k] > usual[k] else []
        found.append(Influence(index, task.train.names[index], without, change, float(shares[k]), own[k], usual[k],
                               tuple(flags)))
    return found


def _scores_among_normals(model: D24FAD, task: Task, chosen: list[int]) -> tuple[list[float], list[float]]:
    """For each support: its score with the others as supports, and the most that is usual of unpicked normals."""
    rest = np.setdiff1d(np.arange(len(task.train)), chosen)
    rest = rest[np.unique(np.linspace(0, len(rest) - 1, min(len(rest), REFERENCE_IMAGES)).astype(int))]
    images = task.train.images(model.config.image_size, [*chosen, *rest])
    bank, queries = model.encode_supports(images[: len(chosen)]), model.encode_queries(images)
    own, usual = [], []
    for k in range(len(chosen)):
        others = bank.select([j for j in range(len(chosen)) if j != k])
        scores = model.predict(queries, others).score.float().cpu().numpy()
        own.append(float(scores[k]))
        middle, high = np.quantile(scores[len(chosen) :], [0.5, 0.95]) if len(rest) else (0.0, np.inf)
        usual.append(float(middle + UNLIKE * (high - middle)))
    return own, usual


def _percentile(value: float, others: np.ndarray) -> float:
    return float(100 * (np.mean(others < value) + np.mean(others == value) / 2))
