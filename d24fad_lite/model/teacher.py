"""The frozen teacher, and what the student must know of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from .backbones import create_backbone
from .folding import for_inference
from .weights.source import WeightsSource

Grid = tuple[int, int]


class TeacherFeatures(NamedTuple):
    """What the teacher sees in N images."""

    levels: list[Tensor]  # f_1 .. f_L, fine to coarse, each [N, C_l, H_l, W_l]
    embedding: Tensor  # e, [N, C_e, H_e, W_e]

    def index(self, rows: Tensor) -> TeacherFeatures:
        """The features of some of the images."""
        return TeacherFeatures([level[rows] for level in self.levels], self.embedding[rows])


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

    Its parameters take no gradient, its forward pass records no graph, and it stays in eval mode whatever is said
    to `.train()`.

    Parameters
    ----------
    backbone : str or nn.Module
        timm model name, or a module that returns at least two feature maps, fine to coarse.
    weights, image_size, seed
        See `D24FADConfig`.
    normalize : bool
        Bring images in 0..1 to the backbone's training mean and standard deviation first.

    Attributes
    ----------
    pyramid : Pyramid
    channels : list of int, per level
    grids : list of (H_l, W_l), per level
    weights_source : WeightsSource, where the weights came from
    """

    def __init__(self, backbone: str | nn.Module, weights: str = "embedded", image_size: int = 128,
                 normalize: bool = True, seed: int = 0) -> None:
        super().__init__()
        self.image_size, self.normalize = image_size, normalize
        mean, std = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
        by_name = isinstance(backbone, str)
        if by_name:
            backbone, mean, std, self.weights_source = create_backbone(backbone, weights, image_size, seed)
        else:
            self.weights_source = WeightsSource("module", type(backbone).__name__)
        deep = any(parameter.dim() == 5 for parameter in backbone.parameters())  # 3D convolutions have no such format
        self.backbone = backbone if deep else backbone.to(memory_format=torch.channels_last)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.train(False)
        self._foldable = False
        self.pyramid = self._describe()
        self._foldable = by_name  # a module of your own is used as it is

    @property
    def channels(self) -> list[int]:
        return self.pyramid.channels

    @property
    def grids(self) -> list[Grid]:
        return self.pyramid.grids

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode: batch statistics of the teacher never move."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> TeacherFeatures:
        """Features of images [N, 3, S, S] in 0..1."""
        if self.normalize:
            images = (images - self.mean) / self.std  # (N, 3, S, S)
        images = images.contiguous(memory_format=torch.channels_last)
        backbone = for_inference(self.backbone, images) if self._foldable else self.backbone
        maps = backbone(images)
        if not isinstance(maps, (list, tuple)) or len(maps) < 2 or not all(map(_is_map, maps)):
            raise ValueError(
                f"teacher {type(self.backbone).__name__} must return a list of at least two feature maps "
                f"[N, C, H, W], fine to coarse (the last is the embedding); it returned {_shapes(maps)}"
            )
        return TeacherFeatures(list(maps[:-1]), maps[-1])

    def fingerprint(self) -> str:
        """sha256 over architecture, input treatment and weights: equal teachers give equal features."""
        digest = hashlib.sha256(f"{type(self.backbone).__name__} {self.image_size} {self.normalize}".encode())
        for buffer in (self.mean, self.std):
            digest.update(buffer.float().cpu().numpy().tobytes())
        for name, tensor in sorted(self.backbone.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def _describe(self) -> Pyramid:
        # A dry run tells the truth for any module; noise shows whether a level has negative values.
        parameter = next(self.backbone.parameters(), self.mean)
        noise = torch.rand(2, 3, self.image_size, self.image_size, generator=torch.Generator().manual_seed(0))
        try:
            levels, embedding = self(noise.to(parameter.device, parameter.dtype))
        except (RuntimeError, AssertionError, IndexError, TypeError) as error:
            raise ValueError(f"teacher {type(self.backbone).__name__} cannot take images [N, 3, {self.image_size}, "
                             f"{self.image_size}]: {str(error) or type(error).__name__}; choose another image_size or "
                             "teacher") from error
        return Pyramid(
            channels=[f.shape[1] for f in levels],
            grids=[tuple(f.shape[2:]) for f in levels],
            embedding_channels=embedding.shape[1],
            embedding_grid=tuple(embedding.shape[2:]),
            signed=[bool((f < 0).any()) for f in levels],
            stages=_resnet_stages(self.backbone, len(levels)),
        )


def _resnet_stages(backbone: nn.Module, count: int) -> list[StageKind] | None:
    """Kinds of the residual stages layer1 .. layerN of a timm or torchvision ResNet, None for anything else."""
    children = dict(backbone.named_children())
    stages = [children.get(f"layer{i + 1}") for i in range(count)]
    kinds = []
    for stage in stages:
        blocks = list(stage.children()) if isinstance(stage, nn.Sequential) else []
        if not blocks or not all(hasattr(blocks[0], name) for name in ("conv1", "conv2", "expansion")):
            return None
        last = blocks[-1]
        bottleneck = hasattr(last, "conv3")
        out = (last.conv3 if bottleneck else last.conv2).out_channels
        planes = out // last.expansion
        width = last.conv1.out_channels / planes if bottleneck else 1.0
        groups = getattr(last.conv2, "groups", 1) if bottleneck else 1  # a split attention (ResNeSt) does not tell
        kinds.append(StageKind(bottleneck, len(blocks), width, groups))
    return kinds


def _is_map(value: object) -> bool:
    return isinstance(value, Tensor) and value.ndim == 4


def _shapes(maps: object) -> str:
    if isinstance(maps, (list, tuple)):
        return str([tuple(m.shape) if isinstance(m, Tensor) else type(m).__name__ for m in maps])
    return f"a tensor of shape {tuple(maps.shape)}" if isinstance(maps, Tensor) else type(maps).__name__
