"""The teacher: truly frozen, and from where its weights may come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from d24fad_lite.model.backbones import create_backbone
from d24fad_lite.model.checkpoint import CheckpointError, WeightsError
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.teacher import Teacher


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return Teacher("test_resnet", "random", 32)


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    """A torchvision ResNet-18 with batch statistics that are not at their start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = torchvision.models.resnet18(weights=None)
        model.train()(torch.rand(4, 3, 64, 64))
    return model.eval()


def stages(model: nn.Module, images: Tensor) -> list[Tensor]:
    x = model.maxpool(model.relu(model.bn1(model.conv1(images))))
    maps = []
    for number in range(1, 5):
        x = getattr(model, f"layer{number}")(x)
        maps.append(x)
    return maps


# -- frozen ---------------------------------------------------------------------------------------------------------


def test_no_parameter_asks_for_a_gradient_and_no_graph_is_recorded(teacher: Teacher) -> None:
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    levels, embedding = teacher(images)
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(f.grad_fn is None and not f.requires_grad for f in [*levels, embedding])


def test_it_stays_in_eval_mode_whatever_is_said() -> None:
    model = D24FAD(D24FADConfig(teacher="test_resnet", weights="random", image_size=32))
    for call in (model.train, model.teacher.train, model.teacher.backbone.eval):
        call()
        assert not any(module.training for module in model.teacher.modules())
    assert model.student.training


def test_training_the_student_moves_nothing_in_the_teacher() -> None:
    model = D24FAD(D24FADConfig(teacher="test_resnet", weights="random", image_size=64)).train()
    before = {name: tensor.clone() for name, tensor in model.teacher.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.rand(2, 3, 64, 64), torch.rand(3, 3, 64, 64)).loss.backward()
        optimizer.step()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.teacher.state_dict().items())
    assert all(p.grad is None for p in model.teacher.parameters())


def test_a_module_of_ones_own_is_frozen_too_even_if_it_was_in_train_mode() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> list[Tensor]:
            x = self.norm(self.conv(x))
            return [x, nn.functional.max_pool2d(x, 2)]

    own = Own().train()
    model = D24FAD(D24FADConfig(teacher=own, image_size=16)).train()
    model(torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16))
    assert own.norm.num_batches_tracked == 0 and not own.norm.training and not own.conv.weight.requires_grad


def test_images_are_normalised_once_and_only_if_asked() -> None:
    images = torch.rand(2, 3, 32, 32)
    with_statistics, without = (Teacher("test_resnet", "random", 32, normalize=n) for n in (True, False))
    mean, std = (
        torch.tensor(timm.create_model("test_resnet").default_cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std")
    )
    assert torch.allclose(with_statistics(images).embedding, without((images - mean) / std).embedding, atol=1e-6)
    assert not torch.allclose(with_statistics(images).embedding, without(images).embedding, atol=1e-3)


@pytest.mark.parametrize("normalize", [True, False])
def test_images_of_any_float_format_are_brought_to_the_networks(normalize: bool) -> None:
    teacher = Teacher("test_resnet", "random", 32, normalize=normalize)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = teacher(images)
    assert teacher.dtype == torch.float32 and torch.equal(teacher(images.double()).embedding, expected.embedding)
    assert torch.equal(teacher.first_levels(images.double(), 1)[0], expected.levels[0])
    exact = teacher.double()
    assert exact.dtype == exact(images).embedding.dtype == torch.float64


def test_equal_teachers_have_equal_fingerprints_and_others_do_not() -> None:
    def fingerprint(**changes: Any) -> str:
        return Teacher(**(dict(backbone="test_resnet", weights="random", image_size=32) | changes)).fingerprint()

    prints = [
        fingerprint(),
        fingerprint(seed=1),
        fingerprint(image_size=64),
        fingerprint(normalize=False),
        fingerprint(backbone="test_vit"),
    ]
    assert len(set(prints)) == 5 and fingerprint() == prints[0]


# -- sources of weights ---------------------------------------------------------------------------------------------


def test_random_weights_follow_the_seed_and_leave_the_callers_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first, again, other = (Teacher("test_resnet", "random", 32, seed=s) for s in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    images = torch.rand(1, 3, 32, 32)
    assert torch.equal(first(images).embedding, again(images).embedding)
    assert not torch.equal(first(images).embedding, other(images).embedding)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    ],
)
def test_a_checkpoint_in_torchvisions_names_gives_torchvisions_features(
    wrap: Callable[[dict[str, Tensor]], dict[str, Any]], resnet: nn.Module, tmp_path: Path
) -> None:
    torch.save(wrap(resnet.state_dict()), tmp_path / "resnet.pth")
    teacher = Teacher("resnet18", str(tmp_path / "resnet.pth"), 64, normalize=False)
    images = torch.rand(2, 3, 64, 64)
    levels, embedding = teacher(images)
    with torch.no_grad():
        for found, expected in zip([*levels, embedding], stages(resnet, images), strict=True):
            assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit", "test_efficientnet"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_checkpoint_in_timms_names_gives_timms_features(name: str, suffix: str, tmp_path: Path) -> None:
    options = {"img_size": 64} if "vit" in name else {}
    whole = timm.create_model(name, **options).eval()
    path = tmp_path / f"weights{suffix}"
    torch.save(whole.state_dict(), path) if suffix == ".pth" else save_file(whole.state_dict(), path)
    teacher = Teacher(name, str(path), 64, normalize=False)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = whole.forward_intermediates(images, intermediates_only=True)[-1]
    assert torch.allclose(teacher(images).embedding, expected, atol=1e-5)


