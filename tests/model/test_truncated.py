"""A teacher without the stages that nobody asks for: the same levels, and nothing kept twice."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import nn

import d24fad_lite as d2
from d24fad_lite.evaluation.shared_teacher import SharedTeacher
from d24fad_lite.model.speed.truncated import truncated

CHAINS = (
    "resnet18",
    "convnext_atto",
    "swin_tiny_patch4_window7_224",
    "tf_efficientnet_lite0",
    "mobilenetv4_conv_small",
)


def _images(count: int = 3, side: int = 64) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_levels_are_those_of_the_whole_network(name: str, count: int) -> None:
    teacher = d2.Teacher(name, "random", 64)
    assert truncated(teacher.backbone, count) is not teacher.backbone
    levels = teacher.first_levels(_images(), count)
    assert len(levels) == count
    assert all(torch.equal(ours, whole) for ours, whole in zip(levels, teacher(_images()).levels))


@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0"])
def test_the_last_stage_does_not_run_and_no_weight_stands_twice(name: str) -> None:
    network = timm.create_model(name, features_only=True, out_indices=(1, 2, 3, 4)).eval()
    last = list(network.blocks)[-1] if name.startswith("tf") else network.layer4
    passes: list[int] = []
    last.register_forward_hook(lambda *_: passes.append(1))
    shorter = truncated(network, 3)
    with torch.no_grad():
        assert len(shorter(_images())) == 3
        assert not passes
        network(_images())
        assert passes
    whole = {id(parameter) for parameter in network.parameters()}
    assert {id(parameter) for parameter in shorter.parameters()} < whole
    assert truncated(network, 3) is shorter


def test_a_network_of_another_kind_runs_as_a_whole() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    assert truncated(network, 1) is network
    whole = timm.create_model("resnet18", features_only=True, out_indices=(1, 2, 3, 4))
    assert truncated(whole, 4) is whole


def test_changed_weights_and_replaced_stages_are_followed() -> None:
    teacher = d2.Teacher("resnet18", "random", 64)
    before = teacher.first_levels(_images(), 3)
    with torch.no_grad():
        teacher.backbone.conv1.weight.mul_(2)
    changed = teacher.first_levels(_images(), 3)
    assert not torch.equal(before[0], changed[0])
    assert torch.equal(changed[2], teacher(_images()).levels[2])
    teacher.backbone.layer2 = copy.deepcopy(teacher.backbone.layer2)
    with torch.no_grad():
        for parameter in teacher.backbone.layer2.parameters():
            parameter.add_(0.1)
    replaced = teacher.first_levels(_images(), 3)
    assert not torch.equal(changed[2], replaced[2])
    assert torch.equal(replaced[2], teacher(_images()).levels[2])


def test_a_teacher_of_your_own_is_asked_as_it_is() -> None:
    class Maps(nn.Module):
        def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
            return [images[:, :, ::step, ::step] for step in (2, 4, 8)]

    teacher = d2.Teacher(Maps(), image_size=64)
    assert torch.equal(teacher.first_levels(_images(), 1)[0], teacher(_images()).levels[0])


def test_a_shared_teacher_remembers_the_levels_that_are_wanted() -> None:
    teacher = d2.Teacher("resnet18", "random", 64)
    few, all_of_it = SharedTeacher(teacher, levels=2), SharedTeacher(teacher)
    for _ in range(2):
        pairs = zip(few.first_levels(_images(), 2), all_of_it.first_levels(_images(), 2), strict=True)
        assert all(torch.equal(ours, theirs) for ours, theirs in pairs)
    assert few.encoded == all_of_it.encoded == 3
    with pytest.raises(ValueError, match=r"first 2 level.*not 3"):
        few.first_levels(_images(), 3)
    with pytest.raises(ValueError, match="first_levels"):
        few(_images())


@pytest.mark.parametrize("method", ["nearest-patch", "mean-feature"])
def test_a_baseline_scores_as_with_the_whole_teacher(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = d2.D24FADConfig(teacher="resnet18", weights="random", image_size=64)
    detector = d2.create_detector(method, config)
    supports, queries = _images(2), _images(3).flip(-1)
    result = detector.predict(queries, detector.encode_supports(supports))
    monkeypatch.setattr("d24fad_lite.model.teacher.truncated", lambda network, count: network)
    whole = detector.predict(queries, detector.encode_supports(supports))
    assert torch.equal(result.score, whole.score)
    assert torch.equal(result.anomaly_map, whole.anomaly_map)
