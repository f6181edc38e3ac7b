"""Options that several commands share, and what they are turned into."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..messages import did_you_mean

if TYPE_CHECKING:
    from torch import nn

    from ..model.config import D24FADConfig
    from ..model.detector import D24FAD

Data = Annotated[Path, typer.Option("--data", metavar="ROOT", help="Folder of tasks: ROOT/TASK/train/good, "
                                                                   "ROOT/TASK/test/good, ROOT/TASK/test/bad.")]
TeacherName = Annotated[str, typer.Option("--teacher", metavar="NAME", help="Any timm model with feature maps.")]
Weights = Annotated[str, typer.Option("--weights", metavar="SOURCE", help="embedded (shipped), imagenet (local, else "
                                                                          "downloaded), random, local-dir:FOLDER, or "
                                                                          "the path of a checkpoint.")]
ImageSize = Annotated[int, typer.Option("--image-size", metavar="PX", help="Side of the square images in pixels.")]
TeacherModule = Annotated[str, typer.Option(
    "--teacher-module", metavar="PACKAGE.MODULE:FUNCTION", show_default=False,
    help="A teacher of your own: a function of yours without arguments that returns an nn.Module, which maps images "
         "[N, 3, S, S] to a list of feature maps, fine to coarse. Imports and runs that code.")]
Reading = Annotated[str, typer.Option("--reading", metavar="NAME",
                                      help="How the detector's map is made and scored: released, paper or matched.  "
                                           "[default: as it was saved]")]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="auto (the best there is), cpu, cuda or mps.")]


def names_of(texts: Sequence[str] | None, known: Sequence[str] = ()) -> list[str]:
    """["RSNA,LAG", "HIS"] -> ["RSNA", "LAG", "HIS"].

    A name that holds a comma is given alone (`known` tells that it is one), or in double quotes: '"T1, T2",HIS'.
    """
    names: list[str] = []
    for text in texts or ():
        parts = [text] if text.strip() in known else next(csv.reader([text], skipinitialspace=True), [])
        names += [part.strip() for part in parts if part.strip()]
    return names


def numbers_of(text: str, option: str, least: int = 1) -> list[int]:
    """ "2,4,8" -> [2, 4, 8]; ValueError unless these are whole numbers of at least `least`, each once."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < least or len(set(numbers)) < len(numbers):
        raise ValueError(f"{option} {text!r} must be different whole numbers of at least {least} between "
                         "commas, for example 2,4,8")
    return numbers


def writable_folder(folder: Path, option: str = "--out") -> Path:
    """The folder, made and tried: better now than after an hour of work. Raises OSError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"cannot write into {option} {folder}: {error.strerror or error}; "
                      "choose a folder that can be written") from error
    return folder


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text(text, encoding="utf-8", errors="surrogateescape")
    os.replace(temporary, path)


def pick_device(name: str) -> str:
    """The torch device of `--device`; ValueError for one that is not there."""
    import torch

    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if present[device])
    if not present.get(name.split(":")[0], False):
        there = ", ".join(device for device, found in present.items() if found)
        raise ValueError(f"--device {name!r} is not there; this computer has {there}")
    return name


def import_teacher(place: str) -> nn.Module:
    """Import PACKAGE.MODULE (also from the working directory), call FUNCTION, return its module. Raises ValueError."""
    from torch import nn

    module_name, sign, function = place.partition(":")
    if not sign or not module_name or not function:
        raise ValueError(f"--teacher-module {place!r} must be written PACKAGE.MODULE:FUNCTION, e.g. mine.nets:teacher")
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        teacher = getattr(importlib.import_module(module_name), function)()
    except Exception as error:  # whatever the user's code raises is the user's to read
        raise ValueError(f"--teacher-module {place!r} failed with {type(error).__name__}: {error}; it is looked for in "
                         "the working directory and among the installed packages") from error
    if not isinstance(teacher, nn.Module):
        raise ValueError(f"--teacher-module {place!r} returned {type(teacher).__name__}, expected a torch nn.Module")
    return teacher


def make_config(preset: str, switches: Sequence[str] | None, reading: str = "", **given: Any) -> D24FADConfig:
    """The configuration of a preset with the given values, read in a named way; single switches have the last word.

    None and "" stand for the preset's own. Raises ValueError for an unknown preset, reading or switch.
    """
    from ..model.config import D24FADConfig

    presets = {"kit": D24FADConfig, "official": D24FADConfig.official, "paper": D24FADConfig.paper,
               "matched": D24FADConfig.matched}
    if preset not in presets:
        raise ValueError(f"--preset {preset!r} is not known; choose one of {', '.join(presets)}"
                         f"{did_you_mean(preset, presets)}")
    chosen = {name: value for name, value in given.items() if value not in (None, "")}
    read = D24FADConfig.reading(reading) if reading else {}
    return presets[preset](**(chosen | read | _switches(switches or ())))


def _switches(texts: Sequence[str]) -> dict[str, Any]:
    from ..model.config import D24FADConfig
    from ..runner.parameters import Parameter, check_parameters

    own = {"teacher", "weights", "image_size", "seed"}
    declared = [Parameter(f.name, str(f.type), f.default) for f in dataclasses.fields(D24FADConfig)
                if f.name not in own]
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
            return json.loads((file.metadata() or {}).get("d24fad_lite", "{}"))
    except (SafetensorError, OSError):
        return {}  # D24FAD.load says what is wrong


def load_model(path: Path, teacher_module: str, device: str) -> D24FAD:
    """Read a trained detector and bring it to a device."""
    from ..model.detector import D24FAD

    stored = str(model_facts(path).get("config", {}).get("teacher", ""))
    if stored.startswith("module:") and not teacher_module:
        raise ValueError(f"{path} was built on a teacher of your own ({stored.removeprefix('module:')}); "
                         "give it again with --teacher-module PACKAGE.MODULE:FUNCTION")
    model = D24FAD.load(path, teacher=import_teacher(teacher_module) if teacher_module else None)
    return model.to(pick_device(device)).eval()
