"""config.json of a transformers encoder: what of it decides the features, checked before anything is built.

The same plain values go into a detector's file, from which the network is built again without folder or network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from d24fad_lite.model.checkpoint import CheckpointError
from d24fad_lite.model.encoders.backbone import PYRAMID_MAPS
from d24fad_lite.model.encoders.families import IMAGE_PART, Family, family_of
from d24fad_lite.schemas import Schema, checked

# Neither the features' business nor a file's: names of code, kernels and files, number formats, labels.
LEFT_OUT = {
    *("auto_map", "architectures", "quantization_config", "attn_implementation", "experts_implementation"),
    *("transformers_version", "dtype", "torch_dtype", "id2label", "label2id", "num_labels"),
    *("out_features", "out_indices", "stage_names"),
    *("output_hidden_states", "output_attentions", "return_dict"),
}

Count = Annotated[int, Field(ge=1, le=16384)]
Side = Count | Annotated[list[Count], Field(min_length=2, max_length=2)]


class EncoderConfig(Schema):
    """The fields of config.json that are read here, in bounds within which a network can be built."""

    model_type: str
    hidden_size: Count | None = None
    num_hidden_layers: Annotated[int, Field(ge=1, le=256)] | None = None
    intermediate_size: Annotated[int, Field(ge=1, le=65536)] | None = None
    image_size: Side | None = None
    patch_size: Side | None = None
    num_register_tokens: Annotated[int, Field(ge=0, le=1024)] | None = None
    embed_dim: Count | None = None
    embedding_size: Count | None = None
    hidden_sizes: Annotated[list[Count], Field(max_length=16)] | None = None
    depths: Annotated[list[Annotated[int, Field(ge=1, le=256)]], Field(max_length=16)] | None = None
    num_channels: int = 3


def described(config: Mapping[str, Any], origin: object) -> tuple[dict[str, Any], Family]:
    """What of a config.json describes the image encoder, and its family.

    Parameters
    ----------
    config : content of config.json
    origin : the file, as errors name it

    Raises
    ------
    CheckpointError : no configuration, one of a type that cannot be a teacher, or not of colour images.
    """
    remedy = "give the config.json that belongs to the weights"
    model_type = checked(EncoderConfig, config, origin, remedy, CheckpointError).model_type
    if model_type in IMAGE_PART:
        part = config.get("vision_config")
        if not isinstance(part, Mapping):
            raise CheckpointError(f"{origin} is of type {model_type!r} but has no vision_config; {remedy}")
        config = {**part, "model_type": IMAGE_PART[model_type]}
        model_type = config["model_type"]
        checked(EncoderConfig, config, f"vision_config of {origin}", remedy, CheckpointError)
    family = family_of(model_type, origin)
    if config.get("num_channels", 3) != 3:
        raise CheckpointError(f"{origin} takes images of {config['num_channels']} channels, the kit gives 3 (RGB)")
    plain = {key: value for key, value in config.items() if key not in LEFT_OUT and not key.startswith("_")}
    plain.update(family.settings)
    if not family.tokens:
        stages = config.get("depths")
        last = len(stages) if stages else PYRAMID_MAPS  # all of these families have four stages by default
        plain["out_indices"] = list(range(max(1, last - PYRAMID_MAPS + 1), last + 1))
    return plain, family
