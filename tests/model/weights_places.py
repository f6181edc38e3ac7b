"""Stand-ins for the places of a teacher's weights, so that tests need no cache, no package and no network."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from torch import Tensor

from d24fad_lite.model.weights import hub, packages

NAME = "test_efficientnet"  # timm's tiny one, of the same family as the packages' networks
Tensors = dict[str, Tensor]
Install = Callable[..., Path]


class Installed:
    """What importlib.metadata says of an installed package; `folder` is where its files lie."""

    version = "0.1.0"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def locate_file(self, name: str) -> Path:
        return self.folder / name


def theirs(tensors: Tensors) -> Tensors:
    """The tensors under foreign names, in the same order: blocks.0.bn1.weight -> _layer7.weight."""
    return {f"_layer{i}.{name.rsplit('.', 1)[-1]}": tensor for i, (name, tensor) in enumerate(tensors.items())}


def unreachable(*_: object, **__: object) -> NoReturn:
    raise urllib.error.URLError(OSError("network is unreachable"))


def take_away(monkeypatch: pytest.MonkeyPatch, empty: Path) -> None:
    """No cache, no package and no network, whatever this computer has."""

    def absent(name: str) -> NoReturn:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packages, "distribution", absent)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(empty))
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
