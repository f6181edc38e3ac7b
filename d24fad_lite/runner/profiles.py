"""One switch for notebooks, papermill, nbval and tests: how large a run is.

The profile is the parameter `profile`, else the environment variable D24FAD_PROFILE, else "quick".
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from d24fad_lite.messages import did_you_mean

PROFILE_VARIABLE = "D24FAD_PROFILE"
DATA_VARIABLE = "D24FAD_DATA"
DEVICE_VARIABLE = "D24FAD_DEVICE"


@dataclass(frozen=True)
class Profile:
    """The size of a run. Every figure a notebook needs and a reader may want to change.

    name: "quick", "standard" or "full".
    teacher, weights, lambda_tsd, lambda_ssd: as in `D24FADConfig`.
    reading: how detectors are read, one of `READINGS`.
    image_size: side of the square images in pixels.
    epochs, batch_size, lr, lr_schedule, episodes, precision: as in `fit`.
    styled_tasks: procedural training tasks beside the given ones, see `data/styles.py`; 0: none.
    train_shots: supports per query in training; 0: train anew for every K that is evaluated.
    shots: the numbers of supports K that are evaluated.
    draws: support draws per evaluation.
    seeds: training seeds.
    device: "cpu", or "auto" for the best device of the machine.
    timeout: seconds one notebook may take in an unattended run.
    jobs: notebooks that run side by side in an unattended run (1 where they would share a GPU).
    """

    name: str
    teacher: str
    weights: str
    image_size: int
    lambda_tsd: float
    lambda_ssd: float
    reading: str
    epochs: int
    batch_size: int
    lr: float
    lr_schedule: str
    styled_tasks: int
    train_shots: int
    shots: tuple[int, ...]
    draws: int
    seeds: tuple[int, ...]
    episodes: str
    precision: str
    device: str
    timeout: int
    jobs: int

    def to_dict(self) -> dict[str, object]:
        """Plain types only, for metrics.json and summary.json."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


# The one table of figures. quick's teacher is the best that needs no download, see `settled`; its student is really
# trained, once for each held-out task (`detectors.py`), with a rate and lambdas of its own. full is the published way.
PROFILES: Mapping[str, Profile] = {
    "quick": Profile(
        name="quick", teacher="tf_efficientnet_lite0", weights="imagenet", image_size=128, lambda_tsd=1.0,
        lambda_ssd=0.1, reading="released", epochs=30, batch_size=16, lr=5e-3, lr_schedule="cosine", styled_tasks=0,
        train_shots=4, shots=(2, 4, 8), draws=5, seeds=(0,), episodes="in-batch", precision="fp32", device="cpu",
        timeout=600, jobs=2,
    ),
    "standard": Profile(
        name="standard", teacher="resnet18", weights="imagenet", image_size=128, lambda_tsd=0.1, lambda_ssd=1.0,
        reading="released", epochs=20, batch_size=16, lr=1e-4, lr_schedule="constant", styled_tasks=0,
        train_shots=4, shots=(2, 4, 8), draws=10, seeds=(0,), episodes="independent", precision="fp32", device="auto",
        timeout=4 * 3600, jobs=1,
    ),
    "full": Profile(
        name="full", teacher="wide_resnet50_2", weights="imagenet", image_size=128, lambda_tsd=0.1, lambda_ssd=1.0,
        reading="released", epochs=70, batch_size=16, lr=1e-4, lr_schedule="constant", styled_tasks=0,
        train_shots=0, shots=(2, 4, 8), draws=10, seeds=(0, 1, 2), episodes="independent", precision="fp32",
        device="auto", timeout=72 * 3600, jobs=1,
    ),
}  # fmt: skip


