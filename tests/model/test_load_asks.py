"""A model file decides neither what is opened nor what is downloaded: what it does not hold is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

import d24fad_lite as d2
from d24fad_lite.model import backbones
from d24fad_lite.model.checkpoint import CheckpointError, read_tensors

CONFIG = d2.D24FADConfig(teacher="test_resnet", weights="random", image_size=32)


def without_teacher(path: Path, **settings: Any) -> Path:
    """A detector's file without its teacher's tensors, and with these settings."""
    d2.D24FAD(CONFIG).save(path)
    _, facts = read_tensors(path)
    facts["config"] |= settings
    tensors = {name: tensor for name, tensor in load_file(path).items() if not name.startswith("teacher.")}
    save_file(tensors, path, metadata={"d24fad_lite": json.dumps(facts)})
    return path


@pytest.mark.parametrize(
    "settings",
    [
        {"weights": "imagenet"},
        {"weights": "random"},
        {"weights": "local-dir:/somewhere"},
        {"weights": "/somewhere/else.pth"},
        {"weights": "embedded", "teacher": "hf-hub:somebody/something"},
        {"weights": "embedded", "teacher": "local-dir:/somewhere"},
    ],
)
def test_a_teacher_that_the_file_only_names_is_asked_for(
    settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = without_teacher(tmp_path / "model.safetensors", **settings)

    def opened(*_: object, **__: object) -> None:
        pytest.fail("something was built, opened or downloaded because the file says so")

    monkeypatch.setattr(timm, "create_model", opened)
    monkeypatch.setattr(backbones, "read_state_dict", opened)
    monkeypatch.setattr(backbones, "read_folder", opened)
    with pytest.raises(CheckpointError, match="does not hold its teacher .*give it as an argument"):
        d2.D24FAD.load(path)


def test_the_teacher_given_as_an_argument_is_taken_and_must_be_the_same(tmp_path: Path) -> None:
    model = d2.D24FAD(CONFIG)
    path = without_teacher(tmp_path / "model.safetensors", weights="imagenet")
    loaded = d2.D24FAD.load(path, teacher=model.teacher)
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    scores = [
        each.predict(images[:1], each.encode_supports(images[1:])).score for each in (loaded.eval(), model.eval())
    ]
    assert torch.equal(*scores)
    other = d2.D24FAD(CONFIG.replace(seed=9)).teacher
    with pytest.raises(CheckpointError, match="another teacher"):
        d2.D24FAD.load(path, teacher=other)


def test_a_teacher_given_although_the_file_holds_one_is_left_as_it_is(tmp_path: Path) -> None:
    model = d2.D24FAD(CONFIG)
    path = model.save(tmp_path / "model.safetensors")
    given = d2.D24FAD(CONFIG.replace(seed=9)).teacher
    before = given.fingerprint()
    loaded = d2.D24FAD.load(path, teacher=given)
    assert given.fingerprint() == before and loaded.teacher is not given
    assert loaded.teacher.fingerprint() == model.teacher.fingerprint() != before
