"""Is what is tested really unseen: the same image, a re-saved copy of it, or the same patient on both sides?"""

from __future__ import annotations

import numpy as np

from d24fad_lite.data.benchmark import Task
from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.data.near_copies import near_copies
from d24fad_lite.evaluation.audit.findings import CLEAN, LEAK, NOT_TRIED, WARNING, Finding


def overlap_findings(task: Task, supports: np.ndarray | None = None) -> list[Finding]:
    """Exact and near copies between train and test, within the test set across labels, and shared patients."""
    train, test = task.train, task.test
    return [_exact(train, test), _near(train, test, supports), _contradictions(test), _patients(task)]


def _exact(train: ImageSet, test: ImageSet) -> Finding:
    """Files of the same content on both sides."""
    tried = f"sha256 of {len(train)} training and {len(test)} test files"
    train_names = dict(zip(train.hashes(), train.names, strict=True))
    hashed = zip(test.hashes(), test.names, strict=True)
    both = [(train_names[digest], name) for digest, name in hashed if digest in train_names]
    if not both:
        return Finding("same file", tried, CLEAN)
    first_train, first_test = both[0]
    detail = f"{len(both)} test file(s) are training files, first {first_test} = {first_train}"
    return Finding("same file", tried, LEAK, f"{detail}; remove them from one side")


def _near(train: ImageSet, test: ImageSet, supports: np.ndarray | None) -> Finding:
    """Pictures that look the same on both sides."""
    tried = f"perceptual hash (256 bits) of all pairs of {len(train)} training and {len(test)} test images"
    pairs = near_copies(train, test)
    if not pairs:
        return Finding("near copy", tried, CLEAN)
    used = set() if supports is None else set(np.unique(supports).tolist())
    as_support = sum(i in used for i, _ in pairs)
    i, j = pairs[0]
    detail = (
        f"{len(pairs)} pair(s), first {test.names[j]} = {train.names[i]}"
        + (f"; {as_support} of them are supports of this evaluation" if as_support else "")
        + "; remove the copies from one side"
    )
    return Finding("near copy", tried, LEAK, detail)


def _contradictions(test: ImageSet) -> Finding:
    """Test images that look the same and have different labels."""
    tried = "perceptual hash of normal against anomalous test images"
    normal, bad = np.flatnonzero(test.labels == 0), np.flatnonzero(test.labels == 1)
    if len(normal) == 0 or len(bad) == 0:
        return Finding("copy with another label", tried, NOT_TRIED, "needs test images of both classes")
    pairs = near_copies(test.subset(normal), test.subset(bad))
    if not pairs:
        return Finding("copy with another label", tried, CLEAN)
    i, j = pairs[0]
    return Finding(
        "copy with another label",
        tried,
        WARNING,
        f"{len(pairs)} pair(s), first {test.names[normal[i]]} and {test.names[bad[j]]}; look at them",
    )


def _patients(task: Task) -> Finding:
    """Patients with images on both sides."""
    tried = "patients of groups.csv on both sides"
    train = {g for g in task.train.groups if g is not None}
    test = {g for g in task.test.groups if g is not None}
    if not train or not test:
        return Finding("same patient", tried, NOT_TRIED, "no groups.csv: whether patients overlap cannot be known")
    both = sorted(train & test)
    if not both:
        return Finding("same patient", tried, CLEAN)
    return Finding(
        "same patient",
        tried,
        LEAK,
        f"{len(both)} patient(s) in train and test, first {both[0]!r}; move all images of a patient to one side",
    )
