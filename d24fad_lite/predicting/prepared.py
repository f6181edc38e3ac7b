"""What comes before the first image, whether a folder is scored or a detector is exported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from d24fad_lite.data.images import load_image
from d24fad_lite.evaluation.baselines.by_name import as_method, load_detector
from d24fad_lite.evaluation.uncertainty.thresholds import calibration_basis
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.device import pick_device
from d24fad_lite.model.interface import Bank, Detector
from d24fad_lite.predicting.alarm import Calibration, calibrate_folder, scores_of_files
from d24fad_lite.predicting.heatmaps import MOST_COMPARED, SupportReference, support_reference
from d24fad_lite.predicting.inputs import choose_supports
from d24fad_lite.predicting.scoring import content_sha256


@dataclass(frozen=True)
class GivenImages:
    """The normal images that a caller gave, and the sha256 of each.

    Attributes
    ----------
    supports, normals : list of Path, after any draw of supports
    support_sha256, normal_sha256 : list of str, in the same order
    """

    supports: list[Path]
    support_sha256: list[str]
    normals: list[Path]
    normal_sha256: list[str]

    def warnings(self) -> list[str]:
        """A sentence for each support that is another one once more: against its twin it scores far too low."""
        first: dict[str, Path] = {}
        said = []
        for path, digest in zip(self.supports, self.support_sha256):
            if digest in first:
                said.append(
                    f"support {path} is {first[digest]} once more: the supports' own scores, and p-values from them, "
                    "mean little; give each image once"
                )
            first.setdefault(digest, path)
        return said


class Prepared(NamedTuple):
    """The supports as the detector keeps them, how they score themselves, and what that promises of other images."""

    bank: Bank
    reference: SupportReference
    calibration: Calibration


def given_images(
    supports: str | Path | Sequence[str | Path],
    normals: str | Path | Sequence[str | Path],
    shots: int,
    seed: int,
    alpha: float | None,
) -> GivenImages:
    """The images that `predict_folder` and `export_detector` are given, refused where they cannot serve.

    Raises
    ------
    FileNotFoundError, LayoutError, ValueError : no supports; a normal image that is a support, or is there twice.
    ThresholdError : too few images for alpha.
    """
    chosen = choose_supports(supports, shots, seed)
    further = choose_supports(normals) if not isinstance(normals, Sequence) or normals else []
    if alpha is not None:
        calibration_basis(min(len(chosen), MOST_COMPARED), len(further), alpha)  # refused before anything is read
    digests = [content_sha256(path) for path in chosen]
    return GivenImages(chosen, digests, further, require_new(further, digests))


def prepare(detector: Detector, given: GivenImages, alpha: float | None) -> Prepared:
    """Encode the supports, score them against each other, and calibrate. ImageError for a file that cannot be read."""
    images = torch.stack([load_image(path, detector.config.image_size) for path in given.supports])  # (K, 3, S, S)
    bank, reference = support_reference(detector, images)
    normal_scores = scores_of_files(detector, bank, given.normals)
    return Prepared(bank, reference, calibrate_folder(len(images), reference.scores, normal_scores, alpha))


def require_model_file(path: Path) -> None:
    """FileNotFoundError where there is no file of a detector."""
    if not path.is_file():
        raise FileNotFoundError(f"model {path} does not exist or is not a file; d24fad fit writes one")


def require_new(normals: Sequence[Path], supports: Sequence[str]) -> list[str]:
    """The sha256 of each further normal image; ValueError where one is a support, or is there twice.

    supports : sha256 of each
    """
    first_of: dict[str, Path] = {}
    for path in normals:
        digest = content_sha256(path)
        if digest in supports:
            raise ValueError(f"normal image {path} is a support as well; its score would be too low, leave it out")
        if digest in first_of:
            raise ValueError(
                f"normal images {first_of[digest]} and {path} are the same; counted twice, a rate would be promised "
                "that they cannot keep: leave one of them out"
            )
        first_of[digest] = path
    return list(first_of)


def opened_detector(
    model: Detector | str | Path, teacher: nn.Module | None, device: str, reading: str, method: str
) -> Detector:
    """The detector itself or the one in the file, on the device that was asked for, read as it was asked for."""
    detector: Any = model
    if isinstance(model, (str, Path)):
        detector = load_detector(model, teacher).to(pick_device(device or "auto")).eval()
    elif device:
        detector = detector.to(pick_device(device))
    detector = as_method(detector, method)
    if reading and not isinstance(detector, D24FAD):
        raise ValueError(f"reading {reading!r} is for a D24FAD; {detector.method!r} reads in its own way: leave it out")
    if reading and method == "matched" != reading:
        raise ValueError(f"method 'matched' is the reading 'matched', so reading {reading!r} undoes it: leave one out")
    return detector.read_as(reading) if reading else detector
