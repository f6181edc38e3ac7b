"""Convolutions in bfloat16, and whether this computer gains anything by it."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from d24fad_lite.messages import choose_one_of

PRECISIONS = ("fp32", "bf16")


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

    Raises
    ------
    ValueError : a name that is neither "fp32" nor "bf16".
    """
    if precision not in PRECISIONS:
        raise ValueError(choose_one_of("precision", precision, PRECISIONS))
    if precision == "bf16" and device.type == "cpu" and _without_avx512():
        warnings.warn(
            "precision='bf16': this processor has no AVX-512, where bf16 is slower than fp32 and less exact; "
            "going on in fp32. Pass precision='fp32', or use another processor or a GPU",
            stacklevel=3,
        )
        return "fp32"
    return precision


def _without_avx512() -> bool:
    """Whether this is an x86 processor without AVX-512."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return x86 and torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "NO AVX", "AVX", "AVX2")
