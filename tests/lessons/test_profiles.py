"""Profiles: precedence, errors, data and device rules."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from d24fad_lite.lessons.profiles import (
    PROFILES,
    Profile,
    named_data,
    resolve_device,
    resolve_profile,
    settled,
    weights_origin,
)
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.weights import local
from d24fad_lite.model.weights.source import WeightsSource
from d24fad_lite.training.settings import FitSettings


@pytest.mark.parametrize(
    ("parameter", "variable", "expected"),
    [("full", "standard", "full"), ("", "standard", "standard"), ("", "", "quick"), (" ", None, "quick")],
)
def test_the_parameter_wins_over_the_variable_and_that_over_quick(
    monkeypatch: pytest.MonkeyPatch, parameter: str, variable: str | None, expected: str
) -> None:
    monkeypatch.delenv("D24FAD_PROFILE", raising=False)
    if variable is not None:
        monkeypatch.setenv("D24FAD_PROFILE", variable)
    assert resolve_profile(parameter).name == expected


def test_an_unknown_profile_is_refused_with_its_origin_and_the_closest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"parameter profile: unknown profile 'quik' \(did you mean 'quick'\?\)"):
        resolve_profile("quik")
    monkeypatch.setenv("D24FAD_PROFILE", "Ful")
    with pytest.raises(ValueError, match=r"environment variable D24FAD_PROFILE: .*did you mean 'full'"):
        resolve_profile("")


def test_quick_needs_no_download_and_full_is_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "weights_available", lambda name: None)
    quick, notice = settled(PROFILES["quick"])
    assert (quick.teacher, quick.weights, quick.device) == ("resnet18", "embedded", "cpu")
    assert "going on with the embedded teacher" in notice
    full = PROFILES["full"]
    assert (full.teacher, full.weights, full.epochs, full.shots) == ("wide_resnet50_2", "imagenet", 70, (2, 4, 8))
    assert (full.lr, full.lr_schedule, full.lambda_tsd, full.lambda_ssd) == (1e-4, "constant", 0.1, 1.0)
    assert len(full.seeds) > 1 and full.styled_tasks == 0 and full.reading == "released"
    assert all(profile.name == name for name, profile in PROFILES.items())


def test_quick_takes_the_imagenet_teacher_where_its_weights_are_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = WeightsSource("package", "lite0 0.1.0", "ab")
    monkeypatch.setattr(local, "weights_available", lambda name: source)
    assert settled(PROFILES["quick"]) == (PROFILES["quick"], None)
    assert weights_origin(PROFILES["quick"]) == "imagenet, package lite0 0.1.0"


def test_other_profiles_keep_their_teacher_and_may_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "weights_available", lambda name: None)
    assert settled(PROFILES["standard"]) == (PROFILES["standard"], None)
    assert weights_origin(PROFILES["standard"]) == "imagenet, to be downloaded"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (dict(teacher="resnet18"), dict(teacher="resnet18", weights="imagenet")),
        (dict(teacher="tf_efficientnet_lite0"), dict(teacher="tf_efficientnet_lite0", weights="imagenet")),
        (dict(weights="embedded"), dict(teacher="resnet18", weights="embedded")),
        (dict(weights="random"), dict(teacher="tf_efficientnet_lite0", weights="random")),
        (dict(teacher=" resnet50 ", weights="folder/net.pth"), dict(teacher="resnet50", weights="folder/net.pth")),
        (
            dict(reading="matched", epochs=3, lr=0.01, weights="random"),
            dict(reading="matched", epochs=3, lr=0.01, weights="random"),
        ),
    ],
)
def test_what_a_notebook_declares_takes_the_place_of_the_profiles(given: dict, expected: dict) -> None:
    profile, notice = settled(PROFILES["quick"], dict(teacher="", weights="", reading="", epochs=0, lr=0.0) | given)
    assert profile == replace(PROFILES["quick"], **expected) and notice is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(teacher="resnet81"), r"teacher 'resnet81' is not a timm model \(did you mean"),
        (dict(teacher="resnet18.tag"), "timm has no weights 'tag' of resnet18"),
        (dict(reading="matchd"), r"reading='matchd' is not known; .* \(did you mean 'matched'\?\)"),
        (dict(epochs=-1), "parameter 'epochs' must be above 0, or 0 for the profile's, got -1"),
        (dict(lr=float("nan")), "parameter 'lr' must be above 0, or 0 for the profile's, got nan"),
    ],
)
def test_what_a_notebook_cannot_have_is_said_with_the_way_out(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settled(PROFILES["quick"], given)


def test_origin_of_weights_names_no_folder() -> None:
    origins = [
        weights_origin(replace(PROFILES["full"], weights=weights))
        for weights in ("embedded", "random", "some/where/net.pth", "local-dir:some/where")
    ]
    assert origins == ["embedded", "random", "net.pth", "where"]


def test_quick_reads_the_samples_whatever_the_machine_is_set_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("D24FAD_DATA", str(tmp_path))
    assert named_data(PROFILES["quick"]) is None
    assert named_data(PROFILES["standard"]) == tmp_path
    assert named_data(PROFILES["quick"], str(tmp_path)) == tmp_path


def test_a_data_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent' is not a folder; pass root="):
        named_data(PROFILES["quick"], str(tmp_path / "absent"))


def test_the_device_variable_wins_over_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("D24FAD_DEVICE", raising=False)
    assert resolve_device(PROFILES["quick"]) == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (resolve_device(PROFILES["quick"]), resolve_device(PROFILES["full"])) == ("cpu", "cuda")
    monkeypatch.setenv("D24FAD_DEVICE", "cuda:0")
    assert resolve_device(PROFILES["quick"]) == "cuda:0"


def test_a_device_that_is_not_there_is_refused_with_its_origin_and_what_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("D24FAD_DEVICE", "cuda")
    with pytest.raises(
        ValueError, match="environment variable D24FAD_DEVICE 'cuda' is not there; this computer has cpu"
    ):
        resolve_device(PROFILES["quick"])


def test_profiles_train_with_the_defaults_of_fit_where_they_do_not_say_otherwise() -> None:
    changed = {
        "quick": {"epochs", "lr", "lr_schedule", "episodes"},
        "standard": {"epochs"},
        "full": {"epochs"},
    }
    for name, profile in PROFILES.items():
        shared = {f.name: f.default for f in fields(FitSettings) if f.name in profile.to_dict() and f.name != "shots"}
        assert {key for key, default in shared.items() if getattr(profile, key) != default} == changed[name]
        method = D24FADConfig(lambda_tsd=profile.lambda_tsd, lambda_ssd=profile.lambda_ssd)
        assert (method == D24FADConfig()) == (name != "quick")
    assert PROFILES["standard"].train_shots == FitSettings.shots


def test_profile_is_written_in_plain_types_in_the_order_of_its_fields() -> None:
    written = PROFILES["full"].to_dict()
    assert list(written) == [f.name for f in fields(Profile)] and written["seeds"] == [0, 1, 2]


def test_an_encoder_of_transformers_as_teacher_has_its_own_weights_which_nothing_downloads() -> None:
    taken, _ = settled(resolve_profile("standard"), {"teacher": "hf:some/encoder"})
    assert (taken.teacher, taken.weights, weights_origin(taken)) == ("hf:some/encoder", "local", "local")
