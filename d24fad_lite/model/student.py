"""The student decoder: a residual network run backwards, from the teacher's embedding to its levels.

State-dict names are those of the RD4AD decoder family (Deng & Li, CVPR 2022), so that published decoders load:
`layer1` (coarse) .. `layer3` (fine), blocks `conv1 bn1 conv2 bn2 [conv3 bn3] upsample.0 upsample.1`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from d24fad_lite.model.speed.folding import for_inference
from d24fad_lite.model.teacher import Grid, Pyramid, StageKind

OTHER_TEACHERS = StageKind(bottleneck=False, depth=2, width=1.0)  # stages for teachers that are no ResNets


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; where the grid doubles, the first is a 2x2 transposed convolution of stride 2."""

    def __init__(self, inputs: int, outputs: int, double: bool, activate: bool = True, padding: str = "zeros") -> None:
        super().__init__()
        self.activate = activate
        self.conv1 = _doubling(inputs, outputs) if double else _conv3x3(inputs, outputs, padding)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = _conv3x3(outputs, outputs, padding)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.upsample = _shortcut(inputs, outputs, double)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y)) + (x if self.upsample is None else self.upsample(x))
        return F.relu(y) if self.activate else y


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1; where the grid doubles, the 3x3 is a 2x2 transposed convolution of stride 2."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        inner: int,
        double: bool,
        groups: int = 1,
        activate: bool = True,
        padding: str = "zeros",
    ) -> None:
        super().__init__()
        self.activate = activate
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = _doubling(inner, inner, groups) if double else _conv3x3(inner, inner, padding, groups)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.upsample = _shortcut(inputs, outputs, double)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y)) + (x if self.upsample is None else self.upsample(x))
        return F.relu(y) if self.activate else y


class Student(nn.Module):
    """S(e) -> [g_1 .. g_L], of the shapes of the teacher's levels, fed with the embedding alone.

    Parameters
    ----------
    pyramid : Pyramid
        The teacher's own description; nothing here is hard-coded for one backbone. The i-th stage counted from the
        embedding has the depth of the ResNet's i-th stage, and gives the level of the ResNet's (L+1-i)-th.
    padding : {"zeros", "reflect", "replicate"}
        Of the 3x3 convolutions, see `D24FADConfig.student_padding`.
    """

    def __init__(self, pyramid: Pyramid, padding: str = "zeros") -> None:
        super().__init__()
        self.grids = list(pyramid.grids)
        stages = pyramid.stages or [OTHER_TEACHERS] * len(pyramid.channels)
        inputs, grid = pyramid.embedding_channels, pyramid.embedding_grid
        coarse_to_fine = range(len(pyramid.channels) - 1, -1, -1)
        for position, level in enumerate(coarse_to_fine):
            target = pyramid.grids[level]
            double = target[0] > grid[0] or target[1] > grid[1]
            if padding == "reflect" and min(grid) == 1 and not double:
                raise ValueError(
                    f"student_padding='reflect' needs grids of at least 2 positions, level {level + 1} "
                    f"has {target}; raise image_size, or choose 'replicate'"
                )
            self.add_module(
                f"layer{position + 1}",
                _stage(
                    inputs,
                    pyramid.channels[level],
                    stages[level],
                    depth=stages[position].depth,
                    double=double,
                    activate=not pyramid.signed[level],
                    padding=padding,
                ),
            )
            inputs, grid = pyramid.channels[level], target
        _initialise(self)
        self.to(memory_format=torch.channels_last)

    def forward(self, embedding: Tensor, grids: Sequence[Grid] | None = None) -> list[Tensor]:
        """Student levels, fine to coarse.

        Parameters
        ----------
        embedding : Tensor [N, C_e, H_e, W_e]
        grids : sequence of (H_l, W_l), optional
            Grids to give, fine to coarse; default those of the teacher at its image size. A stage whose doubled
            grid is not the teacher's (odd sizes) is resized to it, bilinear.
        """
        stages = for_inference(self, embedding)
        x, levels = embedding, []
        for position, grid in enumerate(reversed(grids or self.grids)):
            x = stages.get_submodule(f"layer{position + 1}")(x)
            if x.shape[2:] != tuple(grid):
                x = F.interpolate(x, size=tuple(grid), mode="bilinear", align_corners=False)
            levels.append(x)  # (N, C_l, H_l, W_l)
        return levels[::-1]


def _stage(
    inputs: int, outputs: int, kind: StageKind, *, depth: int, double: bool, activate: bool, padding: str
) -> nn.Sequential:
    """`depth` residual blocks; the first goes from `inputs` to `outputs` channels, and doubles the grid if `double`."""
    blocks: list[nn.Module] = []
    for i in range(depth):
        first, final_relu = i == 0, activate or i < depth - 1
        source, doubles = (inputs if first else outputs), (double and first)
        if kind.bottleneck:
            inner = int(outputs // 4 * kind.width)
            blocks.append(Bottleneck(source, outputs, inner, doubles, kind.groups, final_relu, padding))
        else:
            blocks.append(BasicBlock(source, outputs, doubles, final_relu, padding))
    return nn.Sequential(*blocks)


def _conv3x3(inputs: int, outputs: int, padding: str, groups: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that keeps the grid."""
    mode = cast(Literal["zeros", "reflect", "replicate"], padding)  # `D24FADConfig` has refused any other
    return nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups, bias=False, padding_mode=mode)


def _doubling(inputs: int, outputs: int, groups: int = 1) -> nn.ConvTranspose2d:
    """A transposed 2x2 convolution of stride 2."""
    return nn.ConvTranspose2d(inputs, outputs, 2, stride=2, groups=groups, bias=False)


def _shortcut(inputs: int, outputs: int, double: bool) -> nn.Sequential | None:
    """What brings a block's input to its output's shape; None where they are the same."""
    if not double and inputs == outputs:
        return None
    resample = _doubling(inputs, outputs) if double else nn.Conv2d(inputs, outputs, 1, bias=False)
    return nn.Sequential(resample, nn.BatchNorm2d(outputs))


def _initialise(module: nn.Module) -> None:
    """Kaiming's start for the plain convolutions; transposed ones keep PyTorch's."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
