"""Encoders of transformers as feature pyramids: built from a plain configuration, filled from a folder's safetensors.

Nothing here opens a network connection, unpickles, or runs code that a repository brings.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from d24fad_lite.messages import in_short
from d24fad_lite.model.checkpoint import CheckpointError
from d24fad_lite.model.encoders.backbone import PYRAMID_MAPS
from d24fad_lite.model.encoders.families import Family
from d24fad_lite.model.encoders.grids import evenly_spread, patch_of, require_divided

# Parts that the features do not pass through; a checkpoint may lack them.
UNUSED = ("pooler.", "head.", "mask_token", "hidden_states_norms.")


class TokenPyramid(nn.Module):
    """Hidden states at four depths, evenly spread, as maps [N, C, S / patch, S / patch].

    A hidden state is what a block returns, before any final norm. Prefix tokens (class token, registers) stand before
    those of the patches, row by row, and are dropped.
    """

    def __init__(self, encoder: nn.Module, depths: list[int], patch: int) -> None:
        super().__init__()
        self.encoder, self.depths, self.patch = encoder, depths, patch
        asked = "interpolate_pos_encoding" in inspect.signature(encoder.forward).parameters
        self.options = {"output_hidden_states": True} | ({"interpolate_pos_encoding": True} if asked else {})

    def forward(self, images: Tensor) -> list[Tensor]:
        height, width = images.shape[2] // self.patch, images.shape[3] // self.patch
        states = self.encoder(pixel_values=images, **self.options).hidden_states  # embedding, then one of each block
        maps = []
        for depth in self.depths:
            tokens = states[depth][:, -height * width :]  # (N, H W, C)
            maps.append(tokens.transpose(1, 2).unflatten(2, (height, width)).contiguous())  # (N, C, H, W)
        return maps


class MapPyramid(nn.Module):
    """The last map of each of the four coarsest stages of a transformers backbone."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> list[Tensor]:
        return list(self.encoder(pixel_values=images).feature_maps)


def build_pyramid(
    description: Mapping[str, Any], family: Family, name: str, image_size: int, seed: int, folder: Path | None = None
) -> nn.Module:
    """The pyramid that a description stands for, with the weights of a folder, or (None) random ones.

    Parameters
    ----------
    description : of `described`
    family : of the same
    name : of the teacher, as errors call it
    image_size : side of the images in pixels
    seed : of whatever is random
    folder : with `model.safetensors`, perhaps in parts

    Raises
    ------
    ValueError : transformers is not installed, or images of this size do not fit.
    CheckpointError : the configuration is none that can be built, or the weights are another's.
    """
    transformers = _transformers()
    with torch.random.fork_rng(devices=[]), _quiet(transformers):
        torch.manual_seed(seed)
        try:
            config = transformers.CONFIG_MAPPING[description["model_type"]].from_dict(dict(description))
        except Exception as error:  # transformers' checks raise many kinds
            raise CheckpointError(
                f"teacher {name!r}: its config.json cannot be used ({in_short(error, 200)})"
            ) from error
        _require_size(config, family, name, image_size)
        auto = transformers.models.auto.modeling_auto  # its tables; AutoBackbone itself asks the hub about every name
        kind = (auto.MODEL_MAPPING if family.tokens else auto.MODEL_FOR_BACKBONE_MAPPING)[type(config)]
        encoder = _random(kind, config, name) if folder is None else _filled(kind, config, folder, name)
    encoder = encoder.float().eval()
    if getattr(encoder, "pooler", None) is not None and family.tokens:
        encoder._modules["pooler"] = None  # not on the way to any hidden state, and often random
    patch = patch_of(encoder)
    require_divided(name, image_size, patch)
    if not family.tokens:
        return MapPyramid(encoder)
    pyramid = TokenPyramid(encoder, evenly_spread(config.num_hidden_layers, PYRAMID_MAPS), patch)
    _require_positions(pyramid, config, family, name, image_size)
    return pyramid


def _transformers() -> Any:
    """The library, once it is there."""
    try:
        import transformers
    except ImportError as error:
        raise ValueError(
            "a teacher 'hf:...' needs transformers, which is not installed: pip install 'd24fad_lite[transformers]'"
        ) from error
    return transformers


def library_version() -> str:
    """Of transformers, as a file records it."""
    return str(_transformers().__version__)


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without the library's reports and progress bars on tensors: they are checked here."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def _random(kind: Any, config: Any, name: str) -> nn.Module:
    """A network of random weights."""
    try:
        return cast(nn.Module, kind(config))
    except Exception as error:
        raise CheckpointError(
            f"teacher {name!r} cannot be built from its config.json: {in_short(error, 200)}"
        ) from error


def _filled(kind: Any, config: Any, folder: Path, name: str) -> nn.Module:
    """A network with the folder's tensors, every one of which has its place."""
    try:
        encoder, info = kind.from_pretrained(
            str(folder),
            config=config,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
    except Exception as error:  # damaged files, other shapes, bad names: many kinds
        raise CheckpointError(
            f"the weights in {folder} cannot serve as teacher {name!r}: {in_short(error, 200)}; take them from where "
            "they came from, with the config.json that belongs to them"
        ) from error
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(UNUSED) and "mask_token" not in key)
    roots = {key.partition(".")[0] for key in encoder.state_dict()} - {"pooler", "head"}
    surplus = sorted(key for key in info["unexpected_keys"] if key.partition(".")[0] in roots)
    if missing or surplus or info["mismatched_keys"]:
        shapes = sorted(map(str, info["mismatched_keys"]))
        raise CheckpointError(
            f"the weights in {folder} do not fit its config.json: {len(missing)} tensors missing, {len(surplus)} "
            f"without a place, {len(shapes)} of another shape (first: {(missing + surplus + shapes)[0]}); give a "
            "folder whose files belong together"
        )
    if broken := [key for key, value in encoder.state_dict().items() if not bool(torch.isfinite(value).all())]:
        raise CheckpointError(f"the weights in {folder} hold NaN or infinite numbers ({broken[0]}); take another file")
    return cast(nn.Module, encoder)


def _require_size(config: Any, family: Family, name: str, image_size: int) -> None:
    """Raise ValueError for an image size that the configuration's patch does not divide."""
    patch = getattr(config, "patch_size", None)
    if isinstance(patch, (list, tuple)):
        if len(set(patch)) != 1:
            raise ValueError(f"teacher {name!r} has patches of {tuple(patch)} px; only square ones can be a teacher")
        patch = patch[0]
    if isinstance(patch, int):
        require_divided(name, image_size, patch)
    if family.tokens and config.num_hidden_layers < 2:
        raise ValueError(f"teacher {name!r} has {config.num_hidden_layers} block, a pyramid needs at least 2")


def _require_positions(pyramid: TokenPyramid, config: Any, family: Family, name: str, image_size: int) -> None:
    """Raise ValueError where the positions are of another size and the model does not interpolate them."""
    own = config.image_size if isinstance(config.image_size, int) else config.image_size[0]
    if image_size != own and not family.any_size and "interpolate_pos_encoding" not in pyramid.options:
        raise ValueError(
            f"teacher {name!r} takes images of {own} px alone: transformers does not interpolate the positions of "
            f"{config.model_type!r}; set image_size={own}"
        )
