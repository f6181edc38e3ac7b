"""The formats of transformers that can be a teacher, and how each is read.

The table is also a guard: a configuration of any other type is refused, so that none can name code or files to fetch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from d24fad_lite.messages import did_you_mean
from d24fad_lite.model.checkpoint import CheckpointError
from d24fad_lite.model.encoders.backbone import Statistics

HALF = (0.5, 0.5, 0.5)
IMAGENET = (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
CLIP = (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)


@dataclass(frozen=True)
class Family:
    """How encoders of one `model_type` are read.

    tokens : True for transformers of one grid (hidden states), False for pyramids (the map of each stage).
    statistics : mean and standard deviation of images in 0..1, where a folder does not say.
    any_size : of tokens: positions are interpolated to any image size without being asked.
    settings : of the configuration, so that no part is built that the features do not pass through.
    """

    tokens: bool
    statistics: tuple[Statistics, Statistics]
    any_size: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


FAMILIES: Mapping[str, Family] = {
    "dinov2": Family(True, IMAGENET, any_size=True),  # also RAD-DINO
    "dinov2_with_registers": Family(True, IMAGENET, any_size=True),
    "dinov3_vit": Family(True, IMAGENET, any_size=True),
    "vit": Family(True, (HALF, HALF)),
    "vit_msn": Family(True, IMAGENET),
    "deit": Family(True, IMAGENET),
    "beit": Family(True, (HALF, HALF)),
    "clip_vision_model": Family(True, CLIP),
    "siglip_vision_model": Family(True, (HALF, HALF), settings={"vision_use_head": False}),
    "aimv2_vision_model": Family(True, CLIP, settings={"use_head": False}),
    "resnet": Family(False, IMAGENET),
    "bit": Family(False, (HALF, HALF)),
    "convnext": Family(False, IMAGENET),
    "convnextv2": Family(False, IMAGENET),
    "dinov3_convnext": Family(False, IMAGENET),
    "swin": Family(False, IMAGENET),
    "swinv2": Family(False, IMAGENET),
}
# Models of images and texts, whose configuration holds the image encoder's.
IMAGE_PART: Mapping[str, str] = {
    "clip": "clip_vision_model",
    "siglip": "siglip_vision_model",
    "aimv2": "aimv2_vision_model",
}


def family_of(model_type: str, origin: object) -> Family:
    """The family of a `model_type`. Raises CheckpointError, naming the known ones, for any other."""
    if model_type not in FAMILIES:
        known = sorted({*FAMILIES, *IMAGE_PART})
        raise CheckpointError(
            f"{origin} describes a model of type {model_type!r}{did_you_mean(model_type, known)}, which is none of the "
            f"encoders that can be a teacher: {', '.join(known)}; take one of these, or pass an nn.Module of your own"
        )
    return FAMILIES[model_type]
