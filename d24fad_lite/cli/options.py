"""Options that several commands share, and what they are turned into."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from d24fad_lite.messages import choose_one_of

if TYPE_CHECKING:
    from torch import nn

    from d24fad_lite.evaluation.baselines.detector import BaselineDetector
    from d24fad_lite.model.config import D24FADConfig
    from d24fad_lite.model.detector import D24FAD

Data = Annotated[
    Path,
    typer.Option(
        "--data", metavar="ROOT", help="Folder of tasks: ROOT/TASK/train/good, ROOT/TASK/test/good, ROOT/TASK/test/bad."
    ),
]
TEACHER_HELP = "A timm model with feature maps, or hf:FOLDER or hf:ORG/NAME of an encoder in transformers' format."
TeacherName = Annotated[str, typer.Option("--teacher", metavar="NAME", help=TEACHER_HELP)]
Weights = Annotated[
    str,
    typer.Option(
        "--weights",
        metavar="SOURCE",
        help="embedded (shipped), imagenet (local, else downloaded), local, random, local-dir:FOLDER, or the path of a "
        "checkpoint. Of hf: local, download or random.",
    ),
]
ImageSize = Annotated[int, typer.Option("--image-size", metavar="PX", help="Side of the square images in pixels.")]
TeacherModule = Annotated[
    str,
    typer.Option(
        "--teacher-module",
        metavar="PACKAGE.MODULE:FUNCTION",
        show_default=False,
        help="A teacher of your own: a function of yours without arguments that returns an nn.Module, which maps "
        "images [N, 3, S, S] to a list of feature maps, fine to coarse. Imports and runs that code.",
    ),
]
Reading = Annotated[
    str,
    typer.Option(
        "--reading",
        metavar="NAME",
        help="How the detector's map is made and scored: released, paper or matched.  [default: as it was saved]",
    ),
]
Method = Annotated[
    str,
    typer.Option(
        "--method",
        metavar="NAME",
        help="Another method on the model's teacher: nearest-patch, mirrored-patch, mean-feature, matched or "
        "untrained.  [default: the model's own]",
    ),
]
Device = Annotated[
    str, typer.Option("--device", metavar="NAME", help="auto (the best there is), cpu, cuda, cuda:1 or mps.")
]


def require_writable(folder: Path, option: str = "--out") -> None:
    """Refuse a folder that cannot be written, or made: better now than after an hour of work. Raises OSError.

    Nothing is made: a command that refuses something else after this leaves no empty folder behind. What is tried is
    the folder or, where there is none yet, the nearest one above it.
    """
    place = folder.absolute()
    try:
        while not place.exists() and not place.is_symlink():
            place = place.parent
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise OSError(
            f"cannot write into {option} {folder}: {error.strerror or error}; choose a folder that can be written"
        ) from error


def import_teacher(address: str) -> nn.Module:
    """Import PACKAGE.MODULE (also from the working directory), call FUNCTION, return its module. Raises ValueError."""
    from torch import nn

    module_name, sign, function = address.partition(":")
    if not sign or not module_name or not function:
        raise ValueError(
            f"--teacher-module {address!r} must be written PACKAGE.MODULE:FUNCTION, e.g. mine.nets:teacher"
        )
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        teacher = getattr(importlib.import_module(module_name), function)()
    except Exception as error:  # whatever the user's code raises is the user's to read
        raise ValueError(
            f"--teacher-module {address!r} failed with {type(error).__name__}: {error}; it is looked for in "
            "the working directory and among the installed packages"
        ) from error
    if not isinstance(teacher, nn.Module):
        raise ValueError(f"--teacher-module {address!r} returned {type(teacher).__name__}, expected a torch nn.Module")
    return teacher


def make_config(preset: str, switches: Sequence[str] | None, reading: str = "", **values: Any) -> D24FADConfig:
    """The configuration of a preset with other values; a named reading goes before them, single switches before that.

    A value of None or "" stands for the preset's own. Raises ValueError for an unknown preset, reading or switch.
    """
    from d24fad_lite.model.config import D24FADConfig

    presets: dict[str, Callable[..., D24FADConfig]] = {
        "kit": D24FADConfig,
        "official": D24FADConfig.official,
        "paper": D24FADConfig.paper,
        "matched": D24FADConfig.matched,
    }
    if preset not in presets:
        raise ValueError(choose_one_of("--preset", preset, presets))
    chosen = {name: value for name, value in values.items() if value not in (None, "")}
    of_reading = D24FADConfig.reading(reading) if reading else {}
    return presets[preset](**(chosen | of_reading | _switches(switches or ())))


def _switches(texts: Sequence[str]) -> dict[str, Any]:
    """The values of `--set NAME=VALUE`, each of the type that the configuration declares."""
    from d24fad_lite.lessons.parameters import Parameter, check_parameters
    from d24fad_lite.model.config import D24FADConfig

    have_options = {"teacher", "weights", "image_size", "seed"}
    declared = [
        Parameter(f.name, str(f.type), f.default)
        for f in dataclasses.fields(D24FADConfig)
        if f.name not in have_options
    ]
    return check_parameters(declared, dict(pair(text, "--set") for text in texts), "--set")


def pair(text: str, option: str) -> tuple[str, str]:
    """ "name=value" -> ("name", "value")."""
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise ValueError(f"{option} {text!r} must be written NAME=VALUE")
    return name, value


def model_facts(path: Path) -> dict[str, Any]:
    """What `d24fad fit` and `D24FAD.save` noted in a model file; empty for a file without notes."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("d24fad_lite", "{}"))
    except (SafetensorError, OSError, ValueError, RecursionError):
        return {}  # D24FAD.load says what is wrong
    return facts if isinstance(facts, dict) else {}


def stored_teacher(path: Path, teacher_module: str) -> nn.Module | None:
    """The teacher module that a model file needs, of `--teacher-module`; None for the kit's own teachers.

    Raises ValueError where the file was built on a teacher of the user's own and the option is missing.
    """
    if teacher_module:
        return import_teacher(teacher_module)
    config = model_facts(path).get("config")
    stored = str(config.get("teacher", "")) if isinstance(config, dict) else ""
    if stored.startswith("module:"):
        raise ValueError(
            f"{path} was built on a teacher of your own ({stored.removeprefix('module:')}); "
            "give it again with --teacher-module PACKAGE.MODULE:FUNCTION"
        )
    return None


def load_model(path: Path, teacher_module: str, device: str, method: str = "") -> D24FAD | BaselineDetector:
    """Read a detector of any method, bring it to the device of `--device`, and read it as `--method` says."""
    from d24fad_lite.evaluation.baselines.by_name import as_method, load_detector
    from d24fad_lite.model.device import pick_device

    model = load_detector(path, teacher=stored_teacher(path, teacher_module))
    return as_method(model.to(pick_device(device, "--device")).eval(), method, "--method")
