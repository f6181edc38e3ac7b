"""What the model makes of the present choice, kept up to date: only what changed is encoded again. No widget here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.benchmark import Task
from ..data.image_set import ImageSet
from ..evaluation.metrics import image_auroc
from ..model.detector import D24FAD
from ..model.features import Prediction, QueryFeatures, SupportBank
from .selection import SupportSelection

REFERENCE_IMAGES = 24  # normal training images that set the threshold and the colour scale
BATCH = 32


@dataclass(frozen=True)
class LiveResult:
    """One test image against the chosen supports.

    index, name, label : which test image; label 0 normal, 1 anomalous.
    score, threshold : higher than the threshold is called anomalous.
    image : float [3, S, S]; anomaly_map : float [S, S]; mask : bool [S, S], None where unknown.
    weights : float [L, K], fine to coarse, rows sum to 1. limits : colour scale of the map.
    """

    index: int
    name: str
    label: int
    score: float
    threshold: float
    image: Tensor
    anomaly_map: np.ndarray
    mask: np.ndarray | None
    weights: np.ndarray
    limits: tuple[float, float]

    @property
    def effective(self) -> np.ndarray:
        """Effective number of supports per level [L], see `effective_number`."""
        return effective_number(self.weights)

    @property
    def verdict(self) -> str:
        """In words: "called anomalous, rightly" and the like."""
        called = self.score > self.threshold
        right = called == bool(self.label)
        return f"called {'anomalous' if called else 'normal'}, {'rightly' if right else 'wrongly'}"


@dataclass(frozen=True)
class Reference:
    """What normal training images look like to the present supports: scores [R], and the colour scale of maps."""

    scores: np.ndarray
    limits: tuple[float, float]


def effective_number(weights: np.ndarray | Tensor) -> np.ndarray:
    """1 / sum_k w_k² of weights [..., K] that sum to 1: K when all count alike, 1 when one decides alone."""
    w = np.asarray(weights, np.float64)
    return 1 / (w**2).sum(axis=-1)


class LiveDetector:
    """A detector, a task and a selection, with every feature that can be kept.

    Each support is encoded when first picked, each test image when first looked at; after a change of the selection
    only the comparison is computed again.

    Parameters
    ----------
    model : D24FAD
    task : Task
    selection : SupportSelection over `task.train`
    max_tested : int
        Test images whose scores are kept live; of a larger test set an even part, both classes.
    quantile : float in 0..1
        The threshold is this quantile of the scores of unpicked normal training images: no test label is used.
    """

    def __init__(self, model: D24FAD, task: Task, selection: SupportSelection, max_tested: int = 60,
                 quantile: float = 0.95) -> None:
        if list(selection.candidates.paths) != list(task.train.paths):
            raise ValueError(f"the selection is over '{selection.candidates.name}', not over '{task.train.name}'; "
                             "make it from the same task")
        if not 0 < quantile < 1:
            raise ValueError(f"quantile={quantile!r} must lie between 0 and 1")
        self.model, self.task, self.selection, self.quantile = model, task, selection, quantile
        self.tested = even_part(task.test.labels, max_tested)
        self.encodings = 0  # images encoded so far, for tests and the curious
        self._banks: dict[int, SupportBank] = {}
        self._queries: dict[int, QueryFeatures] = {}
        self._for: tuple[int, ...] = ()
        self._kept: dict[str, Any] = {}

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
    def reference(self) -> Reference:
        """Scores and colour scale from normal training images that are not picked (all are, where none is left)."""
        if (kept := self._recall("reference")) is None:
            rows = [i for i in self._reference_rows if i not in self.selection] or list(self._reference_rows)
            features = self._reference_features
            places = torch.tensor([self._reference_rows.index(i) for i in rows])
            found = self.model.predict(features.index(places.to(features.student[0].device)), self.bank)
            maps = found.anomaly_map.float().cpu().numpy()
            middle, top = float(np.median(maps)), float(maps.max())
            scale = (middle, middle + 2 * max(top - middle, 1e-6))
            kept = self._keep("reference", Reference(found.score.float().cpu().numpy(), scale))
        return kept

    @property
    def threshold(self) -> float:
        """The `quantile` of the reference scores."""
        return float(np.quantile(self.reference.scores, self.quantile))

    @property
    def scores(self) -> np.ndarray:
        """Scores [M] of the test images `tested`."""
        if (kept := self._recall("scores")) is None:
            bank, parts = self.bank, self._tested_features
            kept = self._keep("scores", np.concatenate([self.model.predict(q, bank).score.float().cpu().numpy()
                                                        for q in parts]))
        return kept

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
            raise IndexError(f"test image {index} is not there; '{self.task.test.name}' has 0 to "
                             f"{len(self.task.test) - 1}")
        found: Prediction = self.model.predict(self._query(index), self.bank)
        size, test = self.model.config.image_size, self.task.test
        known = test.has_masks and bool(test.mask_known[index])
        masks = test.masks(size, [index]) if known else None
        return LiveResult(
            index=index, name=test.names[index], label=int(test.labels[index]), score=float(found.score[0]),
            threshold=self.threshold, image=test.images(size, [index])[0],
            anomaly_map=found.anomaly_map[0].float().cpu().numpy(), mask=None if masks is None else masks[0].numpy(),
            weights=found.weights[0].float().cpu().numpy(), limits=self.reference.limits)

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
        self._kept = {}

    # -- features that stay ------------------------------------------------------------------------------------------

    def _query(self, index: int) -> QueryFeatures:
        if index not in self._queries:
            if len(self._queries) >= 64:
                self._queries.pop(next(iter(self._queries)))
            self._queries[index] = self._encode(self.task.test, np.array([index]))
        return self._queries[index]

    @cached_property
    def _tested_features(self) -> list[QueryFeatures]:
        parts = np.array_split(self.tested, -(-len(self.tested) // BATCH))
        return [self._encode(self.task.test, part) for part in parts]

    @cached_property
    def _reference_rows(self) -> list[int]:
        count = len(self.task.train)
        return np.unique(np.linspace(0, count - 1, min(count, REFERENCE_IMAGES)).astype(int)).tolist()

    @cached_property
    def _reference_features(self) -> QueryFeatures:
        return self._encode(self.task.train, np.array(self._reference_rows))

    def _encode(self, images: ImageSet, rows: np.ndarray) -> QueryFeatures:
        self.encodings += len(rows)
        features = self.model.encode_queries(images.images(self.model.config.image_size, rows))
        # The teacher's levels are as large as the student's, and not every map looks at them.
        return features if self.model.config.reads_teacher else QueryFeatures([], features.student)

    def _recall(self, name: str) -> Any:
        if self._for != self.selection.selected:
            self._for, self._kept = self.selection.selected, {}
        return self._kept.get(name)

    def _keep(self, name: str, value: Any) -> Any:
        self._kept[name] = value
        return value


def even_part(labels: np.ndarray, most: int) -> np.ndarray:
    """Ascending positions of at most `most` images, evenly spaced within each class and half of each where possible."""
    labels = np.asarray(labels)
    if len(labels) <= most:
        return np.arange(len(labels))
    bad, good = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    n_bad = min(len(bad), max(most // 2, most - len(good)))
    wanted = ((good, most - n_bad), (bad, n_bad))
    return np.unique(np.concatenate([rows[np.linspace(0, len(rows) - 1, n).astype(int)] for rows, n in wanted if n]))
