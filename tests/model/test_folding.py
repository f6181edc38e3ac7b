"""Which batch norms fold, over families of timm and over networks made to mislead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from test_inference_switches import images, lived_in, relative
from timm.layers import BatchNormAct2d, Conv2dSame, StdConv2d
from torch import Tensor, nn

import d24fad_lite as d2
from d24fad_lite.evaluation.baselines.nearest_patch import NearestPatch
from d24fad_lite.model.speed.folding import fold, folded_norms, no_folding
from d24fad_lite.model.speed.same_padding import SamePadding
from d24fad_lite.model.teacher import Teacher

# timm name -> (batch norms folded, batch norms) of its pyramid; those that stay follow no convolution, or a sum or
# concatenation of several.
FAMILIES = {
    "resnet18": (20, 20), "resnext50_32x4d": (53, 53), "resnet18d": (22, 22), "resnest14d": (23, 23),
    "resnetv2_50": (32, 48), "tf_efficientnet_lite0": (48, 48), "efficientnet_b0": (48, 48),
    "mobilenetv3_small_100": (34, 34), "mixnet_s": (14, 48), "ghostnet_100": (63, 63), "lcnet_050": (27, 27),
    "regnety_002": (44, 44), "repvgg_a0": (44, 61), "densenet121": (59, 121), "vgg11_bn": (8, 8),
    "hrnet_w18_small": (87, 87), "convnext_atto": (0, 0), "test_vit": (0, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_folding_a_family_of_timm_is_exact_and_leaves_no_norm_that_follows_a_convolution(name: str) -> None:
    teacher = Teacher(name, "random", 64)
    lived_in(teacher.backbone).double()
    x = images(2).double()
    levels, embedding = teacher(x)
    with no_folding():
        expected = teacher(x)
    for found, before in zip([*levels, embedding], [*expected.levels, expected.embedding], strict=True):
        assert relative(found, before) < 1e-9
    found = folded_norms(teacher.backbone)
    assert (found["folded"], found["batch_norms"]) == FAMILIES[name]


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "tf_efficientnet_lite0",
        "mobilenetv3_small_100",
        "regnety_002",
        "ghostnet_100",
        "hrnet_w18_small",
        "densenet121",
        "resnest14d",
    ],
)
def test_in_float32_a_folded_teacher_differs_by_less_than_1e_5(name: str) -> None:
    teacher, x = Teacher(name, "random", 64), images(2)
    levels, embedding = teacher(x)
    assert folded_norms(teacher.backbone)["folded"] > 0
    with no_folding():
        expected = teacher(x)
    for found, before in zip([*levels, embedding], [*expected.levels, expected.embedding], strict=True):
        assert relative(found, before) < 1e-5


class Pair(nn.Module):
    """A convolution and a norm, used by `use(x, convolution, norm)`."""

    def __init__(
        self, use: Callable[..., object], convolution: nn.Module | None = None, norm: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.convolution = convolution or nn.Conv2d(3, 3, 3, padding=1)
        self.norm = norm or nn.BatchNorm2d(3)
        self.use = use

    def forward(self, x: Tensor) -> object:
        return self.use(x, self.convolution, self.norm)


@pytest.mark.parametrize(
    "use",
    [
        lambda x, conv, norm: conv(norm(x)),
        lambda x, conv, norm: norm(conv(x).relu()),
        lambda x, conv, norm: norm(y := conv(x)) + y,
        lambda x, conv, norm: [y := conv(x), norm(y)],
        lambda x, conv, norm: norm(conv(conv(x))),
        lambda x, conv, norm: norm(conv(x)) + norm(x),
        lambda x, conv, norm: norm(conv(x) * 2),
        lambda x, conv, norm: norm(nn.functional.conv2d(x, conv.weight * 2, conv.bias, padding=1)),
        lambda x, conv, norm: norm(nn.functional.conv2d(x, conv.weight, None, padding=1)),
        lambda x, conv, norm: norm(conv(x)) * norm.weight.sum(),
    ],
    ids=[
        "norm first",
        "ReLU between",
        "result used twice",
        "result shown",
        "convolution twice",
        "norm twice",
        "scaled between",
        "weight computed",
        "bias left out",
        "norm reached into",
    ],
)
def test_a_norm_stays_where_its_convolution_is_not_its_own(use: Callable[..., object]) -> None:
    network = lived_in(Pair(use)).eval()
    assert fold(network, images(1, 8)).network is None


def test_weight_standardisation_stays_and_a_same_padding_folds() -> None:
    def chain(x: Tensor, convolution: nn.Module, norm: nn.Module) -> Tensor:
        return norm(convolution(x))

    assert fold(Pair(chain, StdConv2d(3, 3, 3)).eval(), images(1, 8)).network is None
    same = lived_in(Pair(chain, Conv2dSame(3, 3, 3, stride=2))).eval().requires_grad_(False)
    twin = fold(same, images(1, 8))
    assert twin.folded == 1 and isinstance(twin.network.convolution, SamePadding)
    assert relative(twin.network(images(2, 9)), same(images(2, 9))) < 1e-5


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_padding_left_to_the_convolution_gives_timms_values_at_every_size(kernel: int, stride: int) -> None:
    plain = Conv2dSame(4, 4, kernel, stride=stride, groups=2).double().requires_grad_(False)
    ours = SamePadding(plain)
    for height, width in ((7, 8), (8, 7), (16, 9), (8, 7)):
        x = torch.rand(1, 4, height, width, dtype=torch.float64)
        torch.testing.assert_close(ours(x), plain(x), rtol=1e-10, atol=1e-10)


def test_the_activation_inside_a_norm_of_timms_is_kept() -> None:
    chain = lived_in(nn.Sequential(nn.Conv2d(3, 3, 3), BatchNormAct2d(3, act_layer=nn.ReLU6))).eval()
    chain.requires_grad_(False)
    twin = fold(chain, images(1, 8)).network
    assert [type(m) for m in twin] == [nn.Conv2d, nn.ReLU6]
    assert relative(twin(images(2, 8)), chain(images(2, 8))) < 1e-5


def test_norms_of_other_kinds_and_without_statistics_stay() -> None:
    class Own(nn.BatchNorm2d):
        pass

    for norm in (Own(3), nn.BatchNorm2d(3, track_running_stats=False), nn.GroupNorm(1, 3)):
        assert fold(nn.Sequential(nn.Conv2d(3, 3, 3), norm).eval(), images(1, 8)).network is None


def test_a_copy_that_would_say_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("d24fad_lite.model.speed.folding._fold", lambda convolution, norm: None)
    teacher = Teacher("resnet18", "random", 32)
    lived_in(teacher.backbone)
    with no_folding():
        expected = teacher(images(1, 32)).embedding
    assert torch.equal(teacher(images(1, 32)).embedding, expected)
    assert folded_norms(teacher.backbone) == {"folded": 0, "batch_norms": 20}


def test_a_folded_teacher_follows_its_weights_and_a_module_of_your_own_stays_as_it_is() -> None:
    teacher, x = Teacher("test_efficientnet", "random", 32), images(1, 32)
    before = teacher(x).embedding
    with torch.no_grad():
        next(m for m in teacher.backbone.modules() if isinstance(m, nn.BatchNorm2d)).bias.add_(1.0)
    assert relative(teacher(x).embedding, before) > 1e-3
    own = Teacher(timm.create_model("test_efficientnet", features_only=True), image_size=32)
    own(x)
    assert folded_norms(own.backbone)["folded"] == 0


def test_a_batch_without_images_needs_no_copy() -> None:
    teacher = Teacher("test_resnet", "random", 32)
    assert len(teacher(images(0, 32)).embedding) == 0


def test_reports_say_how_many_batch_norms_were_folded(tiny_root: Path) -> None:
    task = next(iter(d2.open_benchmark(tiny_root).values()))
    model = d2.D24FAD(d2.D24FADConfig(teacher="resnet18", weights="random", image_size=32))
    facts = d2.evaluate(model, task, shots=2, draws=1, pixel=False).facts["folding"]
    assert facts["teacher"] == {"folded": 20, "batch_norms": 20}
    assert facts["student"]["folded"] == facts["student"]["batch_norms"] > 0
    with no_folding():
        facts = d2.evaluate(NearestPatch(model), task, shots=2, draws=1, pixel=False).facts["folding"]
    assert facts == {"teacher": {"folded": 0, "batch_norms": 20}}


def test_a_resnest_teacher_has_a_student_of_its_own_residual_stages() -> None:
    model = d2.D24FAD(d2.D24FADConfig(teacher="resnest14d", weights="random", image_size=64))
    stages = model.teacher.pyramid.stages
    assert [(s.bottleneck, s.depth, s.groups) for s in stages] == [(True, 1, 1)] * 3
    assert model.predict(images(1), model.encode_supports(images(2))).score.isfinite().all()
