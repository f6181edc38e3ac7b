"""Inference copies of a network: batch norms folded into the convolutions before them, weights in the pass's precision.

In eval mode a batch norm is a fixed scale and shift per channel, so it can move into the convolution it follows:

    s = gamma / sqrt(variance + eps),    W' = s W,    b' = beta + s (b - mean)

which saves one trip through memory per convolution. The network itself keeps its weights and names: the copy stands
beside it, is made at the first pass, and made anew whenever a weight or statistic has changed since. Which norms may be
folded is seen in a pass (`foldable.py`), and the copy's results are compared with the network's before it is used.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from d24fad_lite.model.speed.foldable import Convolution, foldable_pairs, norms_of
from d24fad_lite.model.speed.same_padding import SamePadding, pads_itself

TOLERANCE = 1e-4  # of a copy, relative to the largest value of a map; mistakes are far larger, rounding is below 1e-5
TOLERANCE_TF32 = 1e-2  # on a GPU, whose convolutions may round to ten bits


class Folded(NamedTuple):
    """An inference copy (None: the network runs as it is), and how many of its batch norms are folded."""

    network: nn.Module | None
    folded: int
    norms: int


_wanted: ContextVar[bool] = ContextVar("folding", default=True)
_copies: WeakKeyDictionary[nn.Module, dict[torch.dtype | None, tuple[tuple, Folded]]] = WeakKeyDictionary()


def for_inference(network: nn.Module, x: Tensor) -> nn.Module:
    """The network's folded copy where only inference runs (eval mode, no gradient), else the network itself.

    `x` is what the network is about to be given; its first row serves to watch and to compare. Weights changed through
    `.data` go unnoticed (PyTorch does not count such changes); change them under `torch.no_grad()`, or load a state
    dict.
    """
    if network.training or torch.is_grad_enabled() or not _wanted.get() or torch.compiler.is_compiling() or not len(x):
        return network
    autocast = torch.is_autocast_enabled(x.device.type)
    dtype = torch.get_autocast_dtype(x.device.type) if autocast else None
    copies = _copies.setdefault(network, {})
    state = _state(network)
    if dtype not in copies or copies[dtype][0] != state:
        copies[dtype] = state, fold(network, x, dtype)
    twin = copies[dtype][1].network
    return network if twin is None else twin


def folded_norms(network: nn.Module) -> dict[str, int]:
    """How many batch norms the copy of a network has folded, for a report; 0 before its first pass."""
    copies = [twin for _, twin in _copies.get(network, {}).values()] if _wanted.get() else []
    return {"folded": copies[-1].folded if copies else 0, "batch_norms": len(norms_of(network))}


@torch.no_grad()
def fold(network: nn.Module, x: Tensor, dtype: torch.dtype | None = None) -> Folded:
    """A copy in eval mode with its batch norms folded, and its convolutions in `dtype` for a pass under autocast.

    Folded are the norms that `foldable_pairs` finds; an activation inside a norm (timm's `BatchNormAct2d`) stays where
    it is, and "same" padding is left to the convolution (`same_padding.py`). A network without such norms, or whose
    copy would give other values, runs as it is.
    """
    twin = copy.deepcopy(network).eval().requires_grad_(False)
    count = len(norms_of(twin))
    row = x[:1].to(next((p.dtype for p in network.parameters()), x.dtype))
    with no_folding(), torch.autocast(x.device.type, enabled=False):
        pairs, expected = foldable_pairs(twin, lambda: twin(row))
        if not pairs:
            return Folded(None, 0, count)
        for convolution, norm in pairs:
            _fold(convolution, norm)
        remainders = {id(norm): _remainder(norm) for _, norm in pairs}
        paddings = {id(layer): SamePadding(layer) for layer, _ in pairs if pads_itself(layer)}
        _replace(twin, {**remainders, **paddings})
        if not _gives(twin, row, expected):
            return Folded(None, 0, count)
    for convolution, _ in pairs:
        # PyTorch's stubs know `memory_format` only alone.
        convolution.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Folded(twin, len(pairs), count)


def _remainder(norm: nn.BatchNorm2d) -> nn.Module:
    """What a norm does beside normalising: nothing, or timm's drop and activation."""
    rest = [
        m
        for m in (getattr(norm, "drop", None), getattr(norm, "act", None))
        if m is not None and not isinstance(m, nn.Identity)
    ]
    return rest[0] if len(rest) == 1 else nn.Sequential(*rest) if rest else nn.Identity()


def _replace(network: nn.Module, by_id: dict[int, nn.Module]) -> None:
    """Put other modules in the place of some, which are named by their `id`."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if id(child) in by_id:
                setattr(module, name, by_id[id(child)])


def _gives(twin: nn.Module, x: Tensor, expected: Any) -> bool:
    """Whether the copy gives the expected maps, up to rounding."""
    tolerance = TOLERANCE_TF32 if x.is_cuda else max(TOLERANCE, 8 * torch.finfo(x.dtype).eps)
    try:
        results = twin(x)
    except (AttributeError, TypeError, RuntimeError):  # its author reaches into a norm that is gone
        return False
    pairs = zip(*(([maps] if isinstance(maps, Tensor) else maps) for maps in (results, expected)), strict=True)
    return all(float((a - b).abs().max()) <= tolerance * float(b.abs().max()) for a, b in pairs)


@contextmanager
def no_folding() -> Iterator[None]:
    """Within, every pass runs through the network as it is; to measure what folding gains and changes."""
    token = _wanted.set(False)
    try:
        yield
    finally:
        _wanted.reset(token)


def _fold(convolution: Convolution, norm: nn.BatchNorm2d) -> None:
    """Give the convolution the norm's scale s and shift, see the equation above."""
    assert norm.running_mean is not None and norm.running_var is not None  # `norms_of` gives norms with statistics
    weight, groups = convolution.weight, convolution.groups
    scale = torch.rsqrt(norm.running_var + norm.eps) * (1 if norm.weight is None else norm.weight)  # (C_out,)
    shift = -norm.running_mean if convolution.bias is None else convolution.bias - norm.running_mean
    bias = scale * shift + (0 if norm.bias is None else norm.bias)
    if isinstance(convolution, nn.ConvTranspose2d):  # weight (C_in, C_out / groups, h, w), inputs group by group
        grouped = weight.unflatten(0, (groups, -1)) * scale.view(groups, 1, -1, 1, 1)
        folded = grouped.flatten(0, 1)
    else:  # (C_out, C_in / groups, h, w)
        folded = weight * scale.view(-1, 1, 1, 1)
    convolution.weight = nn.Parameter(folded.detach(), requires_grad=False)
    convolution.bias = nn.Parameter(bias.detach(), requires_grad=False)


def _state(network: nn.Module) -> tuple:
    """Changes with every change of a parameter or buffer that PyTorch counts."""
    tensors = (*network.parameters(), *network.buffers())
    return tuple((t.data_ptr(), 0 if t.is_inference() else t._version, t.dtype) for t in tensors)
