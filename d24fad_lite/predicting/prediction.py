"""What `predict_folder` returns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from d24fad_lite.predicting.alarm import Calibration
from d24fad_lite.predicting.score_store import FAILURES, SCORES


@dataclass(frozen=True)
class FolderPrediction:
    """What `predict_folder` found, and where it lies on disk.

    Attributes
    ----------
    out : Path
        Folder with scores.csv, heatmaps/, predict.json and, where files could not be used, failures.csv.
    scores : DataFrame
        One row per scored image, as in scores.csv: name (path below the folder), score (float, higher is less like
        the supports), sha256 of the file; where there are normal images to compare with, p_value (conformal, of the
        image being normal) and, where a false-alarm rate was asked for, alarm (bool). In the order of the folder;
        images that are in it no longer stand last.
    failures : dict of str to str
        Name and reason of each image that could not be used.
    heatmaps : dict of str to Path
        The heatmap of each scored image that has one.
    supports : list of Path
        The support files, after any draw.
    support_scores : list of float
        How the supports themselves score, each against the others, for comparison (at most 32 of them; a single
        support is compared with its own mirror image).
    color_limits : (float, float)
        Values of the anomaly map without colour and of full colour, set by the supports, the same for all heatmaps.
    settings : dict
        What every score depends on: sha256 of the model and of each support, and the reading and the method where one
        was named.
    scored, known, gone : int
        Images scored now; images whose scores an earlier run had; rows of images that are not in the folder any more.
    supports_among_images : int
        Images of the folder that are supports or calibration images themselves; their scores or p-values mean nothing.
    calibration : Calibration
        The normal images behind p-values and threshold; `.threshold` is None where no false-alarm rate was asked for.
    suspicion : list of float
        How unlike the others each support is, see `suspicious_supports`; empty for fewer than 3.
    odd : list of int
        Positions of the supports that stand apart from the others.
    gallery : Path or None
        The page to look at, where one was asked for.
    """

    out: Path
    scores: pd.DataFrame
    failures: dict[str, str]
    heatmaps: dict[str, Path]
    supports: list[Path]
    support_scores: list[float]
    color_limits: tuple[float, float]
    settings: dict[str, Any]
    scored: int
    known: int
    gone: int
    supports_among_images: int
    calibration: Calibration
    suspicion: list[float]
    odd: list[int]
    gallery: Path | None

    @property
    def scores_file(self) -> Path:
        """OUT/scores.csv."""
        return self.out / SCORES

    @property
    def failures_file(self) -> Path:
        """OUT/failures.csv, which is there only where images could not be used."""
        return self.out / FAILURES

    @cached_property
    def score_of(self) -> dict[str, float]:
        """The score of each image by its name."""
        return dict(zip(self.scores["name"], self.scores["score"]))
