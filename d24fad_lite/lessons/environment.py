"""What a notebook's set-up cell settles and prints: seeds, the look of plots, and one line on versions and machine."""

from __future__ import annotations

import platform
import random
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from d24fad_lite.lessons.profiles import weights_origin

if TYPE_CHECKING:
    from d24fad_lite.lessons.profiles import Profile

OWN = "d24fad-lite"
SHOWN_VERSIONS = (("d24fad_lite", OWN), ("torch", "torch"), ("timm", "timm"))  # as printed, as distributed


def set_seed(seed: int) -> None:
    """Seed random, numpy and torch (all devices)."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the global state is meant: a reader's own np.random.rand() repeats too
    torch.manual_seed(seed)


def set_plot_style() -> None:
    """The series' look, where matplotlib is installed: a check of the set-up must also start without it."""
    try:
        from d24fad_lite.figures.style import use_style

        use_style()
    except ImportError:
        pass


def environment_line(profile: Profile, device: str, seed: int, data_kind: str) -> str:
    """Versions, device, profile, teacher, seed and kind of data; no path, so it may be stored in a notebook."""
    import torch

    threads = torch.get_num_threads()
    shown_device = f"cpu, {threads} thread{'s' * (threads > 1)}" if device == "cpu" else device
    return " · ".join(
        [
            *(f"{label} {package_version(distribution)}" for label, distribution in SHOWN_VERSIONS),
            f"Python {platform.python_version()}",
            shown_device,
            f"profile {profile.name}",
            f"teacher {profile.teacher} ({weights_origin(profile)})",
            f"seed {seed}",
            data_kind,
        ]
    )


def package_version(distribution: str) -> str:
    """Version of an installed distribution, else "not installed"; the kit has one also where it is only on the path."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        # The front door is a floor above this one, so it is not imported; whoever runs this has opened it before.
        own = getattr(sys.modules["d24fad_lite"], "__version__", None) if distribution == OWN else None
        return own or "not installed"
