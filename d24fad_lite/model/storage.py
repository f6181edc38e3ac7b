"""A detector on disk: one self-contained safetensors file; and the checkpoints of the released code.

Read and written are plain parts (settings, tensors, facts of the teacher). The detector builds itself from them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import model_validator
from torch import Tensor, nn

from d24fad_lite.files import sha256_of
from d24fad_lite.model.checkpoint import (
    CheckpointError,
    bytes_of,
    read_tensors,
    read_torch_file,
    strip_module_prefix,
    unusable_numbers,
    write_tensors,
)
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.weights.source import WeightsSource
from d24fad_lite.schemas import Channels, Schema, checked

FORMAT = 1
OPTIONAL = re.compile(r"\.num_batches_tracked$|^proj_in\d+\.bias$")  # absent in old checkpoints, without effect
METHOD = "d24fad"  # of files that do not say whose they are
OWN_TEACHER = "module:"  # how the name of a teacher module of the user's own begins, see `D24FADConfig.to_dict`

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class TeacherFacts:
    """What a file says of the teacher that a detector was trained with.

    fingerprint : sha256 of its architecture, input treatment and weights, see `Teacher.fingerprint`.
    source, mean, std : where its weights came from, and their normalisation; None in files of version 0.1, whose
        normalisation is that of timm's name.
    architecture : what the network is built again from; None where timm's name says it all
    """

    fingerprint: str
    source: WeightsSource | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    architecture: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class StoredDetector:
    """The parts of a detector's file. `teacher_tensors` is empty where the package ships the teacher's weights.

    method : "d24fad", or the baseline that the file holds; options : settings of that baseline's own
    """

    path: Path
    settings: dict[str, Any]
    trained_tensors: Tensors
    teacher_tensors: Tensors
    teacher: TeacherFacts
    method: str = METHOD
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def own_teacher(self) -> str | None:
        """The class of a teacher module of the user's own, whose code no file holds; None for a timm name."""
        name = str(self.settings["teacher"])
        return name.removeprefix(OWN_TEACHER) if name.startswith(OWN_TEACHER) else None


class SourceFacts(Schema):
    """A `WeightsSource` in a file."""

    kind: str
    name: str
    sha256: str | None = None


class TeacherSetting(Schema):
    """The part of a configuration without which nothing can be built."""

    teacher: str


class ArchitectureFacts(Schema):
    """Which library builds the teacher's network; the rest is that library's, see `rebuilt_backbone`."""

    library: str


class DetectorFile(Schema):
    """The metadata of a detector's file."""

    config: TeacherSetting
    teacher: str
    method: str = METHOD
    options: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it for each file
    weights_source: SourceFacts | None = None
    mean: Channels | None = None
    std: Channels | None = None
    architecture: ArchitectureFacts | None = None

    @model_validator(mode="after")
    def _statistics(self) -> Self:
        if self.weights_source is not None and (self.mean is None or self.std is None):
            raise ValueError("mean and std of three channels beside weights_source")
        return self

    @model_validator(mode="after")
    def _method_with_its_options(self) -> Self:
        if ("method" in self.model_fields_set) != ("options" in self.model_fields_set):
            raise ValueError("method and options together, or neither, as in files of before there were methods")
        return self


def write_detector(
    path: str | Path,
    settings: Mapping[str, Any],
    tensors: Tensors,
    teacher: TeacherFacts,
    metadata: Mapping[str, Any],
    *,
    method: str = METHOD,
    options: Mapping[str, Any] | None = None,
) -> Path:
    """Write the parts of a detector as one safetensors file, whole or not at all.

    Parameters
    ----------
    settings : of the configuration, as `D24FADConfig.to_dict` gives them
    tensors : the detector's state dict; `teacher.*` is left out where the package ships these weights
    teacher : facts by which the same teacher is known again
    metadata : further facts of the caller's, fit for JSON; none of them replaces a fact of the kit's
    method, options : whose file it is, and settings of that method's own
    """
    if settings["weights"] == "embedded" and not str(settings["teacher"]).startswith(OWN_TEACHER):
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("teacher.")}
    facts = {
        "format": FORMAT,
        "method": method,
        "options": dict(options or {}),
        "config": dict(settings),
        "teacher": teacher.fingerprint,
        "weights_source": teacher.source.to_dict() if teacher.source else None,
        "mean": teacher.mean,
        "std": teacher.std,
    }
    if teacher.architecture is not None:
        facts["architecture"] = dict(teacher.architecture)
    return write_tensors(path, tensors, {**metadata, **facts})


def read_detector(path: str | Path, method: str | None = None) -> StoredDetector:
    """The parts of a file of `write_detector`; where a method is named, of a detector of this method alone.

    Raises
    ------
    FileNotFoundError : no such file.
    CheckpointError : not a detector's file, of another format, or of another method.
    """
    tensors, facts = read_tensors(path)
    if "config" not in facts or facts.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a detector of format {FORMAT}; it holds {sorted(facts)}")
    stored = checked(DetectorFile, facts, path, "give a file that D24FAD.save wrote", CheckpointError)
    if method not in (None, stored.method):
        raise CheckpointError(
            f"{path} holds a detector of the method {stored.method!r}, expected {method!r}; d2.load_detector reads both"
        )
    teacher = TeacherFacts(stored.teacher)
    if (source := stored.weights_source) is not None:
        teacher = TeacherFacts(
            stored.teacher,
            WeightsSource(source.kind, source.name, source.sha256),
            stored.mean,
            stored.std,
            facts.get("architecture"),
        )
    return StoredDetector(
        Path(path),
        dict(facts["config"]),
        {name: tensor for name, tensor in tensors.items() if not name.startswith("teacher.")},
        part_of(tensors, "teacher"),
        teacher,
        stored.method,
        stored.options,
    )


