"""Does anything about the test set choose the model: an epoch, a threshold, a scale?

The code of a procedure need not be read for that. It is run as it is, and again with test sets that were tampered
with; a procedure that does not look at the test set gives the same scorer each time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor

from d24fad_lite.data.benchmark import Task
from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.evaluation.audit.findings import CLEAN, LEAK, Finding
from d24fad_lite.evaluation.audit.invariance import TOLERANCE, Score, relative_change, scores_of
from d24fad_lite.evaluation.metrics import image_auroc

Procedure = Callable[[Task], Score]  # trains or selects on a task, returns the finished scorer


def selection_findings(procedure: Procedure, task: Task, images: Tensor, labels: np.ndarray) -> list[Finding]:
    """Run the procedure with the task, and with tampered test sets; compare the finished scorers on the same images.

    The reference of each finding is the procedure as it is, which is the suspect; "as tried" is the procedure with the
    tampered test set. Equal scores mean that the test set chose nothing.
    """
    scores_as_it_is = scores_of(procedure(task), images)
    findings = []
    for check, tried, tampered_task in _tampered(task):
        scores_tampered = scores_of(procedure(tampered_task), images)
        change = relative_change(scores_tampered, scores_as_it_is)
        leak = not change <= TOLERANCE
        detail = "the test set chose something (an epoch, a model, a scale); choose on training tasks alone"
        findings.append(
            Finding(
                check,
                tried,
                LEAK if leak else CLEAN,
                detail if leak else "",
                change,
                auroc_reference=image_auroc(labels, scores_as_it_is),
                auroc_tried=image_auroc(labels, scores_tampered),
            )
        )
    return findings


def _tampered(task: Task) -> Iterator[tuple[str, str, Task]]:
    """Name of the check, what is tried, and the task with a tampered test set."""
    exchanged = task.test.subset(None)
    exchanged.labels = 1 - exchanged.labels
    yield "test labels choose", "the procedure again, with the test labels exchanged", _with_test(task, exchanged)
    normals = task.test.subset(np.flatnonzero(task.test.labels == 0))
    normals.labels = (np.arange(len(normals)) % 2).astype(np.int64)
    yield (
        "test images choose",
        "the procedure again, with normal test images alone under made-up labels",
        _with_test(task, normals),
    )


def _with_test(task: Task, test: ImageSet) -> Task:
    """The task with another test set."""
    other = copy.copy(task)
    other.test = test
    return other
