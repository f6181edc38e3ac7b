"""The five tasks of the sample world: drawing one image, writing a folder of them, finding the shipped ones."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from d24fad_lite.data.samples import brain, chest, fundus, histology
from d24fad_lite.data.samples.canvas import OVERSAMPLING, Array, Camera, Canvas
from d24fad_lite.data.samples.pairs import Yardstick

NAME = "d24fad_lite sample world"
VERSION = 3  # of the pictures: any change of them counts it up
LEVELS = {"plain": 1.0, "medium": 0.6, "hard": 0.3}  # named severities; the shipped samples are plain
CANDIDATES = 6  # patients of each class from whom a pair of test images is chosen
CHOSEN_AT = 128  # at most so large are the pictures that choose them
REFERENCE = 2**31  # seed of the pictures that tell what is usual in a task
Painter = Callable[[Canvas, np.random.Generator, np.random.Generator | None, float], tuple[Array, Array, Array, str]]

TASKS: dict[str, tuple[Painter, Camera]] = {
    "HIS": (histology.paint, histology.CAMERA),
    "LAG": (fundus.paint_glaucoma, fundus.CAMERA),
    "APTOS": (fundus.paint_retinopathy, fundus.CAMERA),
    "RSNA": (chest.paint, chest.CAMERA),
    "BrainTumor": (brain.paint, brain.CAMERA),
}
SPLITS = ("train/good", "test/good", "test/bad")


@dataclass(frozen=True)
class Sample:
    """One picture: uint8 [S, S, 3], the exact lesion mask bool [S, S], and the lesion's kind ("normal" without)."""

    image: Array
    mask: Array
    kind: str


def severity_of(level: float | str) -> float:
    """The severity, 0 (a trace) to 1 (plain to see), that a number or the name of a level stands for."""
    if isinstance(level, str):
        if level not in LEVELS:
            raise ValueError(
                f"level {level!r} is none of the sample world's; choose one of {', '.join(LEVELS)}, or a "
                "severity from 0 (a trace) to 1 (plain to see)"
            )
        return LEVELS[level]
    if not 0 <= level <= 1:
        raise ValueError(
            f"severity={level!r} must lie between 0 (a trace) and 1 (plain to see); or name a level: "
            f"{', '.join(LEVELS)}"
        )
    return float(level)


def draw_sample(
    task: str,
    seed: int | Sequence[int],
    anomalous: bool = False,
    severity: float | str = "plain",
    size: int = 128,
    camera: int | Sequence[int] | None = None,
) -> Sample:
    """Draw one image of the sample world, a pure function of its arguments.

    Anatomy, lesion and camera have random streams of their own, so `anomalous=False` gives the healthy twin of the
    same patient, and another `size` the same anatomy.

    Parameters
    ----------
    task : {"HIS", "LAG", "APTOS", "RSNA", "BrainTumor"}
    seed : int or sequence of int, each >= 0
    anomalous : whether the patient has a lesion.
    severity : 0 (a trace) to 1 (plain to see), or the name of a level: "plain", "medium", "hard".
    size : side in pixels, at least 16.
    camera : seed of the camera's settings (exposure, contrast, colour, sharpness, noise level); default: `seed`.
    """
    if task not in TASKS:
        raise ValueError(f"task {task!r} is not in the sample world; choose one of {', '.join(TASKS)}")
    if not isinstance(size, int) or size < 16:
        raise ValueError(f"size={size!r} must be a whole number of pixels, at least 16")
    strength = severity_of(severity)
    paint, device = TASKS[task]

    def stream(number: int, words: int | Sequence[int] = seed) -> np.random.Generator:
        return np.random.default_rng([number, VERSION, list(TASKS).index(task), *np.atleast_1d(words).tolist()])

    anatomy, lesion, grain = stream(0), stream(1), stream(2)
    settings = stream(3, seed if camera is None else camera)
    canvas = Canvas(size * OVERSAMPLING)
    scene, view, mask, kind = paint(canvas, anatomy, lesion if anomalous else None, strength)
    picture = device.shoot(scene, view, settings, grain, size)
    coarse = mask.reshape(size, OVERSAMPLING, size, OVERSAMPLING).mean(axis=(1, 3)) >= 0.5
    return Sample(picture, coarse, kind)


@dataclass(frozen=True)
class Drawn:
    """A sample and the arguments of `draw_sample` that give it again."""

    sample: Sample
    seed: tuple[int, ...]
    camera: tuple[int, ...]


def draw_pair(
    task: str, seed: int, index: int, severity: float | str = "plain", size: int = 128
) -> tuple[Drawn, Drawn]:
    """Test images number `index`, normal and anomalous, of a benchmark: one camera, two patients, no shortcut.

    Of some patients of each class the two are taken whose pictures are most alike in sharpness, roughness and
    distance to the mean image (see `pairs`).
    """
    camera, small = (seed, 1, index), min(size, CHOSEN_AT)
    patients = [[(seed, split, index, candidate) for candidate in range(CANDIDATES)] for split in (1, 2)]
    pictures = [
        [draw_sample(task, words, anomalous, severity, small, camera).image for words in some]
        for anomalous, some in zip((False, True), patients, strict=True)
    ]
    a, b = _usual(task, small).closest(*pictures)
    normal, anomalous = patients[0][a], patients[1][b]
    return (
        Drawn(draw_sample(task, normal, False, severity, size, camera), normal, camera),
        Drawn(draw_sample(task, anomalous, True, severity, size, camera), anomalous, camera),
    )


