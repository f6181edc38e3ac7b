"""Named readings of one detector: what they are, what they share, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import d24fad_lite as d2
from d24fad_lite.model.anomaly_map import image_score
from d24fad_lite.model.config import CHOICES, MAP_ALONE, PRESETS, READ_AT_SCORING

CONFIG = d2.D24FADConfig(teacher="test_resnet", weights="random", image_size=64)
OWN = dict(teacher="test_resnet", weights="random", image_size=64)


def images(count: int, seed: int) -> Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model() -> d2.D24FAD:
    return d2.D24FAD(CONFIG).eval()


def test_every_reading_sets_the_same_settings_and_only_such_as_act_at_scoring() -> None:
    assert list(d2.READINGS) == ["released", "paper", "matched"]
    for settings in d2.READINGS.values():
        assert settings.keys() == d2.READINGS["released"].keys() <= set(READ_AT_SCORING)


def test_presets_are_read_as_their_names_say_and_the_default_as_released() -> None:
    assert d2.D24FADConfig().reading_name == d2.D24FADConfig.official().reading_name == "released"
    assert d2.D24FADConfig.paper().reading_name == "paper"
    assert d2.D24FADConfig.matched().reading_name == "matched"
    assert d2.D24FADConfig(blur_sigma=2.0).reading_name is None


# Written out here a second time on purpose: what a preset means may not move with a default.
AS_RELEASED = dict(
    fusion="features",
    map_source="ssd",
    image_score="max",
    top_share=0.1,
    blur_sigma=4.0,
    align_corners=True,
    matching="weighted",
    match_radius=0.0,
    compare_in="student",
)
PUBLISHED = dict(teacher="wide_resnet50_2.tv_in1k", weights="imagenet", normalize=False, attention_scale="channels")
EXPECTED = {
    "kit": AS_RELEASED | dict(teacher="resnet18", weights="embedded", normalize=True, train_supports="redrawn"),
    "official": AS_RELEASED | PUBLISHED | dict(distance="flattened", train_supports="fixed"),
    "paper": AS_RELEASED
    | PUBLISHED
    | dict(distance="pointwise", train_supports="redrawn")
    | dict(fusion="distances", map_source="both", image_score="mean"),
    "matched": AS_RELEASED
    | dict(teacher="resnet18", distance="flattened", train_supports="redrawn")
    | dict(matching="nearest", match_radius=1.0, compare_in="teacher", image_score="top"),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_every_preset_has_the_settings_that_it_is_known_for(name: str) -> None:
    assert list(PRESETS) == list(EXPECTED)
    settings = d2.D24FADConfig.preset(name).to_dict()
    assert settings == settings | EXPECTED[name]
    assert set(settings) - {*AS_RELEASED, *PUBLISHED, "distance", "train_supports"} == {
        "image_size",
        "weighting",
        "temperature",
        "lambda_tsd",
        "lambda_ssd",
        "student_padding",
        "stop_gradient",
        "seed",
    }
    if name != "kit":
        assert getattr(d2.D24FADConfig, name)() == d2.D24FADConfig.preset(name)


def test_an_unknown_preset_names_the_known_ones_and_the_closest() -> None:
    with pytest.raises(ValueError, match=r"preset='offical' is not known; .*'matched' \(did you mean 'official'"):
        d2.D24FADConfig.preset("offical")


def test_settings_read_at_scoring_are_those_of_the_map_and_those_that_training_reads_too() -> None:
    assert set(READ_AT_SCORING) - set(MAP_ALONE) == {"fusion", "attention_scale", "weighting", "temperature"}
    assert set(AS_RELEASED) - set(MAP_ALONE) == {"fusion"} and set(MAP_ALONE) < set(AS_RELEASED)
    for name, choices in CHOICES.items():
        assert choices[0] == getattr(d2.D24FADConfig(), name)


def test_settings_of_the_map_alone_leave_a_training_step_as_it_is() -> None:
    queries, supports = images(2, 0), torch.stack([images(2, 1), images(2, 2)])
    losses = set()
    for changes in ({}, *(dict(d2.READINGS[name]) for name in d2.READINGS)):
        changes = {name: value for name, value in changes.items() if name in MAP_ALONE}
        losses.add(d2.D24FAD(CONFIG.replace(**changes)).train()(queries, supports).loss.item())
    assert len(losses) == 1


def test_matched_preset_trains_as_the_default_does() -> None:
    matched = d2.D24FADConfig.matched(**OWN)
    assert matched == CONFIG.read_as("matched") and matched.read_as("released") == CONFIG


def test_overrides_win_over_the_preset() -> None:
    assert d2.D24FADConfig.matched(top_share=0.02).top_share == 0.02
    assert d2.D24FADConfig.official(image_score="mean").image_score == "mean"


def test_reading_shares_every_tensor_with_the_detector_and_leaves_it_as_it_is(model: d2.D24FAD) -> None:
    view = model.read_as("matched", top_share=0.05)
    assert (view.config.top_share, model.config) == (0.05, CONFIG)
    assert view.teacher is model.teacher and view.student is model.student
    for own, theirs in zip(view.parameters(), model.parameters(), strict=True):
        assert own is theirs
    assert view.read_as("released").config == CONFIG


def test_reading_weighting_by_another_kind_leaves_the_detectors_own_alone(model: d2.D24FAD) -> None:
    view = model.read_as(weighting="mean")
    bank = view.encode_supports(images(4, 0))
    assert torch.allclose(view.predict(images(2, 1), bank).weights, torch.tensor(0.25))
    assert model.weighting.kind == "learned"


def test_paper_reading_of_a_released_detector_is_the_papers_map_and_mean(model: d2.D24FAD) -> None:
    view, queries = model.read_as("paper"), images(3, 1)
    bank = model.encode_supports(images(4, 0))
    by_hand = model.read_as(fusion="distances"), model.read_as(map_source="tsd")
    expected = sum(part.predict(queries, bank).anomaly_map for part in by_hand)
    found = view.predict(queries, bank)
    torch.testing.assert_close(found.anomaly_map, expected)
    torch.testing.assert_close(found.score, expected.mean(dim=(1, 2)))


def test_matched_reads_nothing_that_is_trained(model: d2.D24FAD) -> None:
    other = d2.D24FAD(CONFIG.replace(seed=9, weights="random"))
    other.teacher = model.teacher
    queries, supports = images(3, 1), images(4, 0)
    first, second = (
        m.read_as("matched").predict(queries, m.read_as("matched").encode_supports(supports)) for m in (model, other)
    )
    assert torch.equal(first.anomaly_map, second.anomaly_map) and torch.equal(first.score, second.score)


def test_matched_scores_a_support_zero_wherever_its_content_has_moved(model: d2.D24FAD) -> None:
    view = model.read_as("matched")
    supports = images(4, 0)
    assert view.predict(supports, view.encode_supports(supports)).score.abs().max() < 1e-5


def test_top_is_the_maximum_for_one_pixel_and_the_mean_for_all() -> None:
    maps = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(image_score(maps, "top", 1e-9), image_score(maps, "max"))
    torch.testing.assert_close(image_score(maps, "top", 1.0), image_score(maps, "mean"))
    expected = maps.flatten(1).sort(dim=1, descending=True).values[:, :40].mean(dim=1)
    torch.testing.assert_close(image_score(maps, "top", 0.1), expected)


def test_unknown_reading_names_the_known_ones_and_the_closest(model: d2.D24FAD) -> None:
    message = r"reading='machted' is not known; choose one of 'released', 'paper', 'matched' \(did you mean 'matched'"
    for call in (model.read_as, CONFIG.read_as, d2.D24FADConfig.reading):
        with pytest.raises(ValueError, match=message):
            call("machted")


def test_switch_that_acts_in_training_is_refused_in_a_reading(model: d2.D24FAD) -> None:
    with pytest.raises(ValueError, match=r"settings \['distance'\] do not act on a trained model"):
        model.read_as("matched", distance="pointwise")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(top_share=0.0), "top_share=0.0 must be above 0, up to 1"),
        (dict(top_share=1.5), "top_share=1.5 must be above 0, up to 1"),
        (dict(image_score="maximum"), r"image_score='maximum' is not known; .* 'top' \(did you mean 'max'"),
        (dict(student_padding="mirror"), "student_padding='mirror' is not known; choose one of 'zeros'"),
    ],
)
def test_setting_out_of_range_names_the_way_out(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        d2.D24FADConfig(**changes)


# -- the student's padding ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("teacher", ["resnet18", "resnet50", "tf_efficientnet_lite0"])
@pytest.mark.parametrize("padding", ["reflect", "replicate"])
def test_padding_keeps_names_and_shapes_and_changes_the_border_also_where_norms_are_folded(
    teacher: str, padding: str
) -> None:
    config = d2.D24FADConfig(teacher=teacher, weights="random", image_size=64)
    plain, padded = d2.D24FAD(config).eval(), d2.D24FAD(config.replace(student_padding=padding)).eval()
    padded.load_trainable_state_dict(plain.trainable_state_dict())
    embedding = plain.teacher(images(2, 0)).embedding
    unfolded = padded.student(embedding)  # with gradient, so as it is
    with torch.no_grad():
        folded, zeros = padded.student(embedding), plain.student(embedding)
    for own, copy, other in zip(unfolded, folded, zeros, strict=True):
        torch.testing.assert_close(copy, own.detach(), rtol=1e-4, atol=1e-4)
        assert (own.detach() - other)[..., 0].abs().max() > 1e-3


def test_equal_embeddings_everywhere_give_equal_features_up_to_the_border_only_with_reflection() -> None:
    config = d2.D24FADConfig(teacher="resnet18", weights="random", image_size=64)
    spread = {}
    for padding in ("zeros", "replicate", "reflect"):
        model = d2.D24FAD(config.replace(student_padding=padding)).eval()
        pyramid = model.teacher.pyramid
        with torch.no_grad():
            coarse = model.student(torch.ones(1, pyramid.embedding_channels, *pyramid.embedding_grid))[-1]
        # A 2x2 kernel of stride 2 draws the same four values in each square of four.
        spread[padding] = float((coarse[0, :, ::2, ::2] - coarse[0, :, :1, :1]).abs().max())
    assert spread["reflect"] < 1e-4 < 1e-2 < min(spread["zeros"], spread["replicate"])


def test_reflection_on_a_grid_of_one_position_is_refused_with_the_way_out() -> None:
    class Flat(torch.nn.Module):
        def forward(self, x: Tensor) -> list[Tensor]:
            return [x.mean(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)]

    with pytest.raises(ValueError, match="student_padding='reflect' needs grids of at least 2 positions, level 1"):
        d2.D24FAD(d2.D24FADConfig(teacher=Flat(), image_size=32, student_padding="reflect"))
