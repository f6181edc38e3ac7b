"""Tiny encoders in transformers' formats, made on the spot: what a folder from Hugging Face's hub looks like."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch

import d24fad_lite as d2

SIZE = 64  # px
ONE_SIZE = "aimv2_vision_model"  # whose positions transformers does not interpolate

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]
PREPROCESSOR = {
    "do_normalize": True,
    "do_rescale": True,
    "image_mean": MEAN,
    "image_std": STD,
    "rescale_factor": 1 / 255,
}

_VIT: dict[str, Any] = dict(hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=32, patch_size=8)
_WIDE = dict(_VIT, intermediate_size=64)
_TEXT = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=50)
_TEXT |= dict(bos_token_id=0, eos_token_id=1)
_STAGES: dict[str, Any] = dict(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1])
_SWIN = dict(embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4], window_size=2, image_size=32, patch_size=4)
_ACTIVE = dict(layerscale_value=1.0)  # else a random network's blocks hardly do anything

# model_type -> settings of a network with four blocks or stages, of images of 32 px (CNNs: of any size).
FORMATS: dict[str, dict[str, Any]] = {
    "dinov2": dict(_VIT, mlp_ratio=2, **_ACTIVE),
    "dinov2_with_registers": dict(_VIT, mlp_ratio=2, num_register_tokens=3, **_ACTIVE),
    "dinov3_vit": dict(_WIDE, num_register_tokens=3, **_ACTIVE),
    "vit": _WIDE,
    "vit_msn": _WIDE,
    "deit": _WIDE,
    "beit": _WIDE,
    "clip_vision_model": _WIDE,
    "clip": dict(vision_config=_WIDE, text_config=_TEXT, projection_dim=16),
    "siglip_vision_model": _WIDE,
    "siglip": dict(vision_config=_WIDE, text_config=_TEXT),
    "aimv2_vision_model": _WIDE,
    "resnet": dict(_STAGES, embedding_size=8),
    "bit": dict(hidden_sizes=[32, 64, 96, 128], depths=[1, 1, 1, 1], embedding_size=8, num_groups=2),
    "convnext": _STAGES,
    "convnextv2": _STAGES,
    "dinov3_convnext": _STAGES,
    "swin": _SWIN,
    "swinv2": _SWIN,
}


def tiny_encoder(model_type: str, seed: int = 1, **changes: Any) -> Any:
    """The network as transformers builds it, with random weights."""
    from transformers import CONFIG_MAPPING, AutoModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = CONFIG_MAPPING[model_type].from_dict(dict(FORMATS[model_type], **changes))
        return AutoModel.from_config(config).eval()


def write_encoder(
    folder: Path, model_type: str, preprocessor: dict[str, Any] | None = PREPROCESSOR, **changes: Any
) -> Path:
    """A folder with config.json, model.safetensors and (unless None) preprocessor_config.json."""
    tiny_encoder(model_type, **changes).save_pretrained(folder)
    if preprocessor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder


def size_of(model_type: str) -> int:
    """An image size that the format's tiny network takes; where it can be, not the one of its positions."""
    return 32 if model_type == ONE_SIZE else SIZE


def config(folder: Path, **settings: Any) -> d2.D24FADConfig:
    """Settings with the folder's encoder as teacher."""
    return d2.D24FADConfig(**({"teacher": f"hf:{folder}", "image_size": SIZE} | settings))


def refuse_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever asks for an address or a connection fails the test."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a network connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
