"""What the model makes of the present choice, kept up to date: only what changed is encoded again. No widget here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from d24fad_lite.data.benchmark import Task
from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.evaluation.metrics import image_auroc
from d24fad_lite.evaluation.uncertainty.thresholds import Threshold, conformal_threshold, images_needed
from d24fad_lite.model.anomaly_map import color_limits
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.features import Prediction, QueryFeatures, SupportBank
from d24fad_lite.model.weighting import effective_number
from d24fad_lite.supports.even_part import even_part, evenly_spaced
from d24fad_lite.supports.selection import SupportSelection

REFERENCE_IMAGES = 24  # normal training images, at least, that set the threshold and the colour scale
BATCH = 32


@dataclass(frozen=True)
class LiveResult:
    """One test image against the chosen supports.

    Attributes
    ----------
    index, name, label : int, str, int
        Which test image; label 0 is normal, 1 anomalous.
    score : float
        Higher is more anomalous.
    calibration : Threshold or None
        What sets the threshold; None where no normal training image is left to set one.
    image : Tensor, float [3, S, S] in 0..1
    anomaly_map : ndarray, float [S, S]
    mask : ndarray, bool [S, S], or None
        The lesion; None where unknown.
    weights : ndarray, float [L, K]
        Levels from fine to coarse by supports; every row sums to 1.
    limits : (float, float)
        Colour scale of the map, see `model.anomaly_map.color_limits`.
    """

    index: int
    name: str
    label: int
    score: float
    calibration: Threshold | None
    image: Tensor
    anomaly_map: np.ndarray
    mask: np.ndarray | None
    weights: np.ndarray
    limits: tuple[float, float]

    @property
    def threshold(self) -> float | None:
        """A higher score is called anomalous; None where no normal training image is left to set it."""
        return None if self.calibration is None else self.calibration.value

    @property
    def effective(self) -> np.ndarray:
        """Effective number of supports per level [L], see `model.weighting.effective_number`."""
        return effective_number(self.weights)

    @property
    def verdict(self) -> str:
        """In words: "called anomalous, rightly" and the like."""
        if self.threshold is None:
            return "no verdict without a threshold"
        called = self.score > self.threshold
        right = called == bool(self.label)
        return f"called {'anomalous' if called else 'normal'}, {'rightly' if right else 'wrongly'}"


class LiveDetector:
    """A detector, a task and a selection, with every feature that can be kept.

    Each support is encoded when first picked, each test image when first looked at; after a change of the selection
    only the comparison is computed again.

    Parameters
    ----------
    model : D24FAD
    task : Task
    selection : SupportSelection
        Over `task.train`.
    max_tested : int
        Test images whose scores are kept live, default 60; of a larger test set an even part, both classes.
    alpha : float
        False-alarm rate of the threshold, between 0 and 1, default 0.05. The threshold is conformal, from the scores
        of normal training images that are not picked: no test label is used. Where these are too few for `alpha`,
        it promises the lowest rate that they can, and `threshold_text` says so.

    Raises
    ------
    ValueError
        A selection over other images than `task.train`, or an `alpha` that is no rate between 0 and 1.
    """

    def __init__(
        self, model: D24FAD, task: Task, selection: SupportSelection, max_tested: int = 60, alpha: float = 0.05
    ) -> None:
        if list(selection.candidates.paths) != list(task.train.paths):
            raise ValueError(
                f"the selection is over '{selection.candidates.name}', not over '{task.train.name}'; "
                "make it from the same task"
            )
        self._needed = images_needed(alpha)
        self.model, self.task, self.selection, self.alpha = model, task, selection, alpha
        self.tested = even_part(task.test.labels, max_tested)
        self.encodings = 0  # images encoded so far, for tests and the curious
        self._banks: dict[int, SupportBank] = {}
        self._queries: dict[int, QueryFeatures] = {}
        self._computed_for: tuple[int, ...] = ()
        self._results: dict[str, Any] = {}

    # -- results for the present selection; each computed once per selection -----------------------------------------

    @property
    def ready(self) -> bool:
        """Whether anything is picked; without supports there is no result."""
        return len(self.selection) > 0

    @property
    def bank(self) -> SupportBank:
        """The chosen supports, in order. Raises ValueError while nothing is picked."""
        if not self.ready:
            raise ValueError("no support is picked; pick one, or call selection.suggest('random')")
        new = [i for i in self.selection.selected if i not in self._banks]
        if new:
            encoded = self.model.encode_supports(self.task.train.images(self.model.config.image_size, new))
            self._banks |= {i: encoded.select([k]) for k, i in enumerate(new)}
            self.encodings += len(new)
        return SupportBank.join([self._banks[i] for i in self.selection.selected])

    @property
    def normal_scores(self) -> np.ndarray:
        """Scores [R] of normal training images that are not picked, float32; empty where all are picked."""
        return self._normals()[0]

    @property
    def limits(self) -> tuple[float, float]:
        """Colour scale of the maps, from the same images as `normal_scores` (from picked ones, where none is left)."""
        return self._normals()[1]

    @property
    def calibration(self) -> Threshold | None:
        """The conformal threshold of `normal_scores`; its `alpha` is the rate that they can promise.

        That is the rate asked for, or, where they are too few for it, the lowest they can: 1 / (R + 1). None where
        every normal training image is picked: none is left to set a threshold.
        """
        scores = self.normal_scores
        return conformal_threshold(scores, max(self.alpha, 1 / (len(scores) + 1))) if len(scores) else None

    @property
    def threshold(self) -> float | None:
        """The value of `calibration`: a higher score is called anomalous."""
        calibration = self.calibration
        return None if calibration is None else calibration.value

    @property
    def threshold_text(self) -> str:
        """For people: which images set the threshold, and what it promises."""
        calibration = self.calibration
        if calibration is None:
            return (
                "There is no threshold: every normal training image is picked, and none is left to set it. "
                "Pick fewer, or add normal images."
            )
        set_by = f"The threshold is set by {calibration.n} normal training images that are not picked"
        if calibration.n >= self._needed:
            return f"{set_by}: on average at most {_percent(self.alpha)} of new normal images lie above it."
        return (
            f"{set_by}. They are too few for a false-alarm rate of {_percent(self.alpha)} ({self._needed} would do), "
            f"so it promises the lowest that they can: 1/(n+1) = {_percent(calibration.alpha)}."
        )

    @property
    def scores(self) -> np.ndarray:
        """Scores [M] of the test images `tested`."""
        if (scores := self._recall("scores")) is None:
            bank, parts = self.bank, self._tested_features
            scores = np.concatenate([self.model.predict(q, bank).score.float().cpu().numpy() for q in parts])
            self._results["scores"] = scores
        return scores

    @property
    def auroc(self) -> float | None:
        """Image AUROC over `tested`; None where these hold one class only."""
        labels = self.task.test.labels[self.tested]
        return image_auroc(labels, self.scores) if len(np.unique(labels)) == 2 else None

    @property
    def tested_text(self) -> str:
        """For people: "all 40 test images", or "60 of 1,234 test images"."""
        part, whole = len(self.tested), len(self.task.test)
        return f"all {whole:,} test images" if part == whole else f"{part} of {whole:,} test images"

    def result(self, index: int) -> LiveResult:
        """Everything about one test image, by its position in `task.test`."""
        if not 0 <= index < len(self.task.test):
            raise IndexError(
                f"test image {index} is not there; '{self.task.test.name}' has 0 to {len(self.task.test) - 1}"
            )
        prediction: Prediction = self.model.predict(self._query(index), self.bank)
        size, test = self.model.config.image_size, self.task.test
        known = test.has_masks and bool(test.mask_known[index])
        masks = test.masks(size, [index]) if known else None
        return LiveResult(
            index=index,
            name=test.names[index],
            label=int(test.labels[index]),
            score=float(prediction.score[0]),
            calibration=self.calibration,
            image=test.images(size, [index])[0],
            anomaly_map=prediction.anomaly_map[0].float().cpu().numpy(),
            mask=None if masks is None else masks[0].numpy(),
            weights=prediction.weights[0].float().cpu().numpy(),
            limits=self.limits,
        )

    def worst_errors(self) -> np.ndarray:
        """Positions in `task.test`, worst first: anomalous below most normals, or normal above most anomalous.

        An image's error is the share of the other class that it is on the wrong side of, so no threshold is needed.
        """
        scores, labels = self.scores, self.task.test.labels[self.tested]
        error = np.zeros(len(scores))
        for label, sign in ((1, -1), (0, 1)):
            own, other = sign * scores[labels == label], np.sort(sign * scores[labels != label])
            error[labels == label] = np.searchsorted(other, own) / max(len(other), 1)
        away = np.abs(scores - np.median(scores))
        return self.tested[np.lexsort((-away, -error))]

    def recompute(self) -> None:
        """Forget results but not features: after a change of `model.weighting` (kind, scale, temperature)."""
        self._results = {}

    # -- features that stay ------------------------------------------------------------------------------------------

    def _query(self, index: int) -> QueryFeatures:
        if index not in self._queries:
            if len(self._queries) >= 64:
                self._queries.pop(next(iter(self._queries)))
            self._queries[index] = self._encode(self.task.test, np.array([index]))
        return self._queries[index]

    @cached_property
    def _tested_features(self) -> list[QueryFeatures]:
        return self._encode_in_parts(self.task.test, self.tested)

    @cached_property
    def _normal_rows(self) -> np.ndarray:
        """Normal training images [R] that are scored: enough for `alpha` also when supports are picked among them."""
        wanted = max(REFERENCE_IMAGES, self._needed + self.selection.limit)
        return evenly_spaced(np.arange(len(self.task.train)), wanted)

    @cached_property
    def _normal_features(self) -> list[QueryFeatures]:
        return self._encode_in_parts(self.task.train, self._normal_rows)

    def _normals(self) -> tuple[np.ndarray, tuple[float, float]]:
        """Scores of the normal training images that are not picked, and the colour scale from their maps."""
        if (normals := self._recall("normals")) is None:
            unpicked = np.array([row not in self.selection for row in self._normal_rows])
            shown = unpicked if unpicked.any() else np.ones_like(unpicked)
            parts, bank, predictions = self._normal_features, self.bank, []
            for features, kept in zip(parts, np.array_split(shown, len(parts)), strict=True):
                if kept.any():
                    rows = torch.from_numpy(np.flatnonzero(kept)).to(features.student[0].device)
                    predictions.append(self.model.predict(features.select(rows), bank))
            scores = torch.cat([p.score for p in predictions]).float().cpu().numpy()
            limits = color_limits(torch.cat([p.anomaly_map for p in predictions]))
            normals = (scores if unpicked.any() else scores[:0], limits)
            self._results["normals"] = normals
        return normals

    def _encode_in_parts(self, images: ImageSet, rows: np.ndarray) -> list[QueryFeatures]:
        return [self._encode(images, part) for part in np.array_split(rows, -(-len(rows) // BATCH))]

    def _encode(self, images: ImageSet, rows: np.ndarray) -> QueryFeatures:
        self.encodings += len(rows)
        features = self.model.encode_queries(images.images(self.model.config.image_size, rows))
        # The teacher's levels are as large as the student's, and not every map looks at them.
        return features if self.model.config.reads_teacher else QueryFeatures([], features.student)

    def _recall(self, name: str) -> Any:
        """A result computed for the present selection, None where there is none."""
        if self._computed_for != self.selection.selected:
            self._computed_for, self._results = self.selection.selected, {}
        return self._results.get(name)


def _percent(rate: float) -> str:
    return f"{100 * rate:.3g} %"
