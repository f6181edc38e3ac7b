"""The student: sized from any teacher, named as the RD4AD decoder family names it."""

from __future__ import annotations

import re

import pytest
import timm
import torch
from torch import Tensor, nn

from d24fad_lite.model.student import Student
from d24fad_lite.model.teacher import Teacher

TINY_MODELS = timm.list_models("test_*")
RESNETS = {  # blocks per stage coarse to fine, bottleneck, channels fine to coarse, inner width of a coarse block
    "resnet18": ((2, 2, 2), False, (64, 128, 256), 256),
    "resnet34": ((3, 4, 6), False, (64, 128, 256), 256),
    "resnet50": ((3, 4, 6), True, (256, 512, 1024), 256),
    "wide_resnet50_2": ((3, 4, 6), True, (256, 512, 1024), 512),
}


class Pyramid(nn.Module):
    """Feature maps [N, C, H, W] of the given channels and sides, fine to coarse, of any image."""

    def __init__(self, channels: list[int], sides: list[int | tuple[int, int]], signed: bool = False) -> None:
        super().__init__()
        self.sides, self.signed = sides, signed
        self.projections = nn.ModuleList(nn.Conv2d(3, c, 1) for c in channels)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [
            conv(nn.functional.adaptive_avg_pool2d(x, side))
            for conv, side in zip(self.projections, self.sides, strict=True)
        ]
        return maps if self.signed else [level.relu() for level in maps]


def built(backbone: str | nn.Module, size: int) -> tuple[Teacher, Student]:
    teacher = Teacher(backbone, "random", size)
    return teacher, Student(teacher.pyramid)


def shapes_agree(teacher: Teacher, student: Student, size: int) -> None:
    with torch.no_grad():
        features = teacher(torch.rand(2, 3, size, size))
        levels = student(features.embedding)
    assert [g.shape for g in levels] == [f.shape for f in features.levels]


@pytest.mark.slow
@pytest.mark.parametrize("name", RESNETS)
def test_names_depths_and_widths_are_those_of_published_decoders(name: str) -> None:
    depths, bottleneck, channels, inner = RESNETS[name]
    _, student = built(name, 32)
    state = student.state_dict()
    parts = r"conv[123]\.weight|bn[123]\.\w+|upsample\.0\.weight|upsample\.1\.\w+"
    assert all(re.fullmatch(rf"layer[123]\.\d\.({parts})", key) for key in state)
    expansion = 4 if bottleneck else 1
    inputs = 512 * expansion
    for stage, (depth, width) in enumerate(zip(depths, reversed(channels), strict=True), start=1):
        blocks = {key.split(".")[1] for key in state if key.startswith(f"layer{stage}.")}
        assert blocks == {str(i) for i in range(depth)}
        doubling, last = ("conv2", "conv3") if bottleneck else ("conv1", "conv2")
        assert state[f"layer{stage}.0.{doubling}.weight"].shape[2:] == (2, 2)
        assert state[f"layer{stage}.0.upsample.0.weight"].shape == (inputs, width, 2, 2)
        assert state[f"layer{stage}.{depth - 1}.{last}.weight"].shape[0] == width
        assert f"layer{stage}.1.upsample.0.weight" not in state
        assert any(".conv3." in key for key in state) == bottleneck
        inputs = width
    first = "layer1.0.conv1.weight"  # a transposed convolution lists its inputs first
    assert state[first].shape[0 if bottleneck else 1] == inner
    assert not any(key.endswith("conv1.bias") or key.endswith("upsample.0.bias") for key in state)


