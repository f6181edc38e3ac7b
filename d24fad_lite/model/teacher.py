"""The frozen teacher, and what the student must know of it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from d24fad_lite.files import sha256_of
from d24fad_lite.model.backbones import create_backbone, trained_at
from d24fad_lite.model.checkpoint import bytes_of
from d24fad_lite.model.encoders.backbone import Backbone
from d24fad_lite.model.encoders.grids import one_grid_in_words
from d24fad_lite.model.features import TeacherFeatures
from d24fad_lite.model.speed.folding import for_inference
from d24fad_lite.model.speed.truncated import truncated
from d24fad_lite.model.storage import Load, TeacherFacts, Tensors, load_all
from d24fad_lite.model.weights.source import WeightsSource

Grid = tuple[int, int]


@dataclass(frozen=True)
class StageKind:
    """The residual blocks of one stage of a ResNet teacher."""

    bottleneck: bool
    depth: int
    width: float  # inner channels of a block, relative to its planes (2 in wide ResNets)
    groups: int = 1


@dataclass(frozen=True)
class Pyramid:
    """Shape of a teacher's features, fine to coarse; all that the student and the weighting are sized from."""

    channels: list[int]
    grids: list[Grid]
    embedding_channels: int
    embedding_grid: Grid
    signed: list[bool]  # whether a level takes negative values, as after no final ReLU
    stages: list[StageKind] | None  # of the first L stages, where the teacher is a ResNet


