"""Statistics that see no disease, as scorers: what a benchmark gives away by brightness, colour or image size alone.

A method that does not beat the best of them on a task has shown nothing there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from d24fad_lite.data.benchmark import Task
from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.data.images import stored_size
from d24fad_lite.evaluation.metrics import image_auroc
from d24fad_lite.evaluation.report import EvaluationReport
from d24fad_lite.evaluation.scorer import ScoredBatch
from d24fad_lite.messages import choose_one_of

DECIMALS = 6  # beyond them, float32 rounding would rank images that are alike
FOREGROUND_STEP = 0.1  # grey levels of 0..1 by which a pixel must differ from the border to count as object
DIRECTIONS = ("distance", "signed")
SIGN_NOTE = "its sign is chosen on the test labels: an upper bound, not a method"


def _grey(images: Tensor) -> Tensor:
    return images.mean(dim=1)  # (N, S, S)


def _border(images: Tensor) -> Tensor:
    """Grey values of the outer sixteenth, [N, pixels]."""
    grey, width = _grey(images), max(1, images.shape[-1] // 16)
    inside = torch.zeros(grey.shape[1:], dtype=torch.bool)
    inside[width:-width, width:-width] = True
    return grey[:, ~inside]


def _sharpness(images: Tensor) -> Tensor:
    grey = _grey(images).unsqueeze(1)
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]).view(1, 1, 3, 3)
    return F.conv2d(grey, kernel).abs().mean(dim=(1, 2, 3))


def _object_size(images: Tensor) -> Tensor:
    background = _border(images).median(dim=1).values[:, None, None]
    return ((_grey(images) - background).abs() > FOREGROUND_STEP).float().mean(dim=(1, 2))


# Each maps images [N, 3, S, S] in 0..1 to [N].
PIXEL_STATISTICS: dict[str, Callable[[Tensor], Tensor]] = {
    "intensity": lambda x: _grey(x).mean(dim=(1, 2)),
    "contrast": lambda x: _grey(x).std(dim=(1, 2)),
    "red": lambda x: (x[:, 0] - _grey(x)).mean(dim=(1, 2)),
    "blue": lambda x: (x[:, 2] - _grey(x)).mean(dim=(1, 2)),
    "saturation": lambda x: (x.amax(dim=1) - x.amin(dim=1)).mean(dim=(1, 2)),
    "sharpness": _sharpness,  # mean absolute Laplacian
    "border": lambda x: _border(x).mean(dim=1),
    "object size": _object_size,  # share of pixels unlike the border
}
FILE_STATISTICS = ("stored pixels", "aspect", "bytes per pixel")


def image_statistic(name: str, images: Tensor) -> np.ndarray:
    """One pixel statistic of images [N, 3, S, S] in 0..1, float [N], rounded: the redness of a grey image is 0."""
    return PIXEL_STATISTICS[name](images).numpy().astype(np.float64).round(DECIMALS)


def image_statistics(images: Tensor) -> dict[str, np.ndarray]:
    """Plain statistics of pixels that may tell normal from anomalous where they should not.

    Parameters
    ----------
    images : float [N, 3, S, S], in 0..1

    Returns
    -------
    dict of name to float64 [N]: intensity, contrast, sharpness and the other keys of `PIXEL_STATISTICS`
    """
    return {name: image_statistic(name, images) for name in PIXEL_STATISTICS}


def file_statistics(images: ImageSet, indices: np.ndarray) -> dict[str, np.ndarray]:
    """What the stored files say before a pixel is looked at: area, shape and bytes per pixel.

    Parameters
    ----------
    images : ImageSet
    indices : int [n]
        Positions in the set.

    Returns
    -------
    dict of name to float64 [n], natural logarithms of pixels, width / height and bytes / pixel
    """
    paths = [images.paths[i] for i in indices]
    width, height = np.array([stored_size(path) for path in paths], np.float64).T
    size = np.array([path.stat().st_size for path in paths], np.float64)
    values = (np.log(width * height), np.log(width / height), np.log(size / (width * height)))
    return dict(zip(FILE_STATISTICS, values, strict=True))


class Shortcut:
    """One pixel statistic as a scorer: how far an image's value is from the mean of the supports' values.

    Parameters
    ----------
    statistic : str
        A key of `PIXEL_STATISTICS`.
    direction : {"distance", "signed"}
        "distance" for |value - mean|, which is an honest few-shot method; "signed" for value - mean.
    image_size : int, default 128
        Side in pixels.

    Raises
    ------
    ValueError
        Unknown statistic or direction.
    """

    def __init__(self, statistic: str, direction: str = "distance", image_size: int = 128) -> None:
        if statistic not in PIXEL_STATISTICS:
            raise ValueError(choose_one_of("statistic", statistic, PIXEL_STATISTICS))
        if direction not in DIRECTIONS:
            raise ValueError(choose_one_of("direction", direction, DIRECTIONS))
        self.statistic, self.direction, self.image_size = statistic, direction, image_size
        self.name = f"shortcut: {statistic}" + (", signed" if direction == "signed" else "")

    def prepare(self, images: Tensor, draws: np.ndarray) -> np.ndarray:
        """Mean value of the supports [U, 3, S, S] of each draw [D, K], float [D]."""
        values = image_statistic(self.statistic, images)
        return values[draws].mean(axis=1)  # (D,)

    def score(self, images: Tensor, prepared: np.ndarray) -> ScoredBatch:
        """Scores [D, B] of test images [B, 3, S, S]."""
        values = image_statistic(self.statistic, images)
        return ScoredBatch(_against(values, prepared, self.direction), None)


def shortcut_reports(
    task: Task, reference: EvaluationReport, image_size: int = 128, *, batch_size: int = 64
) -> list[EvaluationReport]:
    """Every statistic in both directions on the same draws and test images as `reference`, decoded once.

    The sign of the signed ones is chosen so that their AUROC is at least 1/2, which reads the test labels; their
    `facts` say so. They answer "could it be the brightness?", not "is brightness a method?".

    Parameters
    ----------
    task : Task
    reference : EvaluationReport
        Of any method on all test images of the task.
    image_size : int, default 128
        Side in pixels at which pixel statistics are computed.
    batch_size : int, default 64
        Images read at once; memory only.

    Returns
    -------
    list of EvaluationReport
    """
    distinct, draws_of_distinct = np.unique(reference.supports, return_inverse=True)
    draws_of_distinct = draws_of_distinct.reshape(reference.supports.shape)
    normal = _all_statistics(task.train, distinct, image_size, batch_size)
    tested = _all_statistics(task.test, np.arange(len(task.test)), image_size, batch_size)
    reports = []
    for name, values in tested.items():
        centre = normal[name][draws_of_distinct].mean(axis=1)  # (D,)
        for direction in DIRECTIONS:
            scores = _against(values, centre, direction)
            facts: dict[str, Any] = {"scorer": "shortcut", "statistic": name, "direction": direction}
            label = f"shortcut: {name}"
            if direction == "signed":
                sign = -1 if image_auroc(reference.labels, scores[0]) < 0.5 else 1
                scores, label = sign * scores, f"shortcut: {'low' if sign < 0 else 'high'} {name}"
                facts["note"] = SIGN_NOTE
            reports.append(
                EvaluationReport(
                    task=task.name,
                    method=label,
                    protocol="per-image",
                    shots=reference.shots,
                    seed=reference.seed,
                    labels=reference.labels,
                    names=reference.names,
                    groups=reference.groups,
                    scores=scores,
                    supports=reference.supports,
                    support_hashes=reference.support_hashes,
                    facts=facts,
                )
            )
    return reports


def _against(values: np.ndarray, centre: np.ndarray, direction: str) -> np.ndarray:
    """Scores [D, N]: distance of N values to the centre of each of D draws, or the difference."""
    difference = values[None, :] - centre[:, None]  # (D, N)
    return np.abs(difference) if direction == "distance" else difference


def _all_statistics(images: ImageSet, indices: np.ndarray, size: int, batch_size: int) -> dict[str, np.ndarray]:
    """Every statistic of pixels and files, each float [n], of the images at these positions."""
    blocks = [
        image_statistics(images.images(size, indices[i : i + batch_size])) for i in range(0, len(indices), batch_size)
    ]
    of_pixels = {name: np.concatenate([block[name] for block in blocks]) for name in PIXEL_STATISTICS}
    return of_pixels | file_statistics(images, indices)