@pytest.mark.slow
def test_wide_resnet_50_decoder_has_the_published_size() -> None:
    _, student = built("wide_resnet50_2", 32)
    state = student.state_dict()
    expected = {
        "layer1.0.conv1.weight": (512, 2048, 1, 1),
        "layer1.0.conv2.weight": (512, 512, 2, 2),
        "layer1.0.conv3.weight": (1024, 512, 1, 1),
        "layer1.0.upsample.0.weight": (2048, 1024, 2, 2),
        "layer1.1.conv2.weight": (512, 512, 3, 3),
        "layer2.0.conv1.weight": (256, 1024, 1, 1),
        "layer3.0.conv2.weight": (128, 128, 2, 2),
        "layer3.5.conv3.weight": (256, 128, 1, 1),
        "layer3.0.upsample.1.running_var": (256,),
    }
    assert {key: tuple(state[key].shape) for key in expected} == expected


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", 64),
        ("resnet18", 16),
        ("resnet18", 37),
        ("resnet50", 64),
        ("resnet50", 50),
        ("wide_resnet50_2", 32),
        ("convnext_tiny", 64),
        ("convnext_tiny", 52),
        ("vit_tiny_patch16_224", 64),
        ("swin_tiny_patch4_window7_224", 64),
        ("efficientnet_b0", 64),
        *((name, 64) for name in TINY_MODELS),
        ("test_resnet", 75),
        ("test_mambaout", 96),
    ],
)
def test_levels_have_the_shapes_of_the_teachers(name: str, size: int) -> None:
    shapes_agree(*built(name, size), size)


@pytest.mark.parametrize("name", [*TINY_MODELS, "swin_tiny_patch4_window7_224"])
def test_channels_stand_second_whatever_the_backbones_own_order(name: str) -> None:
    teacher, _ = built(name, 64)
    described = timm.create_model(
        name, features_only=True, **({"img_size": 64} if "vit" in name or "swin" in name else {})
    ).feature_info.channels()
    assert [*teacher.channels, teacher.pyramid.embedding_channels] == described[-4:] or len(set(described)) == 1
    assert all(height == width for height, width in teacher.grids)


@pytest.mark.parametrize(
    ("channels", "sides"),
    [
        ([4, 8, 16, 32], [16, 8, 4, 2]),
        ([4, 8], [8, 4]),  # one level and the embedding
        ([4, 6, 8, 10, 12], [16, 8, 4, 2, 1]),
        ([4, 8, 16, 32], [13, 7, 3, 2]),  # doubled grids that have to shrink or grow
        ([4, 8, 16, 32], [8, 8, 8, 8]),  # one grid throughout
        ([4, 8, 8], [16, 16, 2]),  # a jump by eight, then none
        ([4, 8, 16], [(6, 10), (3, 5), (2, 3)]),
        ([8, 8, 8], [3, 6, 12]),  # a grid that shrinks towards the image
    ],
)
def test_any_pyramid_module_gets_a_student_of_its_shape(channels: list[int], sides: list[int]) -> None:
    teacher, student = built(Pyramid(channels, sides), 32)
    shapes_agree(teacher, student, 32)
    assert {name.split(".")[0] for name in student.state_dict()} == {f"layer{i}" for i in range(1, len(channels))}


def test_a_level_with_negative_values_ends_without_a_relu_and_another_with_one() -> None:
    for signed in (True, False):
        teacher, student = built(Pyramid([4, 8, 16], [8, 4, 2], signed), 32)
        assert teacher.pyramid.signed == [signed] * 2
        levels = student(torch.randn(2, 16, 2, 2))
        assert all(bool((level < 0).any()) == signed for level in levels)


def test_signs_are_told_level_by_level() -> None:
    class Mixed(Pyramid):
        def forward(self, x: Tensor) -> list[Tensor]:
            fine, *rest = super().forward(x)
            return [fine.relu(), *rest]

    teacher, _ = built(Mixed([4, 8, 16], [8, 4, 2], signed=True), 32)
    assert teacher.pyramid.signed == [False, True]


def test_other_images_sizes_than_the_teachers_own_can_be_asked_for() -> None:
    teacher, student = built("test_resnet", 64)
    features = teacher(torch.rand(1, 3, 96, 96))
    levels = student(features.embedding, [f.shape[2:] for f in features.levels])
    assert [g.shape for g in levels] == [f.shape for f in features.levels]


def test_every_parameter_of_the_student_takes_part() -> None:
    _, student = built("resnet50", 32)
    sum(level.square().mean() for level in student(torch.rand(2, 2048, 1, 1))).backward()
    assert [name for name, p in student.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
