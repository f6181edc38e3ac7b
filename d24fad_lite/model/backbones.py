"""timm backbones as feature pyramids, with weights from one of four sources."""

from __future__ import annotations

import difflib
import warnings
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import get_pretrained_cfg
from torch import Tensor, nn

from .checkpoint import CheckpointError, WeightsError, read_state_dict

PYRAMID_MAPS = 4  # three levels and the embedding


def create_backbone(name: str, weights: str, image_size: int, seed: int = 0) -> nn.Module:
    """A timm model that returns its last four feature maps, fine to coarse.

    Parameters
    ----------
    name : str
        timm model name, with or without a weights tag (`"resnet18"`, `"wide_resnet50_2.tv_in1k"`).
    weights : str
        `"imagenet"`, `"embedded"`, `"random"`, or the path of a checkpoint in torchvision's or timm's names.
    image_size : int
        Side of the images in pixels; models of fixed input size (ViT, Swin) are built for it.
    seed : int
        Seed of random weights.

    Raises
    ------
    ValueError
        Unknown model name, or a model that cannot give feature maps of this image size.
    WeightsError, CheckpointError
        The weights cannot be had, or are of another architecture.
    """
    _require_known(name)
    options: dict[str, Any] = {}
    if get_pretrained_cfg(name) and get_pretrained_cfg(name).fixed_input_size:
        options["img_size"] = image_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            options["out_indices"] = _pyramid_indices(name, options)
            options["features_only"] = True
            model = _with_weights(name, weights, options)
        except (WeightsError, CheckpointError):
            raise
        except (RuntimeError, AssertionError, TypeError, AttributeError) as error:
            raise ValueError(
                f"teacher {name!r} cannot serve as a feature pyramid for {image_size}-px images: {error}; "
                "choose another timm model or image_size, or pass your own module"
            ) from error
    if getattr(model, "output_fmt", None) == "NHWC":  # Swin, MambaOut and others keep their channels last
        model.register_forward_hook(_channels_first)
    return model


def _with_weights(name: str, weights: str, options: dict[str, Any]) -> nn.Module:
    if weights == "random" or (weights == "embedded" and _nothing_embedded(name)):
        return timm.create_model(name, **options)
    if weights == "imagenet":
        return _pretrained(name, options)
    return _with_state_dict(name, options, _state_dict_for(name, weights))


def _channels_first(module: nn.Module, inputs: Any, maps: list[Tensor]) -> list[Tensor]:
    return [level.permute(0, 3, 1, 2) for level in maps]  # (N, H, W, C) -> (N, C, H, W)


def input_statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation (RGB, of images in 0..1) that the named timm model was trained with."""
    cfg = get_pretrained_cfg(name)
    if cfg is None or cfg.mean is None:
        return IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    return tuple(cfg.mean), tuple(cfg.std)


def _require_known(name: str) -> None:
    architecture = name.split(".")[0]
    if timm.is_model(architecture):
        return
    near = difflib.get_close_matches(architecture, timm.list_models(), n=3)
    hint = f"did you mean {', '.join(map(repr, near))}? " if near else ""
    raise ValueError(f"teacher {name!r} is not a timm model; {hint}timm.list_models() lists all of them")


def _pyramid_indices(name: str, options: dict[str, Any]) -> list[int]:
    """Which of the model's feature maps form the pyramid.

    Convolutional pyramids: the last map of each of the four coarsest strides (4, 8, 16, 32 for a ResNet). Models of
    one stride throughout (plain ViTs): four blocks, evenly spread, ending with the last.
    """
    with torch.device("meta"):
        info = timm.create_model(name, num_classes=0, **options).feature_info
    reductions = [stage["reduction"] for stage in info]
    last_of_stride = {reduction: index for index, reduction in enumerate(reductions)}
    if len(last_of_stride) > 1:
        return sorted(last_of_stride.values())[-PYRAMID_MAPS:]
    count = min(PYRAMID_MAPS, len(reductions))
    return [len(reductions) * (i + 1) // count - 1 for i in range(count)]


def _pretrained(name: str, options: dict[str, Any]) -> nn.Module:
    try:
        return timm.create_model(name, pretrained=True, **options)
    except Exception as error:  # the hub client raises many kinds; all mean that the download did not work
        raise WeightsError(
            f"the ImageNet weights of {name!r} could not be loaded ({type(error).__name__}: {str(error)[:160]}). "
            "Three ways out: connect to the network once (timm keeps a copy); weights='embedded' (shipped, offline) "
            "or weights='random'; or weights='PATH' of a checkpoint that you have in torchvision's or timm's names"
        ) from error


def _nothing_embedded(name: str) -> bool:
    if (Path(__file__).parent / "weights" / "catalog.json").is_file():
        return False
    warnings.warn(f"no embedded weights for {name!r} are shipped yet: the teacher has seeded random weights",
                  UserWarning, stacklevel=6)
    return True


def _state_dict_for(name: str, weights: str) -> dict[str, Tensor]:
    if weights != "embedded":
        if not Path(weights).is_file():
            raise WeightsError(
                f"weights={weights!r} is neither 'imagenet', 'embedded' nor 'random', nor an existing checkpoint file"
            )
        return read_state_dict(weights)
    from .weights.embedded import embedded_state_dict

    return embedded_state_dict(name.split(".")[0])


def _with_state_dict(name: str, options: dict[str, Any], tensors: dict[str, Tensor]) -> nn.Module:
    """Check the tensors against the whole model by name and shape, then build the pyramid from them."""
    whole = timm.create_model(name, num_classes=0, **{k: v for k, v in options.items() if k == "img_size"})
    missing, shapes = _unlike(whole, tensors)
    if shapes and "img_size" in options:  # positions learnt at the model's own image size: timm resamples them
        whole = timm.create_model(name, num_classes=0)
        missing, shapes = _unlike(whole, tensors)
    if missing or shapes:
        wrong = missing[0] if missing else f"{shapes[0]} of shape {tuple(tensors[shapes[0]].shape)}"
        raise CheckpointError(
            f"the checkpoint does not fit teacher {name!r}: {len(missing)} tensors missing, {len(shapes)} of another "
            f"shape (first: {wrong}); give a checkpoint of {name!r} in torchvision's or timm's names"
        )
    whole.load_state_dict({k: tensors[k] for k in whole.state_dict() if k in tensors}, strict=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm remarks on overlays; what is loaded has just been checked
        return timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay={"state_dict": whole.state_dict()}, **options
        )


def _unlike(model: nn.Module, tensors: dict[str, Tensor]) -> tuple[list[str], list[str]]:
    """Names of the model's tensors that are missing, and that have another shape."""
    expected = model.state_dict()
    missing = [k for k in expected if k not in tensors and not k.endswith("num_batches_tracked")]
    return missing, [k for k in expected if k in tensors and tensors[k].shape != expected[k].shape]
