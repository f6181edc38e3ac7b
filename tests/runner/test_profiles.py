"""Profiles: precedence, errors, data and device rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from d24fad_lite.runner.profiles import PROFILES, named_data, resolve_device, resolve_profile


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


def test_quick_needs_no_download_and_full_is_the_benchmark() -> None:
    assert (PROFILES["quick"].weights, PROFILES["quick"].device) == ("embedded", "cpu")
    full = PROFILES["full"]
    assert (full.teacher, full.weights, full.epochs, full.shots) == ("wide_resnet50_2", "imagenet", 70, (2, 4, 8))
    assert len(full.seeds) > 1
    assert all(profile.name == name for name, profile in PROFILES.items())


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
    monkeypatch.setenv("D24FAD_DEVICE", "cuda")
    assert resolve_device(PROFILES["quick"]) == "cuda"