def resolve_profile(value: str = "") -> Profile:
    """The profile named by `value`, else by D24FAD_PROFILE, else "quick".

    Raises ValueError for a name that is no profile; the message says which of the two places it came from.
    """
    if not isinstance(value, str):
        raise ValueError(f"profile must be a text, one of {', '.join(PROFILES)}, not {value!r}")
    name = value.strip() or os.environ.get(PROFILE_VARIABLE, "").strip() or "quick"
    if name in PROFILES:
        return PROFILES[name]
    origin = "parameter profile" if value.strip() else f"environment variable {PROFILE_VARIABLE}"
    raise ValueError(f"{origin}: unknown profile {name!r}{did_you_mean(name, PROFILES)}; use {', '.join(PROFILES)}")


def settled(profile: Profile, given: Mapping[str, Any] | None = None) -> tuple[Profile, str | None]:
    """The profile with what a notebook's parameters say in its place, and a notice for the reader, or None.

    given : of teacher, weights, reading (texts), epochs, lr (numbers) those that are declared; "" and 0 stand for the
        profile's own. Another teacher has ImageNet weights unless `weights` says otherwise.

    quick never downloads: where its teacher's weights are not on this computer, it takes the embedded teacher, and the
    notice says so. Raises ValueError for an unknown teacher or reading, and for a number out of range.
    """
    from d24fad_lite.model.config import D24FADConfig
    from d24fad_lite.model.weights.hub import timm_config
    from d24fad_lite.model.weights.local import EMBEDDED_TEACHER, best_local_teacher

    values = {name: value.strip() if isinstance(value, str) else value for name, value in (given or {}).items()}
    teacher, weights, notice = values.get("teacher", ""), values.get("weights", ""), None
    if teacher:
        timm_config(teacher)  # says what is wrong with the name
    if reading := values.get("reading", ""):
        D24FADConfig.reading(reading)
    for name in ("epochs", "lr"):
        if not 0 <= values.get(name, 0) < math.inf:
            raise ValueError(f"parameter {name!r} must be above 0, or 0 for the profile's, got {values[name]!r}")
    if profile.name == "quick" and not teacher and not weights:
        teacher, weights, notice = best_local_teacher()
    elif teacher and not weights:
        weights = profile.weights if teacher == profile.teacher else "imagenet"
    elif weights == "embedded" and not teacher:
        teacher = EMBEDDED_TEACHER
    changes = {"teacher": teacher, "weights": weights} | {n: values.get(n) for n in ("reading", "epochs", "lr")}
    return replace(profile, **{name: value for name, value in changes.items() if value}), notice


def weights_origin(profile: Profile) -> str:
    """Where the teacher's weights come from, in a few words and without a path."""
    from d24fad_lite.model.weights.local import weights_available

    if profile.weights != "imagenet":
        return profile.weights if profile.weights in ("embedded", "random") else Path(profile.weights).name
    source = weights_available(profile.teacher)
    return f"imagenet, {source.kind} {source.name}" if source else "imagenet, to be downloaded"


def named_data(profile: Profile, root: str = "") -> Path | None:
    """The folder of tasks that was asked for: parameter `root`, else (not in quick) D24FAD_DATA, else None.

    quick ignores D24FAD_DATA on purpose: its numbers are stored and checked, so they must not depend on the machine.
    Raises FileNotFoundError when the folder does not exist.
    """
    given = root.strip()
    if not given and profile.name != "quick":
        given = os.environ.get(DATA_VARIABLE, "").strip()
    if not given:
        return None
    path = Path(given).expanduser()
    if not path.is_dir():
        raise FileNotFoundError(
            f"data root {given!r} is not a folder; pass root=<folder of tasks>, or leave it empty for the samples"
        )
    return path


def resolve_data(profile: Profile, root: str = "") -> Path:
    """The folder of tasks a run reads: `named_data`, else the sample world (generated where the folder is absent)."""
    named = named_data(profile, root)
    if named is not None:
        return named
    from d24fad_lite.data.samples.world import samples_root

    return samples_root()


def resolve_device(profile: Profile) -> str:
    """The device, "cpu", "cuda" or "mps": D24FAD_DEVICE, else the profile's ("auto" = the best one present)."""
    wanted = os.environ.get(DEVICE_VARIABLE, "").strip() or profile.device
    if wanted != "auto":
        return wanted
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