def test_a_checkpoint_of_a_vit_for_other_images_is_resampled_as_timm_does(tmp_path: Path) -> None:
    whole = timm.create_model("test_vit").eval()  # 160 px
    torch.save(whole.state_dict(), tmp_path / "vit.pth")
    teacher = Teacher("test_vit", str(tmp_path / "vit.pth"), 64, normalize=False)
    expected = timm.create_model(
        "test_vit",
        img_size=64,
        pretrained=True,
        features_only=True,
        pretrained_cfg_overlay={"state_dict": whole.state_dict()},
    ).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(teacher(images).embedding, expected(images)[-1], atol=1e-5)


def test_a_checkpoint_of_another_architecture_is_refused(resnet: nn.Module, tmp_path: Path) -> None:
    torch.save(resnet.state_dict(), tmp_path / "resnet18.pth")
    for name in ("resnet34", "resnet50", "test_convnext"):
        with pytest.raises(CheckpointError, match=f"does not fit teacher '{name}'.*tensors missing.*first: "):
            Teacher(name, str(tmp_path / "resnet18.pth"), 64)
    torch.save({"weights": [1, 2]}, tmp_path / "no_tensors.pth")
    with pytest.raises(CheckpointError, match="does not hold a state dict"):
        Teacher("resnet18", str(tmp_path / "no_tensors.pth"), 64)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_checkpoint_is_refused_with_its_path(content: bytes, tmp_path: Path) -> None:
    for suffix in (".pth", ".safetensors"):
        path = tmp_path / f"broken{suffix}"
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=f"broken{suffix}"):
            Teacher("resnet18", str(path), 64)


def test_weights_that_are_neither_a_word_nor_a_file_are_an_error() -> None:
    words = "'imagnet' is neither 'imagenet', 'local', 'embedded' nor 'random', nor an existing"
    with pytest.raises(WeightsError, match=words):
        Teacher("test_resnet", "imagnet", 32)


# -- wrong teachers -------------------------------------------------------------------------------------------------


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(
        ValueError, match=r"'resnet81' is not a timm model \(did you mean 'resnet18'\?\); timm.list_models"
    ):
        Teacher("resnet81", "random", 64)


def test_a_model_that_cannot_take_the_image_size_says_so() -> None:
    words = r"teacher 'test_maxvit' cannot take images \[N, 3, 50, 50\].*image_size \(it was trained at 160 px\)"
    with pytest.raises(ValueError, match=words):
        Teacher("test_maxvit", "random", 50)


def test_a_teacher_with_3d_convolutions_is_used_as_it_is() -> None:
    assert len(Teacher("lambda_resnet26t", "random", 64).channels) > 1  # its weights have five dimensions


def test_a_model_without_feature_maps_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_features(*_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("features_only not implemented for this model")

    monkeypatch.setattr(timm, "create_model", no_features)
    with pytest.raises(ValueError, match="'test_resnet' cannot serve as a feature pyramid for 64-px images: features_"):
        create_backbone("test_resnet", "random", 64)


@pytest.mark.parametrize(
    ("forward", "found"),
    [
        (lambda x: x, r"returned a tensor of shape \(2, 3, 32, 32\)"),
        (lambda x: [x], r"returned \[\(2, 3, 32, 32\)\]"),
        (lambda x: [x.mean((2, 3)), x.mean((2, 3))], r"returned \[\(2, 3\), \(2, 3\)\]"),
        (lambda x: [x, "text"], r"returned \[\(2, 3, 32, 32\), 'str'\]"),
        (lambda x: None, "returned NoneType"),
    ],
)
def test_a_module_that_gives_no_pyramid_is_told_what_one_is(forward: Callable[[Tensor], Any], found: str) -> None:
    class Wrong(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return forward(x)

    with pytest.raises(ValueError, match=f"teacher Wrong must return a list of at least two feature maps.*{found}"):
        Teacher(Wrong(), image_size=32)


@pytest.mark.parametrize("wrong", [None, 18, nn.Linear, ["resnet18"]])
def test_a_teacher_that_is_neither_name_nor_module_is_an_error(wrong: Any) -> None:
    with pytest.raises(ValueError, match="teacher must be a timm model name or an nn.Module"):
        D24FADConfig(teacher=wrong)
