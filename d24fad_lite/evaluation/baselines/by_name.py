"""Every method by its name: made, read from a file, or read from the teacher of another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from d24fad_lite.evaluation.baselines.detector import BaselineDetector
from d24fad_lite.evaluation.baselines.mean_feature_detector import MeanFeatureDetector
from d24fad_lite.evaluation.baselines.mirrored_patch_detector import MirroredPatchDetector
from d24fad_lite.evaluation.baselines.nearest_patch_detector import NearestPatchDetector
from d24fad_lite.evaluation.baselines.variants import self_distillation_only, teacher_student_only, untrained_twin
from d24fad_lite.messages import choose_one_of
from d24fad_lite.model.checkpoint import CheckpointError
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.storage import read_detector
from d24fad_lite.model.teacher import Teacher

BASELINES: Mapping[str, type[BaselineDetector]] = {
    one.method: one for one in (NearestPatchDetector, MirroredPatchDetector, MeanFeatureDetector)
}


@dataclass(frozen=True)
class NamedMethod:
    """A method as it is named on the command line and in the benchmark.

    Attributes
    ----------
    trained : bool
        Whether it is of use only after `fit`.
    settings : function of D24FADConfig
        What the method changes of the settings.
    """

    trained: bool = False
    settings: Callable[[D24FADConfig], D24FADConfig] = lambda config: config


NAMED_METHODS: Mapping[str, NamedMethod] = {
    "d24fad": NamedMethod(trained=True),
    "tsd-only": NamedMethod(trained=True, settings=teacher_student_only),
    "ssd-only": NamedMethod(trained=True, settings=self_distillation_only),
    "untrained": NamedMethod(),
    "matched": NamedMethod(settings=lambda config: config.read_as("matched")),
    "nearest-patch": NamedMethod(),
    "mirrored-patch": NamedMethod(),
    "mean-feature": NamedMethod(),
}


def named_method(name: str, argument: str = "method") -> NamedMethod:
    """The method of this name. Raises ValueError, which calls the setting `argument`, for any other."""
    if name not in NAMED_METHODS:
        raise ValueError(choose_one_of(argument, name, NAMED_METHODS))
    return NAMED_METHODS[name]


def create_detector(
    method: str,
    config: D24FADConfig | None = None,
    teacher: Teacher | None = None,
    *,
    levels: Sequence[int] | None = None,
) -> D24FAD | BaselineDetector:
    """A detector of the named method, as it is before any training.

    Parameters
    ----------
    method : str
        "d24fad", "tsd-only", "ssd-only" (to be trained with `fit`), "untrained", "matched", "nearest-patch",
        "mirrored-patch" or "mean-feature".
    config : D24FADConfig, optional
        Default: a ResNet-18 with the embedded weights at 128 px.
    teacher : Teacher, optional
        One that was built with these settings, to share it.
    levels : sequence of int, optional
        Of a baseline: positions among the teacher's levels, 0 the finest.

    Returns
    -------
    D24FAD, NearestPatchDetector, MirroredPatchDetector or MeanFeatureDetector

    Raises
    ------
    ValueError
        An unknown method, `levels` for a D24FAD, settings of which nothing can be built.
    """
    config = named_method(method).settings(config or D24FADConfig())
    if method in BASELINES:
        return BASELINES[method](config, teacher, levels)
    if levels is not None:
        raise ValueError(f"levels={levels!r} is for {', '.join(BASELINES)}; {method!r} compares in all levels")
    return D24FAD(config, teacher)


def load_detector(path: str | Path, teacher: nn.Module | None = None) -> D24FAD | BaselineDetector:
    """Read a detector of any method from the file in which its `save`, or `d24fad fit`, wrote it.

    Parameters
    ----------
    path : str or Path
    teacher : nn.Module, optional
        Only for a file that was built on a teacher module of your own.

    Returns
    -------
    D24FAD, NearestPatchDetector, MirroredPatchDetector or MeanFeatureDetector

    Raises
    ------
    FileNotFoundError, CheckpointError
        No file, no detector's file, or a method that this version does not know.
    """
    stored = read_detector(path)
    kinds: dict[str, Any] = {D24FAD.method: D24FAD, **BASELINES}
    if stored.method not in kinds:
        said = choose_one_of("method", stored.method, kinds)
        raise CheckpointError(f"{path}: {said}; was it written by a newer version?")
    return kinds[stored.method].from_stored(stored, teacher)


def as_method(detector: D24FAD | BaselineDetector, method: str, argument: str = "method") -> D24FAD | BaselineDetector:
    """The detector itself, or another method on its teacher and settings; nothing is trained.

    Parameters
    ----------
    detector : D24FAD or BaselineDetector
    method : str
        As in `create_detector`; "" for the detector as it is.
    argument : str
        What an error calls the setting.

    Raises
    ------
    ValueError
        An unknown method, or one that has to be trained and is not what the detector is.
    """
    if not method or method == detector.method:
        return detector
    named = named_method(method, argument)
    if named.trained and isinstance(detector, D24FAD) and named.settings(detector.config) == detector.config:
        return detector  # it was trained so
    if named.trained:
        raise ValueError(
            f"{argument} {method!r} is trained; the model at hand is {detector.method!r}, and its teacher alone does "
            f"not make one: d24fad fit --method {method} trains it"
        )
    if isinstance(detector, D24FAD):
        if method == "matched":
            return detector.read_as("matched")
        if method == "untrained":
            return untrained_twin(detector)
    device = detector.teacher.device
    return create_detector(method, detector.config, detector.teacher).to(device).eval()