class Teacher(nn.Module):
    """A frozen encoder T(x) -> [f_1 .. f_L], e.

    Its parameters take no gradient, its forward pass records no graph, and it stays in eval mode, also after
    `.train()`.

    Parameters
    ----------
    backbone : str, nn.Module or Backbone
        timm model name or `"hf:..."`, see `D24FADConfig.teacher`; or a module that returns at least two feature maps,
        fine to coarse; or a network that has been built already.
    weights : str, default "embedded"
        Where a timm model's weights come from, see `D24FADConfig.weights`; a module of your own keeps those it has.
    image_size : int, default 128
        Side of the images in pixels.
    normalize : bool, default True
        Bring images in 0..1 to the backbone's training mean and standard deviation first.
    seed : int, default 0
        Of `weights="random"`.

    Attributes
    ----------
    pyramid : Pyramid
    channels : list of int, per level
    grids : list of (H_l, W_l), per level
    weights_source : WeightsSource, where the weights came from
    mean, std : Tensor [1, 3, 1, 1], of the input's normalisation
    architecture : what a file needs to build the network again, None where its name says it all

    Raises
    ------
    ValueError : no pyramid for images of this size; WeightsError, CheckpointError : as `create_backbone`.
    """

    mean: Tensor
    std: Tensor
    backbone: nn.Module

    def __init__(
        self,
        backbone: str | nn.Module | Backbone,
        weights: str = "embedded",
        image_size: int = 128,
        normalize: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.image_size, self.normalize = image_size, normalize
        if isinstance(backbone, str):
            built = create_backbone(backbone, weights, image_size, seed)
        elif isinstance(backbone, Backbone):
            built = backbone
        else:
            source = WeightsSource("module", type(backbone).__name__)
            built = Backbone(backbone, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, source)
        network, self.weights_source, self.architecture = built.network, built.source, built.architecture
        deep = any(parameter.dim() == 5 for parameter in network.parameters())  # 3D convolutions have no such format
        self.backbone = network if deep else network.to(memory_format=torch.channels_last)
        self.register_buffer("mean", torch.tensor(built.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(built.std).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.train(False)
        self._foldable = False  # the pyramid is described by a pass through the network as it is
        name = backbone if isinstance(backbone, str) else type(network).__name__
        self.pyramid = self._describe(name)
        self._foldable = isinstance(backbone, (str, Backbone))  # a module of your own is used as it is
        grids = [*self.pyramid.grids, self.pyramid.embedding_grid]
        if isinstance(backbone, str) and (words := one_grid_in_words(name, grids, image_size)):
            warnings.warn(words, stacklevel=2)

    @property
    def device(self) -> torch.device:
        """Where the teacher computes."""
        return self.mean.device

    @property
    def dtype(self) -> torch.dtype:
        """Number format that the backbone takes, to which images of any other are brought."""
        formats = (p.dtype for p in self.backbone.parameters() if p.is_floating_point())
        own = next(formats, self.mean.dtype)
        return torch.promote_types(own, self.mean.dtype) if self.normalize else own

    @property
    def channels(self) -> list[int]:
        """C_l per level, fine to coarse."""
        return self.pyramid.channels

    @property
    def grids(self) -> list[Grid]:
        """(H_l, W_l) per level, fine to coarse."""
        return self.pyramid.grids

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode: batch statistics of the teacher never move."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> TeacherFeatures:
        """Features of images [N, 3, S, S] in 0..1, of any float format."""
        maps = self._maps(self.backbone, images)
        if not isinstance(maps, (list, tuple)) or len(maps) < 2 or not all(map(_is_map, maps)):
            raise ValueError(
                f"teacher {type(self.backbone).__name__} must return a list of at least two feature maps "
                f"[N, C, H, W], fine to coarse (the last is the embedding); it returned {_shapes(maps)}"
            )
        return TeacherFeatures(list(maps[:-1]), maps[-1])

    @torch.no_grad()
    def first_levels(self, images: Tensor, count: int) -> list[Tensor]:
        """Levels f_1 .. f_count of images [N, 3, S, S] in 0..1, without the stages that only later maps need.

        Equal to the levels of `forward`; the last stage of a ResNet, which gives the embedding, need not be computed.
        """
        shorter = truncated(self.backbone, count) if self._foldable else self.backbone
        return list(self._maps(shorter, images)[:count])

    def _maps(self, network: nn.Module, images: Tensor) -> Any:
        """What a network of this teacher gives for images in 0..1."""
        images = images.to(self.dtype)
        if self.normalize:
            images = (images - self.mean) / self.std  # (N, 3, S, S)
        images = images.contiguous(memory_format=torch.channels_last)
        return (for_inference(network, images) if self._foldable else network)(images)

    def fingerprint(self) -> str:
        """sha256 over architecture, input treatment and weights: equal teachers give equal features."""
        return sha256_of(*self._identity())

    def _identity(self) -> Iterator[str | memoryview]:
        """What decides the features, part by part."""
        yield f"{type(self.backbone).__name__} {self.image_size} {self.normalize}"
        if self.architecture is not None:  # the same tensors with, say, other attention heads see something else
            yield json.dumps({k: v for k, v in self.architecture.items() if k != "version"}, sort_keys=True)
        for buffer in (self.mean, self.std):
            yield bytes_of(buffer.float())
        for name, tensor in sorted(self.backbone.state_dict().items()):
            yield name
            yield bytes_of(tensor)

    def facts(self) -> TeacherFacts:
        """What a file of a detector says of its teacher."""
        mean, std = self.mean.flatten().tolist(), self.std.flatten().tolist()
        return TeacherFacts(self.fingerprint(), self.weights_source, mean, std, self.architecture)

    def restore(self, tensors: Tensors, facts: TeacherFacts, origin: str) -> None:
        """Take over a stored teacher's weights, their source, and the normalisation that belongs to them.

        Raises CheckpointError where the tensors are another architecture's.
        """
        if version := (facts.architecture or {}).get("version"):  # whose names of tensors may be other ones by now
            origin = f"{origin} (written with transformers {version})"
        load_all([Load(self, tensors, origin)])
        if facts.source is not None:
            self.weights_source = facts.source
            self.mean.copy_(torch.tensor(facts.mean).view(1, 3, 1, 1))
            self.std.copy_(torch.tensor(facts.std).view(1, 3, 1, 1))

    def _describe(self, name: str) -> Pyramid:
        """The shape of the features, seen in a pass: right for any module. Noise shows negative values of a level."""
        parameter = next(self.backbone.parameters(), self.mean)
        noise = torch.rand(2, 3, self.image_size, self.image_size, generator=torch.Generator().manual_seed(0))
        try:
            levels, embedding = self(noise.to(parameter.device, parameter.dtype))
        except (RuntimeError, AssertionError, IndexError, TypeError) as error:
            raise ValueError(
                f"teacher {name!r} cannot take images [N, 3, {self.image_size}, {self.image_size}]: "
                f"{str(error) or type(error).__name__}; choose another image_size{trained_at(name)} or teacher"
            ) from error
        return Pyramid(
            channels=[f.shape[1] for f in levels],
            grids=[_grid(f) for f in levels],
            embedding_channels=embedding.shape[1],
            embedding_grid=_grid(embedding),
            signed=[bool((f < 0).any()) for f in levels],
            stages=_resnet_stages(self.backbone, len(levels)),
        )


def _resnet_stages(backbone: nn.Module, count: int) -> list[StageKind] | None:
    """Kinds of the residual stages layer1 .. layerN of a timm or torchvision ResNet, None for anything else."""
    children = dict(backbone.named_children())
    kinds = []
    for i in range(count):
        stage = children.get(f"layer{i + 1}")
        blocks: list[Any] = list(stage.children()) if isinstance(stage, nn.Sequential) else []
        if not blocks or not all(hasattr(blocks[0], name) for name in ("conv1", "conv2", "expansion")):
            return None
        last = blocks[-1]
        bottleneck = hasattr(last, "conv3")
        planes = (last.conv3 if bottleneck else last.conv2).out_channels // last.expansion
        width = last.conv1.out_channels / planes if bottleneck else 1.0
        groups = getattr(last.conv2, "groups", 1) if bottleneck else 1  # a split attention (ResNeSt) does not say
        kinds.append(StageKind(bottleneck, len(blocks), width, groups))
    return kinds


def _grid(level: Tensor) -> Grid:
    """Height and width of a level."""
    return level.shape[2], level.shape[3]


def _is_map(value: object) -> bool:
    """Whether this is a feature map [N, C, H, W]."""
    return isinstance(value, Tensor) and value.ndim == 4


def _shapes(maps: object) -> str:
    """What a module returned, in words for an error."""
    if isinstance(maps, (list, tuple)):
        return str([tuple(m.shape) if isinstance(m, Tensor) else type(m).__name__ for m in maps])
    return f"a tensor of shape {tuple(maps.shape)}" if isinstance(maps, Tensor) else type(maps).__name__
