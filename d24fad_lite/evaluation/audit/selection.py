"""Does anything about the test set choose the model: an epoch, a threshold, a scale?

Nothing of a procedure's code needs to be read for that. It is run as it is, then with a test set that was tampered
with; a procedure that does not look at the test set gives the same scorer each time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor

from ...data.benchmark import Task
from ...data.image_set import ImageSet
from ..metrics import image_auroc
from .findings import CLEAN, LEAK, Finding
from .invariance import TOLERANCE, Score, relative_change, scores_of

Procedure = Callable[[Task], Score]  # trains or selects on a task, returns the finished scorer


def selection_findings(procedure: Procedure, task: Task, images: Tensor, labels: np.ndarray) -> list[Finding]:
    """Run the procedure with the task, and with tampered test sets; compare the finished scorers on the same images."""
    honest = scores_of(procedure(task), images)
    findings = []
    for check, tried, tampered in _tampered(task):
        scores = scores_of(procedure(tampered), images)
        change = relative_change(scores, honest)
        leak = not change <= TOLERANCE
        detail = "the test set chose something (an epoch, a model, a scale); choose on training tasks alone"
        findings.append(Finding(check, tried, LEAK if leak else CLEAN, detail if leak else "", change,
                                image_auroc(labels, scores), image_auroc(labels, honest)))
    return findings


def _tampered(task: Task) -> Iterator[tuple[str, str, Task]]:
    flipped = task.test.subset(None)
    flipped.labels = 1 - flipped.labels
    yield "test labels choose", "the procedure again, with the test labels exchanged", _with_test(task, flipped)
    others = task.test.subset(np.flatnonzero(task.test.labels == 0))
    others.labels = (np.arange(len(others)) % 2).astype(np.int64)
    yield ("test images choose", "the procedure again, with normal test images alone under made-up labels",
           _with_test(task, others))


def _with_test(task: Task, test: ImageSet) -> Task:
    other = copy.copy(task)
    other.test = test
    return other
