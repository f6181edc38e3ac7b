"""preprocessor_config.json: the mean and standard deviation that an encoder's images are brought to."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

from d24fad_lite.files import JsonError, read_json
from d24fad_lite.model.checkpoint import CheckpointError
from d24fad_lite.model.encoders.backbone import Statistics
from d24fad_lite.model.encoders.families import Family
from d24fad_lite.schemas import Channels, Schema, checked

FILE = "preprocessor_config.json"
REMEDY = "mend it, or take it from where the weights came from"


class Preprocessor(Schema):
    """The fields of the file that decide the values of pixels."""

    do_normalize: bool | None = None
    image_mean: Channels | None = None
    image_std: Channels | None = None
    do_rescale: bool | None = None
    rescale_factor: float | None = None


def statistics_of(folder: Path, family: Family, model_type: str) -> tuple[Statistics, Statistics]:
    """Mean and standard deviation of images in 0..1: the folder's own, else the family's, which is said.

    Raises CheckpointError for a file that is none, or that wants images in another range than 0..1.
    """
    path = folder / FILE
    if not path.is_file():
        mean, std = family.statistics
        warnings.warn(
            f"{folder.name} has no {FILE}: its images are normalised as is usual for {model_type!r} (mean "
            f"{_shown(mean)}, std {_shown(std)}); put the file beside config.json where its training did otherwise",
            stacklevel=2,
        )
        return mean, std
    try:
        content = checked(Preprocessor, read_json(path), path, REMEDY, CheckpointError)
    except JsonError as error:
        raise CheckpointError(f"{error}; {REMEDY}") from error
    factor = content.rescale_factor
    if content.do_rescale is False or (factor is not None and not math.isclose(factor, 1 / 255, rel_tol=1e-3)):
        raise CheckpointError(
            f"{path} wants pixels in another range than 0..1 (do_rescale {content.do_rescale}, rescale_factor "
            f"{factor}; expected 1/255); wrap the encoder in an nn.Module that rescales, and pass it as teacher"
        )
    if content.do_normalize is False:
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if content.image_mean is None or content.image_std is None or min(content.image_std) <= 0:
        raise CheckpointError(
            f"{path} must hold image_mean and image_std (three numbers, std above 0) or do_normalize false; {REMEDY}"
        )
    return tuple(content.image_mean), tuple(content.image_std)


def _shown(values: Statistics) -> str:
    return ", ".join(f"{value:g}" for value in values)
