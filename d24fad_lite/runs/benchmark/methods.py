"""The methods of the benchmark by name: each builds the scorers whose rows stand in the table.

A method of your own needs no change here: `package.module:function` names a function that takes a `Setting` and returns
a scorer, or a dict of scorers by the name of their row.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d24fad_lite.messages import choose_one_of
from d24fad_lite.model.config import READINGS, D24FADConfig

if TYPE_CHECKING:
    from d24fad_lite.data.benchmark import Benchmark, Task
    from d24fad_lite.evaluation.scorer import Scorer
    from d24fad_lite.lessons.lesson_detectors import LessonDetectors
    from d24fad_lite.model.detector import D24FAD

SHORTCUTS = "shortcuts"  # statistics, not scorers: the table never leaves them out


@dataclass(frozen=True)
class Setting:
    """What a method is built from in one cell of the benchmark.

    Attributes
    ----------
    detectors : LessonDetectors
        `.detector(bench, task, ...)` trains, `.untrained()` does not, `.shared_teacher(model)` encodes images once.
    bench : Benchmark
        All tasks, that under test among them.
    task : Task
        The one under test, which training never sees.
    train_shots : int
        Supports per query in training.
    readings : tuple of str
        How a detector is read, those of `READINGS` that read its student.
    """

    detectors: LessonDetectors
    bench: Benchmark
    task: Task
    train_shots: int
    readings: tuple[str, ...]


@dataclass(frozen=True)
class Method:
    """A method of the benchmark.

    Attributes
    ----------
    name : str
    about : str
        What it is, in one line.
    build : function of Setting, returns a dict of Scorer by the name of its row
    trained : bool
        Whether it is trained, anew for each seed.
    seeded : bool
        Whether the training seed changes it; what it does not change is computed once.
    source : str
        Content of the file that a method of one's own comes from.
    """

    name: str
    about: str
    build: Callable[[Setting], dict[str, Scorer]]
    trained: bool = False
    seeded: bool = False
    source: str = ""


def method(name: str) -> Method:
    """The method of this name, or of this import path. Raises ValueError for what is neither."""
    if ":" in name:
        return _own(name)
    if name not in METHODS:
        raise ValueError(choose_one_of("method", name, METHODS) + ", or PACKAGE.MODULE:FUNCTION for one of your own")
    return METHODS[name]


def student_readings() -> tuple[str, ...]:
    """The named readings in which the student has a say; of the others training changes nothing."""
    configs = {name: D24FADConfig(**D24FADConfig.reading(name)) for name in READINGS}
    return tuple(name for name, c in configs.items() if (c.compare_in, c.matching) != ("teacher", "nearest"))


def _readings(setting: Setting, model: D24FAD, which: str) -> dict[str, Scorer]:
    from d24fad_lite.evaluation.baselines.variants import DetectorVariant

    memory = setting.detectors.shared_teacher(model)
    names = {reading: f"{reading}, {which}" for reading in setting.readings}
    return {name: DetectorVariant(model, name, teacher=memory, reading=reading) for reading, name in names.items()}


def _trained(setting: Setting) -> dict[str, Scorer]:
    model, _ = setting.detectors.detector(setting.bench, setting.task, shots=setting.train_shots)
    return _readings(setting, model, "trained")


def _untrained(setting: Setting) -> dict[str, Scorer]:
    return _readings(setting, setting.detectors.untrained(), "untrained")


def _one_residual(setting: Setting, name: str, lambda_tsd: float, lambda_ssd: float, map_source: str) -> dict:
    """Trained with one of the two losses alone, and read by its residual alone."""
    from d24fad_lite.evaluation.baselines.variants import DetectorVariant

    model, _ = setting.detectors.detector(
        setting.bench, setting.task, shots=setting.train_shots, lambda_tsd=lambda_tsd, lambda_ssd=lambda_ssd
    )
    memory = setting.detectors.shared_teacher(model)
    return {name: DetectorVariant(model, name, teacher=memory, reading="released", map_source=map_source)}


def _matched(setting: Setting) -> dict[str, Scorer]:
    from d24fad_lite.evaluation.baselines.variants import DetectorVariant

    model = setting.detectors.untrained()
    memory = setting.detectors.shared_teacher(model)
    return {"matched": DetectorVariant(model, "matched", teacher=memory, reading="matched")}


def _nearest_patch(setting: Setting) -> dict[str, Scorer]:
    from d24fad_lite.evaluation.baselines.nearest_patch import NearestPatch

    memory = setting.detectors.shared_teacher(setting.detectors.untrained())
    kinds = ("max", "mean")  # two scores of one map
    return {f"nearest patch, {kind}": NearestPatch(memory, image_score=kind, maps=kind == "max") for kind in kinds}


def _mirrored_patch(setting: Setting) -> dict[str, Scorer]:
    from d24fad_lite.evaluation.baselines.mirrored_patch_detector import MirroredPatchDetector

    model = setting.detectors.untrained()
    return {"mirrored patch": MirroredPatchDetector(model.config, model.teacher).scorer()}


def _mean_feature(setting: Setting) -> dict[str, Scorer]:
    from d24fad_lite.evaluation.baselines.mean_feature import MeanFeature

    return {"mean feature": MeanFeature(setting.detectors.shared_teacher(setting.detectors.untrained()))}


def _no_scorer(setting: Setting) -> dict[str, Scorer]:
    return {}


def _all() -> Mapping[str, Method]:
    tsd = partial(_one_residual, name="TSD only", lambda_tsd=1.0, lambda_ssd=0.0, map_source="tsd")
    ssd = partial(_one_residual, name="SSD only", lambda_tsd=0.0, lambda_ssd=1.0, map_source="ssd")
    each = [
        Method("matched", "the detector read in the teacher's features, nothing trained", _matched),
        Method("d24fad", "the trained detector, in each reading of its student", _trained, True, True),
        Method("untrained", "its twin before any training", _untrained, False, True),
        Method("tsd-only", "trained and read by teacher-student distillation alone", tsd, True, True),
        Method("ssd-only", "trained and read by self-distillation alone", ssd, True, True),
        Method("nearest-patch", "the largest and the mean distance to the supports' nearest patch", _nearest_patch),
        Method("mirrored-patch", "nearest patch with mirror images of the supports and the query", _mirrored_patch),
        Method("mean-feature", "distance to the supports' mean feature", _mean_feature),
        Method(SHORTCUTS, "the best of many trivial statistics, chosen on the test labels", _no_scorer),
    ]
    return {one.name: one for one in each}


METHODS: Mapping[str, Method] = _all()


def _own(address: str) -> Method:
    """A method of the user's own; its module is looked for in the working directory too. Raises ValueError."""
    module_name, _, function_name = address.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        function = getattr(importlib.import_module(module_name), function_name)
        source = Path(inspect.getsourcefile(sys.modules[module_name]) or "").read_text(encoding="utf-8")
    except Exception as error:  # whatever the user's code raises is the user's to read
        raise ValueError(
            f"method {address!r} failed with {type(error).__name__}: {error}; it is looked for in the working "
            "directory and among the installed packages"
        ) from error
    return Method(address, f"{function_name} of {module_name}", partial(_built, function, address), source=source)


def _built(function: Callable[[Setting], Any], address: str, setting: Setting) -> dict[str, Scorer]:
    from d24fad_lite.evaluation.scorer import Scorer

    built = function(setting)
    scorers = {built.name: built} if isinstance(built, Scorer) else built
    if not isinstance(scorers, dict) or not scorers or not all(isinstance(one, Scorer) for one in scorers.values()):
        raise ValueError(f"method {address!r} must return a scorer or a dict of scorers, got {type(built).__name__}")
    return scorers
