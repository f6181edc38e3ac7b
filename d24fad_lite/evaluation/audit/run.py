"""`audit`: every check that can be made of a scorer, a procedure and a task, in one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from d24fad_lite.data.benchmark import Task, require_both_classes
from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.data.supports import draw_supports
from d24fad_lite.evaluation.audit.file_scorers import file_findings, image_scorer
from d24fad_lite.evaluation.audit.findings import LEAK, NOT_TRIED, AuditReport, Finding
from d24fad_lite.evaluation.audit.invariance import CountError, Score, invariance_findings
from d24fad_lite.evaluation.audit.overlap import overlap_findings
from d24fad_lite.evaluation.audit.readable import readable_findings
from d24fad_lite.evaluation.audit.selection import Procedure, selection_findings
from d24fad_lite.evaluation.scorer import Scorer, as_scorer
from d24fad_lite.messages import choose_one_of
from d24fad_lite.model.detector import D24FAD

LIMIT = 40  # test images of each class that the scorer is tried on


def audit(
    scorer: D24FAD | Scorer | Callable[..., Any] | None,
    task: Task,
    shots: int = 4,
    seed: int = 0,
    *,
    takes: str = "images",
    image_size: int | None = None,
    procedure: Procedure | None = None,
    limit: int = LIMIT,
) -> AuditReport:
    """Look for the ways in which an evaluation can flatter a method without the method being any better.

    Parameters
    ----------
    scorer : D24FAD, Scorer or function
        A detector of the kit (audited with K supports of draw 0), or any function `images [N, 3, S, S] in 0..1 -> N
        scores`; with `takes="files"`, any function `list of paths -> scores`. None: the data alone are audited.
    task : Task
    shots, seed : int
        K and the seed of the draw, for a D24FAD or a Scorer.
    takes : {"images", "files"}
        What a function is given.
    image_size : int, optional
        Side of the images a function is given, in pixels; default 128, or the detector's.
    procedure : function Task -> (images -> scores), optional
        How the scorer came to be: training and selection. It is run three times, twice with a tampered test set.
    limit : int
        At most this many test images of each class are scored.

    Returns
    -------
    AuditReport
        A table in a notebook; `.clean`, `.leaks`, `.finding(check)`, `.to_frame()`.

    Raises
    ------
    ValueError
        Something that is no scorer, unknown `takes`, test images of one class alone.
    """
    if takes not in ("images", "files"):
        raise ValueError(choose_one_of("takes", takes, ("images", "files")))
    if scorer is not None:
        require_both_classes(task)
    size = image_size or getattr(getattr(scorer, "config", scorer), "image_size", None) or 128
    of_each_class = [np.flatnonzero(task.test.labels == label)[:limit] for label in (0, 1)]
    test = task.test.subset(np.sort(np.concatenate(of_each_class)))
    images, labels = test.images(size), np.asarray(test.labels)
    findings: list[Finding] = []
    supports = None
    if scorer is not None:
        score, supports = _as_function(scorer, task, shots, seed, takes)
        findings += invariance_findings(score, images, labels, seed)
    if scorer is not None and takes == "files":
        findings += _files(scorer, test, size, seed)
    if procedure is not None:
        findings += selection_findings(procedure, task, images, labels)
    else:
        findings.append(
            Finding(
                "test set chooses",
                "the training and selection procedure",
                NOT_TRIED,
                "pass procedure= to try it with tampered test sets",
            )
        )
    findings += readable_findings(task.test) + overlap_findings(task, supports)
    return AuditReport(f"audit of {_name(scorer)} on {task.name}", tuple(findings))


def support_function(model: D24FAD | Scorer, task: Task, supports: np.ndarray) -> Score:
    """A detector or scorer with K fixed supports, as the function images -> scores that `audit` looks at.

    Parameters
    ----------
    model : D24FAD or Scorer
    task : Task
        Whose normal training images the supports are.
    supports : int [K]
        Positions in `task.train`.

    Returns
    -------
    function of images (float [B, 3, S, S], in 0..1) to scores (float [B], higher is more anomalous)
    """
    scorer = as_scorer(model)
    prepared = scorer.prepare(task.train.images(scorer.image_size, supports), np.arange(len(supports))[None])

    def score(images: Tensor) -> np.ndarray:
        return np.asarray(scorer.score(images, prepared).scores)[0]

    return score


def _as_function(scorer: Any, task: Task, shots: int, seed: int, takes: str) -> tuple[Score, np.ndarray | None]:
    """The scorer as a function images -> scores, and its supports, where it is a detector or scorer of the kit."""
    if isinstance(scorer, (D24FAD, Scorer)):
        supports = draw_supports(len(task.train), shots, 1, seed)[0]
        return support_function(scorer, task, supports), supports
    if not callable(scorer):
        raise ValueError(
            f"audit() needs a D24FAD, a scorer or a function images -> scores, got {type(scorer).__name__}"
        )
    return (image_scorer(scorer) if takes == "files" else scorer), None


def _files(scorer: Any, test: ImageSet, size: int, seed: int) -> list[Finding]:
    """The checks of a scorer of files; one that gives too many or too few scores is a finding."""
    try:
        return file_findings(scorer, test, size, seed)
    except CountError as error:
        return [Finding("file names and times", "all test files in one call", LEAK, f"{error}")]


def _name(scorer: Any) -> str:
    """What the table is called after."""
    if scorer is None:
        return "the data"
    return str(getattr(scorer, "name", None) or getattr(scorer, "__name__", type(scorer).__name__))
