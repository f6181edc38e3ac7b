"""Inference copies of a network: batch norms folded into the convolutions before them, weights in the pass's precision.

In eval mode a batch norm is a fixed scale and shift per channel, so it can move into the convolution it follows:

    s = gamma / sqrt(variance + eps),    W' = s W,    b' = beta + s (b - mean)

which saves one trip through memory per convolution. The network itself keeps its weights and names: the copy stands
beside it, is made at the first pass, and anew whenever a weight or statistic has changed since.
"""

from __future__ import annotations

import copy
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from weakref import WeakKeyDictionary

import torch
from torch import nn

PRECISIONS = ("fp32", "bf16")
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)

_wanted: ContextVar[bool] = ContextVar("folding", default=True)
_copies: WeakKeyDictionary[nn.Module, dict[torch.dtype | None, tuple[tuple, nn.Module]]] = WeakKeyDictionary()


def for_inference(network: nn.Module, device: torch.device) -> nn.Module:
    """The network's folded copy where only inference runs (eval mode, no gradient), else the network itself.

    Weights changed through `.data` go unnoticed (PyTorch does not count such changes); change them under
    `torch.no_grad()`, or load a state dict.
    """
    if network.training or torch.is_grad_enabled() or not _wanted.get() or torch.compiler.is_compiling():
        return network
    autocast = torch.is_autocast_enabled(device.type)
    dtype = torch.get_autocast_dtype(device.type) if autocast else None
    kept = _copies.setdefault(network, {})
    state = _state(network)
    if dtype not in kept or kept[dtype][0] != state:
        kept[dtype] = state, folded(network, dtype)
    return kept[dtype][1]


def folded(network: nn.Module, dtype: torch.dtype | None = None) -> nn.Module:
    """A copy in eval mode with plain batch norms folded, and its convolutions in `dtype` for a pass under autocast.

    Folded is a batch norm that follows a convolution among the children of one module, as in every ResNet of timm and
    torchvision and in the student. Norms of other kinds, with an activation inside or without statistics, stay.
    """
    twin = copy.deepcopy(network).eval().requires_grad_(False)
    for module in twin.modules():
        for (_, first), (following, second) in pairwise(list(module.named_children())):
            if isinstance(first, CONVOLUTIONS) and type(second) is nn.BatchNorm2d and second.running_var is not None:
                _fold(first, second)
                setattr(module, following, nn.Identity())
    for module in twin.modules():
        if isinstance(module, CONVOLUTIONS):
            module.to(dtype=dtype, memory_format=torch.channels_last)
    return twin


@contextmanager
def no_folding() -> Iterator[None]:
    """Within, every pass runs through the network as it is; to measure what folding gains and changes."""
    token = _wanted.set(False)
    try:
        yield
    finally:
        _wanted.reset(token)


@contextmanager
def precision_of(precision: str, device: torch.device) -> Iterator[None]:
    """Convolutions within run in "fp32" or "bf16" (autocast), see `usable_precision`."""
    if usable_precision(precision, device) == "fp32":
        yield
        return
    with torch.autocast(device.type, torch.bfloat16):
        yield


def usable_precision(precision: str, device: torch.device) -> str:
    """The precision asked for, or "fp32", with a warning, where bf16 would be both slower and less exact.

    That is so on x86 processors without AVX-512: PyTorch then does without oneDNN and adds up in bf16 itself.
    Raises ValueError for another name.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r} is not known; choose one of {', '.join(map(repr, PRECISIONS))}")
    if precision == "bf16" and device.type == "cpu" and _without_avx512():
        warnings.warn("precision='bf16': this processor has no AVX-512, where bf16 is slower than fp32 and less exact; "
                      "going on in fp32. Pass precision='fp32', or use another processor or a GPU", stacklevel=3)
        return "fp32"
    return precision


def _without_avx512() -> bool:
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return x86 and torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "NO AVX", "AVX", "AVX2")


def _fold(convolution: nn.Module, norm: nn.BatchNorm2d) -> None:
    """Give the convolution the norm's scale s and shift, see the equation above."""
    weight, groups = convolution.weight, convolution.groups
    scale = torch.rsqrt(norm.running_var + norm.eps) * (1 if norm.weight is None else norm.weight)  # (C_out,)
    shift = -norm.running_mean if convolution.bias is None else convolution.bias - norm.running_mean
    bias = scale * shift + (0 if norm.bias is None else norm.bias)
    if isinstance(convolution, nn.ConvTranspose2d):  # weight (C_in, C_out / groups, h, w), inputs group by group
        grouped = weight.unflatten(0, (groups, -1)) * scale.view(groups, 1, -1, 1, 1)
        weight = grouped.flatten(0, 1)
    else:  # (C_out, C_in / groups, h, w)
        weight = weight * scale.view(-1, 1, 1, 1)
    convolution.weight = nn.Parameter(weight.detach(), requires_grad=False)
    convolution.bias = nn.Parameter(bias.detach(), requires_grad=False)


def _state(network: nn.Module) -> tuple:
    """Changes with every change of a parameter or buffer that PyTorch counts."""
    tensors = (*network.parameters(), *network.buffers())
    return tuple((t.data_ptr(), 0 if t.is_inference() else t._version, t.dtype) for t in tensors)
