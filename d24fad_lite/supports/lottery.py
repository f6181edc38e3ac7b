"""How much depends on which images were drawn as supports, and on how many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from d24fad_lite.data.benchmark import Task
from d24fad_lite.data.supports import check_shots
from d24fad_lite.evaluation.evaluate import evaluate
from d24fad_lite.evaluation.report import EvaluationReport
from d24fad_lite.evaluation.scorer import Scorer, as_scorer
from d24fad_lite.evaluation.uncertainty.paired import compare_paired
from d24fad_lite.model.detector import D24FAD

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MAP_BYTES = 2**28  # the anomaly maps of one batch over all draws may take so much memory


@dataclass(frozen=True)
class SupportLottery:
    """Image AUROC of many support sets of one size, on the same test images.

    Attributes
    ----------
    report : EvaluationReport
        One row of scores per draw.
    """

    report: EvaluationReport

    @cached_property
    def ranking(self) -> np.ndarray:
        """Draws from the worst to the best, int [D]."""
        return np.argsort(self.report.aurocs, kind="stable")

    @cached_property
    def spread(self) -> dict[str, float]:
        """mean, sd, worst, 5 % and 95 % quantile, median and best AUROC over draws."""
        values = self.report.aurocs
        low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
        return {
            "mean": float(values.mean()),
            "sd": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
            "worst": float(values.min()),
            "5 %": float(low),
            "median": float(middle),
            "95 %": float(high),
            "best": float(values.max()),
        }

    def to_frame(self) -> pd.DataFrame:
        """One row per draw, best first: draw, auroc, supports (positions in `task.train`)."""
        return self.report.to_frame()[["draw", "auroc", "supports"]].iloc[self.ranking[::-1]].reset_index(drop=True)

    def best(self, count: int = 3) -> np.ndarray:
        """Support sets of the highest AUROC, int [count, K]. Chosen on the test set: to look at, not to use."""
        return self.report.supports[self.ranking[::-1][:count]]

    def worst(self, count: int = 3) -> np.ndarray:
        """Support sets of the lowest AUROC, int [count, K]."""
        return self.report.supports[self.ranking[:count]]

    def best_on_held_out(self, splits: int = 20, seed: int = 0) -> dict[str, float]:
        """How much of the best set's lead is a property of the set, and not of the test images that chose it.

        The best set is chosen on one half of the test images and scored on the other half.

        Parameters
        ----------
        splits, seed : int
            Random halves within classes, default 20, over which is averaged, and their seed.

        Returns
        -------
        dict
            AUROC: `mean` of all sets, `chosen` of the best set on the half that chose it, `held out` of the same set
            on the other half.

        Raises
        ------
        ValueError
            Fewer than 2 test images of a class.
        """
        labels, scores = self.report.labels, self.report.scores
        counts = np.bincount(labels, minlength=2)
        if counts.min() < 2:
            raise ValueError(
                f"two halves need at least 2 images of each class, found {counts[0]} normal and {counts[1]} anomalous"
            )
        generator = np.random.default_rng([seed, 97])
        rows = []
        for _ in range(splits):
            first = np.zeros(len(labels), bool)
            for kind in (0, 1):
                members = generator.permutation(np.flatnonzero(labels == kind))
                first[members[: len(members) // 2]] = True
            seen, held = (_aurocs(labels[half], scores[:, half]) for half in (first, ~first))
            rows.append((seen.mean(), seen.max(), held[seen.argmax()]))
        return dict(zip(("mean", "chosen", "held out"), np.mean(rows, axis=0).tolist(), strict=True))

    def support_effects(self) -> pd.DataFrame:
        """What each support does to the AUROC, from the draws with it and those without it.

        Returns
        -------
        DataFrame
            One row per support that is in some draws and not in all, least helpful first: support (position in
            `task.train`), draws (that hold it), effect (mean AUROC of these minus mean AUROC of the others).
        """
        import pandas as pd

        aurocs, rows = self.report.aurocs, []
        for support in np.unique(self.report.supports):
            drawn = (self.report.supports == support).any(axis=1)
            if drawn.any() and not drawn.all():
                rows.append((int(support), int(drawn.sum()), aurocs[drawn].mean() - aurocs[~drawn].mean()))
        frame = pd.DataFrame(rows, columns=["support", "draws", "effect"])
        return frame.sort_values("effect", kind="stable", ignore_index=True)

    def figure(self, task: Task, count: int = 2, size: int = 96) -> Figure:
        """The best and the worst support sets as images, with the distribution of the AUROC beside them."""
        from matplotlib.figure import Figure

        sets = [*self.best(count), *self.worst(count)[::-1]]
        values = np.sort(self.report.aurocs)
        shown = [*values[::-1][:count], *values[:count][::-1]]
        shots = self.report.shots
        figure = Figure(figsize=(1.2 * shots + 4, 1.4 * len(sets)), layout="constrained")
        grid = figure.add_gridspec(len(sets), shots + 3)
        histogram = figure.add_subplot(grid[:, :3])
        histogram.hist(values, bins="auto", color="0.6")
        histogram.set_xlabel(f"image AUROC, K={shots}")
        histogram.set_ylabel(f"of {len(values)} support sets")
        for row, (positions, value) in enumerate(zip(sets, shown, strict=True)):
            for column, image in enumerate(task.train.images(size, positions)):
                axes = figure.add_subplot(grid[row, 3 + column])
                axes.imshow(image.permute(1, 2, 0).numpy())
                axes.set_axis_off()
                if column == 0:
                    axes.set_title(f"{'best' if row < count else 'worst'} {value:.3f}", fontsize=10, loc="left")
        return figure

    def summary(self) -> str:
        """One line with the spread over support sets."""
        s = self.spread
        return (
            f"AUROC over {self.report.draws} support sets, K={self.report.shots}: worst {s['worst']:.3f}, "
            f"median {s['median']:.3f}, best {s['best']:.3f}, sd {s['sd']:.3f}"
        )


def support_lottery(
    model: D24FAD | Scorer, task: Task, shots: int = 4, draws: int = 200, seed: int = 0
) -> SupportLottery:
    """Evaluate many support sets; supports and test images are encoded once, whatever the number of draws.

    Parameters
    ----------
    model : D24FAD or Scorer
    task : Task
    shots, draws, seed : int
        K, default 4; support sets, default 200; their seed.

    Returns
    -------
    SupportLottery
    """
    scorer = as_scorer(model)
    batch = int(np.clip(MAP_BYTES // (4 * draws * scorer.image_size**2), 1, 32))
    return SupportLottery(evaluate(scorer, task, shots, draws, seed, batch_size=batch, pixel=False))


def effect_of_shots(
    model: D24FAD | Scorer, task: Task, shots: Sequence[int] = (2, 4, 8), draws: int = 10, seed: int = 0
) -> pd.DataFrame:
    """What more supports are worth: the AUROC by K. Draws are nested: a larger K adds supports to the same sets.

    Parameters
    ----------
    model : D24FAD or Scorer
    task : Task
    shots : sequence of int
        The K that are compared, default 2, 4 and 8; evaluated from the lowest on.
    draws, seed : int
        Support sets of each K, default 10, and their seed.

    Returns
    -------
    DataFrame
        One row per K: AUROC, its interval (low, high), sd over draws, and the gain over the K before (gain, gain_low,
        gain_high, p) from the paired bootstrap over draws and images, see `compare_paired`; NaN in the first row.

    Raises
    ------
    ValueError
        No K, or too few normal training images for the largest.
    """
    import pandas as pd

    counts = sorted(set(shots))
    if not counts:
        raise ValueError("shots is empty; give at least one number of supports")
    check_shots(len(task.train), counts[-1], query=False, name=task.name, location=task.training_location)
    rows: list[dict[str, float]] = []
    before: EvaluationReport | None = None
    for count in counts:
        report = evaluate(model, task, count, draws, seed, pixel=False)
        low, high = report.ci
        row = {
            "K": count,
            "AUROC": report.auroc,
            "low": low,
            "high": high,
            "sd over draws": float(report.aurocs.std(ddof=1)) if draws > 1 else 0.0,
        }
        if before is not None:
            pair = compare_paired(report, before)
            row |= {"gain": pair.difference, "gain_low": pair.low, "gain_high": pair.high, "p": pair.p}
        rows.append(row)
        before = report
    return pd.DataFrame(rows)


def _aurocs(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """AUROC of each row of scores [D, N] by rank sums, float [D]: hundreds of draws at once."""
    positive = labels == 1
    m, n = int(positive.sum()), int((~positive).sum())
    return (rankdata(scores, axis=1)[:, positive].sum(axis=1) - m * (m + 1) / 2) / (m * n)
