"""Detectors of every switch, and what `reference.py` says of them: shared by the tests of values and of gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import reference
import torch
from torch import Tensor, nn

from d24fad_lite.model.config import CHOICES, READINGS, D24FADConfig
from d24fad_lite.model.detector import D24FAD

TOLERANCE = 1e-5  # relative
SIZE, BATCH, SHOTS = 24, 2, 3
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PRESETS: dict[str, Callable[..., D24FADConfig]] = {
    "kit": D24FADConfig,
    "official": D24FADConfig.official,
    "paper": D24FADConfig.paper,
}

Case = tuple[str, dict[str, Any]]
CASES: dict[str, Case] = {preset: (preset, {}) for preset in PRESETS}
for _name in ("distance", "fusion", "map_source", "image_score", "attention_scale", "weighting", "student_padding"):
    for _preset in ("kit", "paper"):  # every value beside the preset's own
        _values = [v for v in CHOICES[_name] if v != getattr(PRESETS[_preset](), _name)]
        CASES |= {f"{_preset} {_name}={v}": (_preset, {_name: v}) for v in _values}
CASES |= {
    f"kit {n}={v}": ("kit", {n: v})
    for n, v in (
        ("normalize", False),
        ("temperature", 0.4),
        ("temperature", 5.0),
        ("lambda_tsd", 0.0),
        ("lambda_ssd", 0.0),
        ("lambda_tsd", 2.5),
        ("blur_sigma", 0.0),
        ("blur_sigma", 1.3),
        ("stop_gradient", True),
    )
}
CASES["paper stop_gradient=True"] = ("paper", {"stop_gradient": True})
# The kit's own switches of the anomaly map, which the training step does not read.
MAP_CASES: dict[str, Case] = {
    f"{preset} {changes}": (preset, changes)
    for preset in ("kit", "paper")
    for changes in (
        {"matching": "nearest"},
        {"matching": "subspace"},
        {"match_radius": 0.2},
        {"compare_in": "teacher"},
        {"compare_in": "both"},
        {"matching": "nearest", "match_radius": 0.1, "compare_in": "both"},
        {"align_corners": False},
        {"image_score": "top", "top_share": 0.3},
    )
}
MAP_CASES |= {f"kit read as {name}": ("kit", dict(settings)) for name, settings in READINGS.items()}


class TinyTeacher(nn.Module):
    """24 px -> 4@12, 6@6 (signed), 8@3 and 10@2: the coarsest grid is odd, so the student has to resize."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.convs = nn.ModuleList(
                nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in ((3, 4), (4, 6), (6, 8), (8, 10))
            )
            for conv in self.convs:
                nn.init.normal_(conv.weight, std=0.5)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for number, conv in enumerate(self.convs):
            x = conv(x) if number == 1 else conv(x).relu()
            maps.append(x)
        return maps


def detector(case: Case, dtype: torch.dtype = torch.float64) -> D24FAD:
    """A detector whose batch norms and biases are not at their trivial start."""
    preset, changes = case
    model = D24FAD(PRESETS[preset](teacher=TinyTeacher(), weights="random", image_size=SIZE, **changes)).to(dtype)
    stir(model)
    return model.eval()


def stir(model: D24FAD) -> None:
    generator = torch.Generator().manual_seed(1)

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return torch.rand(like.shape, generator=generator, dtype=torch.float64).to(like) * (high - low) + low

    with torch.no_grad():
        for module in model.student.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(uniform(module.weight, 0.5, 1.5))
                module.bias.copy_(uniform(module.bias, -0.3, 0.3))
                module.running_mean.copy_(uniform(module.running_mean, -0.3, 0.3))
                module.running_var.copy_(uniform(module.running_var, 0.5, 1.5))


def pictures(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Coarse patches of colour, so that images differ by more than their noise."""
    patches = torch.rand(*shape, 3, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return patches.repeat_interleave(SIZE // 3, dim=-1).repeat_interleave(SIZE // 3, dim=-2).to(dtype)


def numpy_state(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.detach().double().numpy() for name, tensor in module.state_dict().items()}


def arrays(tensors: list[Tensor]) -> list[np.ndarray]:
    return [tensor.detach().double().numpy() for tensor in tensors]


def close(found: Tensor | np.ndarray | float, expected: Any, tolerance: float = TOLERANCE) -> None:
    found = np.asarray(found.detach() if isinstance(found, Tensor) else found, np.float64)
    expected = np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * max(np.abs(expected).max(), 1e-12)


class ByHand:
    """The reference's view of a detector: its own normalisation, then embeddings from the bare teacher module."""

    def __init__(self, model: D24FAD, training: bool = False) -> None:
        self.model, self.training, self.c = model, training, model.config.to_dict()
        self.student_state, self.weighting_state = numpy_state(model.student), numpy_state(model.weighting)
        self.support_state = self.student_state  # as it was, where no gradient is to flow through the supports
        self.grids, self.signed = [(12, 12), (6, 6), (3, 3)], [False, True, False]

    def teach(self, images: Tensor) -> list[np.ndarray]:
        images = images.clone()
        if self.c["normalize"]:
            for channel in range(3):
                images[:, channel] = (images[:, channel] - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]
        with torch.no_grad():
            return arrays(self.model.config.teacher(images))

    def student(self, embedding: np.ndarray, of_support: bool = False) -> list[np.ndarray]:
        state = self.support_state if of_support and self.c["stop_gradient"] else self.student_state
        return reference.student(embedding, state, self.grids, self.signed, self.training, self.c["student_padding"])

    def supports(self, images: Tensor) -> tuple[list[np.ndarray], list[list[int]]]:
        """Student levels of own ([K, B, ...]) or shared ([K, ...]) supports, call by call, and who they belong to."""
        own = images.ndim == 5
        calls = [self.student(self.teach(part if own else part[None])[-1], of_support=True) for part in images]
        shots = len(images)
        members = [[k * BATCH + b if own else k for k in range(shots)] for b in range(BATCH)]
        return [np.concatenate(level) for level in zip(*calls, strict=True)], members
