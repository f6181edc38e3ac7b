"""Where tensors are computed: one answer to "cpu", "cuda", "mps" and "auto"."""

from __future__ import annotations

import torch


def pick_device(name: str = "auto", argument: str = "device") -> str:
    """The torch device of this name, after a look whether this computer has it.

    Parameters
    ----------
    name : str, default "auto"
        "cpu", "cuda", "cuda:1" and the like, "mps", or "auto" for the best that is there (cuda, then mps, then cpu).
    argument : str
        What the error calls the setting, such as "--device".

    Raises
    ------
    ValueError : a device that this computer does not have.
    """
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if present[device])
    kind, _, index = name.partition(":")
    count = max(1, torch.cuda.device_count()) if kind == "cuda" else 1
    if not present.get(kind, False) or ((index or name.endswith(":")) and index not in map(str, range(count))):
        there = ", ".join(device for device, is_there in present.items() if is_there)
        raise ValueError(f"{argument} {name!r} is not there; this computer has {there}")
    return name