def require_options(stored: StoredDetector, known: Collection[str] = ()) -> None:
    """CheckpointError unless the options of a stored detector are among those that its method has."""
    if unknown := sorted(stored.options.keys() - set(known)):
        raise CheckpointError(
            f"{stored.path} holds options {unknown} that a detector of {stored.method!r} does not have; was it "
            "written by a newer version?"
        )


def config_of(stored: StoredDetector, teacher: nn.Module | None) -> D24FADConfig:
    """The settings of a stored detector, with the given teacher where the file has none of its own.

    A file decides neither what is opened nor what is downloaded: what it does not hold is asked for.
    """
    path, settings = stored.path, dict(stored.settings)
    name, weights = str(settings["teacher"]), settings.get("weights", D24FADConfig.weights)
    if stored.own_teacher is not None and teacher is None:
        raise CheckpointError(
            f"{path} was built on a teacher of your own ({stored.own_teacher}); give it again: "
            f"D24FAD.load(path, teacher={stored.own_teacher}(...))"
        )
    described = bool(stored.teacher_tensors) and stored.teacher.architecture is not None
    held = bool(stored.teacher_tensors) or weights == "embedded"
    if teacher is None and not described and (not held or not re.fullmatch(r"[\w.-]+", name)):
        raise CheckpointError(
            f"{path} does not hold its teacher but names one ({name!r}, weights {weights!r}), and nothing is opened or "
            "downloaded because a file says so; give it as an argument: D24FAD.load(path, teacher=Teacher(...))"
        )
    if stored.own_teacher is not None:
        settings["teacher"] = teacher
    try:
        return D24FADConfig.from_dict(settings)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path} holds settings that are not possible ({error}); give another file") from error


@contextmanager
def possible_settings(path: Path) -> Iterator[None]:
    """Within, a ValueError of settings of which nothing can be built becomes a CheckpointError that names the file."""
    try:
        yield
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{path} holds settings that are not possible ({error}); give another file") from error


def fingerprint_of(settings: Mapping[str, Any], teacher: str, tensors: Tensors) -> str:
    """sha256 over a detector's settings, its teacher's fingerprint and its tensors."""
    parts: list[str | memoryview] = [json.dumps(dict(settings), sort_keys=True), teacher]
    for name, tensor in sorted(tensors.items()):
        parts += [name, bytes_of(tensor)]
    return sha256_of(*parts)


def read_official(path: str | Path) -> tuple[Tensors, Tensors]:
    """The student's and learn-to-weight's tensors of a file of the released code, `{'decoder': .., 'weight': ..}`.

    Names may begin with `module.`, as after data-parallel training. Raises CheckpointError for any other file.
    """
    loaded = read_torch_file(path)
    if not isinstance(loaded, dict) or not {"decoder", "weight"} <= set(loaded):
        entries = sorted(map(str, loaded)) if isinstance(loaded, dict) else type(loaded).__name__
        raise CheckpointError(
            f"{path} is not a checkpoint of the released code: expected the entries 'decoder' and "
            f"'weight', found {entries}"
        )
    return strip_module_prefix(loaded["decoder"], path), strip_module_prefix(loaded["weight"], path)


def part_of(tensors: Mapping[str, Tensor], part: str) -> Tensors:
    """The tensors whose names begin with `part.`, without this beginning."""
    start = f"{part}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


class Load(NamedTuple):
    """Tensors for a module, and what an error calls the place they are from."""

    module: nn.Module
    tensors: Tensors
    origin: str


def load_all(parts: Iterable[Load]) -> None:
    """Load every part or, where one does not fit its module, none of them. Raises CheckpointError for such a part."""
    parts = list(parts)
    for part in parts:
        _require_fit(part)
    for part in parts:
        part.module.load_state_dict(part.tensors, strict=False)


def _require_fit(part: Load) -> None:
    """Raise CheckpointError where tensors are missing, unknown or of another shape."""
    module, tensors, origin = part
    expected = module.state_dict()
    missing = [n for n in expected if n not in tensors and not OPTIONAL.search(n)]
    unknown = [n for n in tensors if n not in expected]
    shapes = [n for n in tensors if n in expected and tensors[n].shape != expected[n].shape]
    if missing or unknown or shapes:
        first = (missing + unknown + shapes)[0]
        stored = tuple(tensors[first].shape) if first in tensors else "nothing"
        wanted = tuple(expected[first].shape) if first in expected else "nothing"
        raise CheckpointError(
            f"{origin} belongs to another architecture than {type(module).__name__}: {len(missing)} tensors missing, "
            f"{len(unknown)} unknown, {len(shapes)} of another shape (first: {first}, found {stored}, expected "
            f"{wanted}); build the model with the teacher that the checkpoint was trained with"
        )
    if wrong := unusable_numbers(tensors, expected):
        raise CheckpointError(f"{origin} cannot be used: {wrong}; train it again, or take it from a copy")
