"""Teachers in transformers' format: their levels, their normalisation, their files, and what is refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_encoders import (
    FORMATS,
    MEAN,
    ONE_SIZE,
    SIZE,
    STD,
    config,
    size_of,
    tiny_encoder,
    write_encoder,
)
from torch import Tensor, nn

import d24fad_lite as d2
from d24fad_lite.model.checkpoint import CheckpointError
from d24fad_lite.model.encoders.families import FAMILIES, IMAGE_PART
from d24fad_lite.model.teacher import Teacher

pytest.importorskip("transformers")
TOKENS = [name for name in FORMATS if name in IMAGE_PART or FAMILIES[name].tokens]
PYRAMIDS = [name for name in FORMATS if name not in TOKENS]
PREFIX_TOKENS = {
    "dinov2_with_registers": 4,
    "dinov3_vit": 4,
    "deit": 2,
    "siglip": 0,
    "siglip_vision_model": 0,
    ONE_SIZE: 0,
}

pytestmark = [pytest.mark.usefixtures("no_network"), pytest.mark.filterwarnings("ignore:teacher .* has one grid")]


def by_hand(tokens: Tensor, prefix: int, side: int) -> Tensor:
    """Tokens [N, P + side * side, C] as maps [N, C, side, side], one position after the other."""
    maps = torch.zeros(len(tokens), tokens.shape[2], side, side)
    for row in range(side):
        for column in range(side):
            maps[:, :, row, column] = tokens[:, prefix + row * side + column]
    return maps


def vision_part(model_type: str) -> Any:
    """The image encoder as transformers has it; for models of images and texts, theirs."""
    model = tiny_encoder(model_type)
    return model.vision_model if model_type in IMAGE_PART else model


# -- levels and normalisation ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("model_type", TOKENS)
def test_levels_are_the_hidden_states_of_a_quarter_to_all_blocks_without_prefix_tokens(
    model_type: str, tmp_path: Path, images: Tensor
) -> None:
    size = size_of(model_type)
    images = images[:, :, :size, :size]
    teacher = Teacher(f"hf:{write_encoder(tmp_path / 'net', model_type)}", "local", size)
    options = (
        {} if FAMILIES.get(model_type, FAMILIES["vit"]).any_size or size == 32 else {"interpolate_pos_encoding": True}
    )
    normalised = (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        states = vision_part(model_type)(normalised, output_hidden_states=True, **options).hidden_states
    assert len(states) == 5  # after the embedding and after each of four blocks
    levels, embedding = teacher(images)
    for depth, level in enumerate([*levels, embedding], start=1):
        prefix = PREFIX_TOKENS.get(model_type, 1)
        assert states[depth].shape[1] == prefix + (size // 8) ** 2
        torch.testing.assert_close(level, by_hand(states[depth], prefix, size // 8), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(levels[0], levels[1], atol=1e-3)  # the depths are told apart


@pytest.mark.parametrize("model_type", [name for name in PYRAMIDS if name not in ("swin", "swinv2")])
def test_levels_of_a_convolutional_network_are_the_last_maps_of_its_four_stages(
    model_type: str, tmp_path: Path, images: Tensor
) -> None:
    teacher = Teacher(f"hf:{write_encoder(tmp_path / 'net', model_type)}", "local", SIZE)
    normalised = (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        states = tiny_encoder(model_type)(normalised, output_hidden_states=True).hidden_states
    levels, embedding = teacher(images)
    for found, expected in zip([*levels, embedding], states[-4:], strict=True):
        if model_type in ("convnext", "convnextv2"):  # transformers' backbone has a layer norm behind each stage
            expected = nn.functional.layer_norm(expected.permute(0, 2, 3, 1), expected.shape[1:2], eps=1e-6)
            expected = expected.permute(0, 3, 1, 2)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert teacher.grids == [(16, 16), (8, 8), (4, 4)] and teacher.pyramid.embedding_grid == (2, 2)


@pytest.mark.parametrize("model_type", ["swin", "swinv2"])
def test_levels_of_a_swin_are_its_stages_before_each_halving(model_type: str, tmp_path: Path, images: Tensor) -> None:
    teacher = Teacher(f"hf:{write_encoder(tmp_path / 'net', model_type)}", "local", SIZE, normalize=False)
    network, seen = tiny_encoder(model_type), []
    for stage in network.encoder.layers:
        stage.blocks[-1].register_forward_hook(
            lambda _, __, out: seen.append(out[0] if isinstance(out, tuple) else out)
        )
    with torch.no_grad():
        network(images)
    levels, embedding = teacher(images)
    for found, tokens in zip([*levels, embedding], seen, strict=True):
        if model_type == "swin":
            tokens = nn.functional.layer_norm(tokens, tokens.shape[2:])
        side = found.shape[2]
        torch.testing.assert_close(found, by_hand(tokens, 0, side), rtol=1e-3, atol=1e-4)
    assert teacher.grids == [(16, 16), (8, 8), (4, 4)]


def test_a_preprocessor_without_normalisation_leaves_pixels_as_they_are(tmp_path: Path) -> None:
    teacher = Teacher(f"hf:{write_encoder(tmp_path / 'net', 'vit', {'do_normalize': False})}", "local", SIZE)
    assert teacher.mean.flatten().tolist() == [0, 0, 0] and teacher.std.flatten().tolist() == [1, 1, 1]


@pytest.mark.parametrize(("model_type", "mean"), [("vit", 0.5), ("dinov2", 0.485), ("clip_vision_model", 0.48145466)])
def test_without_a_preprocessor_file_the_familys_statistics_are_taken_and_said(
    model_type: str, mean: float, tmp_path: Path
) -> None:
    folder = write_encoder(tmp_path / "net", model_type, preprocessor=None)
    with pytest.warns(UserWarning, match=r"net has no preprocessor_config.json: .* usual for '" + model_type):
        teacher = Teacher(f"hf:{folder}", "local", SIZE)
    assert teacher.mean.flatten()[0].item() == pytest.approx(mean)


def test_a_preprocessor_that_wants_another_range_is_refused(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "net", "vit", {"rescale_factor": 1 / 127.5, "image_mean": MEAN, "image_std": STD})
    with pytest.raises(CheckpointError, match=r"preprocessor_config.json wants pixels in another range than 0..1"):
        Teacher(f"hf:{folder}", "local", SIZE)


# -- grids ----------------------------------------------------------------------------------------------------------


def test_one_grid_for_all_levels_is_said_once_with_what_it_means(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "net", "dinov2")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        d2.D24FAD(config(folder))
    words = [str(one.message) for one in caught if "one grid" in str(one.message)]
    assert len(words) == 1 and "8 x 8 positions of 8 px" in words[0] and "student keeps this grid" in words[0]


def test_a_pyramid_is_not_said_to_have_one_grid(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "net", "resnet")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        d2.D24FAD(config(folder))


def test_a_size_that_the_patch_does_not_divide_is_refused_with_the_two_nearest(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "net", "dinov2")
    with pytest.raises(ValueError, match=r"patches of 8 x 8 px.*image_size=60: 4 px .*set image_size=56 or 64"):
        d2.D24FAD(config(folder, image_size=60))


def test_positions_that_cannot_be_interpolated_are_refused_with_the_size_that_works(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "net", ONE_SIZE)
    with pytest.raises(ValueError, match=r"takes images of 32 px alone: .*set image_size=32"):
        d2.D24FAD(config(folder))


def test_a_student_on_one_grid_learns_and_its_map_covers_the_image(tiny_root: Path, tmp_path: Path) -> None:
    model = d2.D24FAD(config(write_encoder(tmp_path / "net", "dinov3_vit"), image_size=32))
    history = d2.fit(model, d2.open_benchmark(tiny_root), shots=2, epochs=3, batch_size=5, lr=1e-2, progress=False)
    frame = history.to_frame()
    assert frame["loss"].iloc[-1] < frame["loss"].iloc[0]
    images = torch.rand(2, 3, 32, 32)
    prediction = model.predict(images, model.encode_supports(images))
    assert prediction.anomaly_map.shape == (2, 32, 32) and bool(torch.isfinite(prediction.score).all())