@cache
def _usual(task: str, size: int) -> Yardstick:
    return Yardstick.of(np.stack([draw_sample(task, (REFERENCE, number), size=size).image for number in range(24)]))


def write_samples(
    out: str | Path,
    seed: int = 0,
    severity: float | str = "plain",
    size: int = 128,
    train: int = 40,
    test: int = 20,
    tasks: Sequence[str] | None = None,
) -> Path:
    """Write a benchmark of the sample world in the kit's layout, with masks and MANIFEST.json.

    The test images come in pairs, normal and anomalous, with the same camera and alike in all that a shortcut could
    read (see `draw_pair`). The manifest says of each image how `draw_sample` gives it again.

    Parameters
    ----------
    out : folder, made if absent; task folders already in it are an error.
    seed, severity, size : see `draw_sample`. Image i of a split is the same however many are asked for.
    train, test : number of normal training images, and of normal and of anomalous test images, per task.
    tasks : some of the five; default all.

    Raises
    ------
    ValueError, FileExistsError, OSError
    """
    out, names, strength = Path(out), list(tasks or TASKS), severity_of(severity)
    if unknown := [name for name in names if name not in TASKS]:
        raise ValueError(f"tasks {unknown} are not in the sample world; choose some of {', '.join(TASKS)}")
    if train < 1 or test < 1:
        raise ValueError(f"train={train} and test={test} must be at least 1 image each")
    if present := [name for name in names if (out / name).exists()]:
        raise FileExistsError(f"{out} already holds {', '.join(present)}; choose an empty folder or remove them")
    try:
        out.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=out, prefix=".partial-"))
    except OSError as error:
        raise OSError(f"cannot write samples into {out}: {error}; choose a folder that can be written") from error
    level = next((name for name, value in LEVELS.items() if value == strength), None)
    settings = dict(seed=seed, level=level, severity=strength, size=size, train=train, test=test, tasks=names)
    try:
        files: dict[str, dict[str, Any]] = {}
        for name in names:
            for index in range(train):
                words = (seed, 0, index)
                drawn = Drawn(draw_sample(name, words, size=size), words, words)
                files |= _write_one(partial, name, "train/good", index, drawn)
            for index in range(test):
                for split, drawn in zip(SPLITS[1:], draw_pair(name, seed, index, strength, size), strict=True):
                    files |= _write_one(partial, name, split, index, drawn)
        for name in names:
            os.replace(partial / name, out / name)
        _write_manifest(out, files, settings)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


def _write_one(root: Path, task: str, split: str, index: int, drawn: Drawn) -> dict[str, dict[str, Any]]:
    sample, anomalous = drawn.sample, split == "test/bad"
    several = sample.kind in ("glioma", "meningioma")
    folder = f"{split}/{sample.kind}" if anomalous and several else split
    entries = {f"{task}/{folder}/{index:04d}.png": sample.image}
    if anomalous:
        mask_folder = folder.replace("test/bad", "test/mask")
        entries[f"{task}/{mask_folder}/{index:04d}.png"] = sample.mask.astype(np.uint8) * 255
    facts = {}
    for name, pixels in entries.items():
        grey = pixels.ndim == 2 or TASKS[task][1].grey
        flat = pixels[..., 0] if pixels.ndim == 3 and grey else pixels
        buffer = io.BytesIO()
        Image.fromarray(flat).save(buffer, format="PNG", optimize=True)
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())
        facts[name] = {
            "seed": drawn.seed,
            "camera": drawn.camera,
            "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
            "pixels_sha256": hashlib.sha256(np.ascontiguousarray(flat).tobytes()).hexdigest(),
        }
    return facts


def _write_manifest(out: Path, files: dict[str, dict[str, Any]], settings: dict[str, Any]) -> None:
    manifest = {
        "name": NAME,
        "version": VERSION,
        "licence": "CC0-1.0",
        "origin": "procedural: formulas and random numbers only; no patient, no photograph. Not for clinical use.",
        "command": "d24fad samples",
        **settings,
        "files": dict(sorted(files.items())),
    }
    temporary = out / ".MANIFEST.json.partial"
    temporary.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, out / "MANIFEST.json")


def is_sample_world(folder: Path) -> bool:
    """Whether this generator wrote the folder: its MANIFEST.json says so. Other data may have a file of that name."""
    try:
        manifest = json.loads((folder / "MANIFEST.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("name") == NAME


def samples_root() -> Path:
    """The folder of the shipped samples; where there is none, the same samples generated once into the user's cache.

    Looked for: `data_samples` beside the package's checkout or above the working directory; then
    `$D24FAD_CACHE/samples-v3`, by default `~/.cache/d24fad_lite/samples-v3`.
    """
    here = Path.cwd().resolve()
    checkout = Path(__file__).resolve().parents[3]
    for folder in (checkout, here, *here.parents):
        if (folder / "data_samples" / "MANIFEST.json").is_file():
            return folder / "data_samples"
    root = os.environ.get("D24FAD_CACHE")
    home = (Path(root) if root else Path.home() / ".cache" / "d24fad_lite") / f"samples-v{VERSION}"
    if not (home / "MANIFEST.json").is_file():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent, prefix=".partial-") as partial:
            write_samples(Path(partial) / "samples")
            if not home.exists():
                os.replace(Path(partial) / "samples", home)
    return home
