"""Encoders of timm: image sizes that fit, levels by depth, and folders whose config.json names options of the model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import d24fad_lite as d2
from d24fad_lite.model.checkpoint import CheckpointError, WeightsError
from d24fad_lite.model.encoders.grids import evenly_spread, patch_of
from d24fad_lite.model.teacher import Teacher
from d24fad_lite.model.weights import local

NAME = "vit_tiny_patch16_224"
# A small network of UNI's kind: other options than the name's own, among them one that adds tensors (layer scale).
OPTIONS = dict(img_size=32, patch_size=8, embed_dim=32, depth=4, num_heads=2, init_values=0.5, reg_tokens=2)
SIZE = 64

pytestmark = pytest.mark.filterwarnings("ignore:teacher .* has one grid")


def network(**changes: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return timm.create_model(NAME, num_classes=0, **(OPTIONS | changes)).eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as timm pushes it to the hub, with the options of its model."""
    place = tmp_path / "uni"
    place.mkdir()
    save_file(network().state_dict(), place / "model.safetensors")
    training = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25]}
    described = {"architecture": NAME, "model_args": {**OPTIONS, "num_classes": 0}, "pretrained_cfg": training}
    (place / "config.json").write_text(json.dumps(described))
    return place


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(4))


def with_options(folder: Path, **changes: Any) -> Path:
    """The folder with other model_args in its config.json."""
    described = json.loads((folder / "config.json").read_text())
    described["model_args"] |= changes
    (folder / "config.json").write_text(json.dumps(described))
    return folder


# -- image sizes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("vit_small_patch14_dinov2", 64, "patches of 14 x 14 px.*: 8 px .*set image_size=56 or 70"),
        ("vit_small_patch16_dinov3", 72, "set image_size=64 or 80"),
        ("eva02_tiny_patch14_224", 64, "set image_size=56 or 70"),
        (NAME, 72, "set image_size=64 or 80"),
        ("swin_tiny_patch4_window7_224", 70, "set image_size=68 or 72"),
        ("convnext_atto", 30, "set image_size=28 or 32"),
        ("mixer_s32_224", 40, "set image_size=32 or 64"),
        ("mixer_s32_224", 20, "set image_size=32$"),
    ],
)
def test_a_size_that_the_patch_does_not_divide_is_refused_with_the_nearest(name: str, size: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Teacher(name, "random", size)


@pytest.mark.parametrize(
    ("name", "patch"), [("convnext_atto", 4), ("vit_base_patch16_siglip_224", 16), ("resnet18", 1)]
)
def test_what_a_patch_leaves_out_is_what_the_network_never_looks_at(name: str, patch: int) -> None:
    model = timm.create_model(name, num_classes=0).eval()
    assert patch_of(model) == patch
    stem = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d))
    image = torch.rand(1, 3, 63, 63)  # of which 63 % 4 = 3 and 63 % 16 = 15 are left over
    beyond = image.clone()
    beyond[:, :, 63 // patch * patch :] += 1
    with torch.no_grad():
        assert torch.equal(stem(image), stem(beyond))
        inside = image.clone()
        inside[:, :, 63 // patch * patch - 1] += 1
        assert not torch.equal(stem(image), stem(inside))


def test_a_size_that_the_network_cannot_take_is_refused_with_the_size_of_its_training() -> None:
    with pytest.raises(ValueError, match=r"teacher 'efficientformer_l1' cannot take .*\(it was trained at 224 px\)"):
        Teacher("efficientformer_l1", "random", 64)


@pytest.mark.parametrize(
    ("blocks", "depths"), [(12, [3, 6, 9, 12]), (24, [6, 12, 18, 24]), (4, [1, 2, 3, 4]), (3, [1, 2, 3])]
)
def test_depths_are_evenly_spread_and_end_with_the_last_block(blocks: int, depths: list[int]) -> None:
    assert evenly_spread(blocks, 4) == depths


# -- folders with options -------------------------------------------------------------------------------------------


def test_levels_are_those_of_the_network_that_the_folders_options_describe(folder: Path, images: Tensor) -> None:
    teacher = Teacher(NAME, f"local-dir:{folder}", 32)
    model, seen = network(), []
    for block in model.blocks:  # type: ignore[union-attr]
        block.register_forward_hook(lambda _, __, tokens: seen.append(tokens))
    mean, std = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1), torch.tensor([0.2, 0.3, 0.25]).view(3, 1, 1)
    with torch.no_grad():
        model((images - mean) / std)
    levels, embedding = teacher(images)
    for found, tokens in zip([*levels, embedding], seen, strict=True):
        assert tokens.shape == (2, 3 + 16, 32)  # a class token and two registers before the patches
        for row in range(4):
            for column in range(4):
                torch.testing.assert_close(found[:, :, row, column], tokens[:, 3 + row * 4 + column])


def test_positions_learnt_at_the_folders_size_serve_another(folder: Path) -> None:
    teacher = Teacher(NAME, f"local-dir:{folder}", SIZE)
    assert teacher.grids == [(8, 8)] * 3


def test_a_detector_of_such_a_folder_loads_without_it_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    model = d2.D24FAD(d2.D24FADConfig(teacher=NAME, weights=f"local-dir:{folder}", image_size=SIZE))
    path = model.save(tmp_path / "model.safetensors")
    shutil.rmtree(folder)
    again = d2.D24FAD.load(path)
    images = torch.rand(3, 3, SIZE, SIZE)
    assert torch.equal(*(one.predict(images, one.encode_supports(images)).score for one in (model, again)))
    assert again.teacher.fingerprint() == model.teacher.fingerprint()


def test_tensors_that_the_model_has_no_place_for_are_refused_and_not_dropped(folder: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"8 tensors that teacher .* no place for \(first: blocks\.0\.ls1\.gamma\)"
    ):
        Teacher(NAME, f"local-dir:{with_options(folder, init_values=None)}", 32)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"pretrained_cfg_overlay": "x"}, CheckpointError, "name files"),
        ({"checkpoint_path": "/tmp/x.pth"}, CheckpointError, "name files"),
        ({"norm_layer": {"a": 1}}, CheckpointError, "model_args.norm_layer"),
        ({"no_such_option": 1}, ValueError, "cannot serve as a feature pyramid"),
        ({"depth": 5}, CheckpointError, "tensors missing"),
    ],
)
def test_options_that_cannot_be_are_refused(
    folder: Path, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Teacher(NAME, f"local-dir:{with_options(folder, **options)}", 32)


# -- where weights come from ----------------------------------------------------------------------------------------


def test_local_weights_of_a_timm_name_are_never_downloaded_and_the_error_names_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "cached_file", lambda _: None)
    with pytest.raises(WeightsError, match="hf download timm/resnet18.a1_in1k model.safetensors"):
        Teacher("resnet18", "local", SIZE)


@pytest.mark.parametrize("name", ["hf-hub:timm/resnet18.a1_in1k", "local-dir:/somewhere"])
def test_timms_own_prefixes_are_answered_with_the_ways_that_there_are(name: str) -> None:
    with pytest.raises(ValueError, match=r"neither a timm name nor 'hf:FOLDER'.*weights='local-dir:FOLDER'"):
        Teacher(name, "random", SIZE)
