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

from d24fad_lite.files import plain
from d24fad_lite.messages import did_you_mean
from d24fad_lite.training.settings import FitSettings

PROFILE_VARIABLE = "D24FAD_PROFILE"
DATA_VARIABLE = "D24FAD_DATA"
DEVICE_VARIABLE = "D24FAD_DEVICE"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The size of a run: every figure that a notebook needs and a reader may want to change.

    Parameters
    ----------
    name : {"quick", "standard", "full"}
    teacher, weights : str
        As in `D24FADConfig`.
    image_size : int, default 128
        Side of the square images in pixels.
    lambda_tsd, lambda_ssd : float, default 0.1 and 1.0
        Weights of the two losses, as in `D24FADConfig`.
    reading : str, default "released"
        How detectors are read, one of `READINGS`.
    epochs, batch_size, lr, lr_schedule, episodes, precision
        As in `FitSettings`, with its defaults.
    styled_tasks : int, default 0
        Procedural training tasks beside the given ones, see `data/styles.py`; 0: none.
    train_shots : int, default as `FitSettings.shots`
        Supports per query in training; 0: train anew for every K that is evaluated.
    shots : tuple of int, default (2, 4, 8)
        The numbers of supports K that are evaluated.
    draws : int, default 10
        Support draws per evaluation.
    seeds : tuple of int, default (0,)
        Training seeds.
    device : {"auto", "cpu"}, default "auto"
        "auto" is the best device of the computer.
    timeout : int
        Seconds without progress after which an unattended run stops a notebook.
    jobs : int, default 1
        Notebooks that run side by side in an unattended run; 1 where they would share a GPU.
    """

    name: str
    teacher: str
    weights: str = "imagenet"
    image_size: int = 128
    lambda_tsd: float = 0.1
    lambda_ssd: float = 1.0
    reading: str = "released"
    epochs: int = FitSettings.epochs
    batch_size: int = FitSettings.batch_size
    lr: float = FitSettings.lr
    lr_schedule: str = FitSettings.lr_schedule
    styled_tasks: int = 0
    train_shots: int = FitSettings.shots
    shots: tuple[int, ...] = (2, 4, 8)
    draws: int = 10
    seeds: tuple[int, ...] = (0,)
    episodes: str = FitSettings.episodes
    precision: str = FitSettings.precision
    device: str = "auto"
    timeout: int
    jobs: int = 1

    def to_dict(self) -> dict[str, object]:
        """Plain types only, for metrics.json and summary.json."""
        return plain(asdict(self))


# What is not said here is as in `Profile`: the published method. The teacher of quick is the best that needs no
# download, see `settled`. Its student is really trained, once for each task that is held out (`detectors.py`), with a
# learning rate and weights of the losses of its own.
QUICK = Profile(
    name="quick",
    teacher="tf_efficientnet_lite0",
    lambda_tsd=1.0,
    lambda_ssd=0.1,
    epochs=30,
    lr=5e-3,
    lr_schedule="cosine",
    draws=5,
    episodes="in-batch",
    device="cpu",
    timeout=600,
    jobs=2,
)
STANDARD = Profile(name="standard", teacher="resnet18", epochs=20, timeout=4 * 3600)
FULL = Profile(name="full", teacher="wide_resnet50_2", epochs=70, train_shots=0, seeds=(0, 1, 2), timeout=72 * 3600)
PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in (QUICK, STANDARD, FULL)}


def resolve_profile(value: str = "") -> Profile:
    """The profile named by `value`, else by D24FAD_PROFILE, else "quick".

    Raises ValueError for a name that is no profile; the message says whether the parameter or the variable holds it.
    """
    if not isinstance(value, str):
        raise ValueError(f"profile must be a text, one of {', '.join(PROFILES)}, not {value!r}")
    name = value.strip() or os.environ.get(PROFILE_VARIABLE, "").strip() or "quick"
    if name in PROFILES:
        return PROFILES[name]
    origin = "parameter profile" if value.strip() else f"environment variable {PROFILE_VARIABLE}"
    raise ValueError(f"{origin}: unknown profile {name!r}{did_you_mean(name, PROFILES)}; use {', '.join(PROFILES)}")


def settled(profile: Profile, parameters: Mapping[str, Any] | None = None) -> tuple[Profile, str | None]:
    """The profile with a notebook's parameters in the place of its own figures, and a notice for the reader, or None.

    quick never downloads: where the weights of its teacher are not on this computer, it takes the embedded teacher,
    and the notice says so.

    Parameters
    ----------
    profile : Profile
    parameters : mapping, optional
        Those of teacher, weights, reading (texts), epochs, lr (numbers) that the notebook declares; "" and 0 stand for
        the profile's own. Another teacher has ImageNet weights unless `weights` says otherwise.

    Raises
    ------
    ValueError
        An unknown teacher or reading, or a number out of range.
    """
    from d24fad_lite.model.config import D24FADConfig
    from d24fad_lite.model.weights.hub import timm_config
    from d24fad_lite.model.weights.local import EMBEDDED_TEACHER, best_local_teacher

    values: dict[str, Any] = {
        name: value.strip() if isinstance(value, str) else value for name, value in (parameters or {}).items()
    }
    teacher, weights, notice = values.get("teacher", ""), values.get("weights", ""), None
    of_transformers = teacher.startswith("hf:")
    if teacher and not of_transformers:
        timm_config(teacher)  # says what is wrong with the name
    if reading := values.get("reading", ""):
        D24FADConfig.reading(reading)
    for name in ("epochs", "lr"):
        if not 0 <= values.get(name, 0) < math.inf:
            raise ValueError(f"parameter {name!r} must be above 0, or 0 for the profile's, got {values[name]!r}")
    if profile.name == "quick" and not teacher and not weights:
        teacher, weights, notice = best_local_teacher()
    elif teacher and not weights:
        weights = profile.weights if teacher == profile.teacher else "local" if of_transformers else "imagenet"
    elif weights == "embedded" and not teacher:
        teacher = EMBEDDED_TEACHER
    changes = {"teacher": teacher, "weights": weights} | {n: values.get(n) for n in ("reading", "epochs", "lr")}
    return replace(profile, **{name: value for name, value in changes.items() if value}), notice


def weights_origin(profile: Profile) -> str:
    """Where the teacher's weights come from, in a few words and without a path."""
    from d24fad_lite.model.weights.local import weights_available

    if profile.weights != "imagenet":
        return profile.weights if profile.weights in ("embedded", "random", "local") else Path(profile.weights).name
    source = weights_available(profile.teacher)
    return f"imagenet, {source.kind} {source.name}" if source else "imagenet, to be downloaded"


def named_data(profile: Profile, root: str = "") -> Path | None:
    """The folder of tasks that was asked for: parameter `root`, else (not in quick) D24FAD_DATA, else None.

    quick ignores D24FAD_DATA on purpose: its numbers are stored and checked, so they must not depend on the machine.
    Raises FileNotFoundError when the folder does not exist.
    """
    wanted = root.strip()
    if not wanted and profile.name != "quick":
        wanted = os.environ.get(DATA_VARIABLE, "").strip()
    if not wanted:
        return None
    path = Path(wanted).expanduser()
    if not path.is_dir():
        raise FileNotFoundError(
            f"data root {wanted!r} is not a folder; pass root=<folder of tasks>, or leave it empty for the samples"
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
    """The device of a run: D24FAD_DEVICE, else the profile's ("auto" = the best one of this computer).

    Raises ValueError for a device that this computer does not have; the message says where its name came from.
    """
    from d24fad_lite.model.device import pick_device

    if wanted := os.environ.get(DEVICE_VARIABLE, "").strip():
        return pick_device(wanted, f"environment variable {DEVICE_VARIABLE}")
    return pick_device(profile.device, f"device of profile {profile.name}")
