"""The five tasks of the sample world: drawing one image, writing a folder of them, finding the shipped ones."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from d24fad_lite.data.samples import brain, chest, fundus, histology
from d24fad_lite.data.samples.canvas import OVERSAMPLING, Array, Camera, Canvas
from d24fad_lite.data.samples.pairs import Yardstick
from d24fad_lite.files import cache_root, read_json_or_none, replacing_folder, sha256_of, write_bytes, write_json
from d24fad_lite.messages import choose_one_of

NAME = "d24fad_lite sample world"
VERSION = 3  # of the pictures; whoever changes a pixel raises it
DIFFICULTIES = {"plain": 1.0, "medium": 0.6, "hard": 0.3}  # names of severities; the shipped samples are plain
SMALLEST, LARGEST = 16, 4096  # pixels of a side
MOST_IMAGES = 1_000_000  # of a split
PATIENTS_PER_CLASS = 6  # candidates from whom the pair of test images is chosen
COMPARED_AT = 128  # pixels: candidates are compared at the asked size, but at no more than this
TYPICAL_SEED = 2**31  # of the normal pictures that say what is usual in a task; out of reach of a benchmark's seeds
TYPICAL_PICTURES = 24
Painter = Callable[[Canvas, np.random.Generator, np.random.Generator | None, float], tuple[Array, Array, Array, str]]

TASKS: dict[str, tuple[Painter, Camera]] = {
    "HIS": (histology.paint, histology.CAMERA),
    "LAG": (fundus.paint_glaucoma, fundus.CAMERA),
    "APTOS": (fundus.paint_retinopathy, fundus.CAMERA),
    "RSNA": (chest.paint, chest.CAMERA),
    "BrainTumor": (brain.paint, brain.CAMERA),
}
SPLITS = ("train/good", "test/good", "test/bad")  # their numbers are part of the seeds
TASKS_OF_SEVERAL_KINDS = ("BrainTumor",)  # glioma and meningioma, each in a folder of its own


@dataclass(frozen=True)
class Sample:
    """One picture: uint8 [S, S, 3], the exact lesion mask bool [S, S], and the lesion's kind ("normal" without)."""

    image: Array
    mask: Array
    kind: str


def severity_of(severity: float | str) -> float:
    """The severity as a number, whether it is given as one or by the name of a difficulty.

    Parameters
    ----------
    severity : float or {"plain", "medium", "hard"}
        0 (a trace) to 1 (plain to see), or a name.

    Returns
    -------
    float, 0 to 1

    Raises
    ------
    ValueError : an unknown name, or a number out of range.
    """
    if isinstance(severity, str):
        if severity not in DIFFICULTIES:
            names = choose_one_of("severity", severity, DIFFICULTIES)
            raise ValueError(f"{names}, or a number from 0 (a trace) to 1 (plain to see)")
        return DIFFICULTIES[severity]
    if not 0 <= severity <= 1:
        raise ValueError(
            f"severity={severity!r} must lie between 0 (a trace) and 1 (plain to see), or be one of "
            f"{', '.join(map(repr, DIFFICULTIES))}"
        )
    return float(severity)


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
        The patient.
    anomalous : bool, default False
        Whether the patient has a lesion.
    severity : float or {"plain", "medium", "hard"}, default "plain"
        How easily the lesion is seen: 0 (a trace) to 1 (plain to see), or the name of a difficulty.
    size : int, default 128
        Side in pixels, at least 16.
    camera : int or sequence of int, default None for `seed`
        Seed of the camera's settings: exposure, contrast, colour, sharpness, noise strength.

    Returns
    -------
    Sample
        Image uint8 [size, size, 3], lesion mask bool [size, size], kind of the lesion.

    Raises
    ------
    ValueError : an unknown task or difficulty, a size or severity out of range.
    """
    if task not in TASKS:
        raise ValueError(choose_one_of("task", task, TASKS))
    _require_size(size)
    strength = severity_of(severity)
    paint, device = TASKS[task]

    def stream(number: int, words: int | Sequence[int] = seed) -> np.random.Generator:
        """Random stream number `number` of this task and these seeds."""
        return np.random.default_rng([number, VERSION, list(TASKS).index(task), *np.atleast_1d(words).tolist()])

    anatomy, lesion, grain = stream(0), stream(1), stream(2)
    settings = stream(3, seed if camera is None else camera)
    canvas = Canvas(size * OVERSAMPLING)
    scene, view, fine_mask, kind = paint(canvas, anatomy, lesion if anomalous else None, strength)
    picture = device.shoot(scene, view, rng=settings, grain=grain, size=size)
    covered = fine_mask.reshape(size, OVERSAMPLING, size, OVERSAMPLING).mean(axis=(1, 3))  # share of each pixel
    return Sample(picture, covered >= 0.5, kind)


@dataclass(frozen=True)
class Drawn:
    """A sample and the arguments of `draw_sample` that give it again."""

    sample: Sample
    seed: tuple[int, ...]
    camera: tuple[int, ...]


def draw_pair(
    task: str, seed: int, index: int, severity: float | str = "plain", size: int = 128
) -> tuple[Drawn, Drawn]:
    """Draw the normal and the anomalous test image number `index` of a benchmark: two patients, one camera.

    Six patients of each class are drawn, and the two taken whose pictures are most alike in what a shortcut could
    read (see `pairs`).

    Parameters
    ----------
    task, severity, size : see `draw_sample`.
    seed : int, >= 0
        Of the benchmark.
    index : int, >= 0
        Number of the pair within the benchmark.

    Returns
    -------
    normal, anomalous : Drawn
    """
    camera, compared_at = (seed, SPLITS.index("test/good"), index), min(size, COMPARED_AT)
    normal_patients, anomalous_patients = (
        [(seed, SPLITS.index(split), index, candidate) for candidate in range(PATIENTS_PER_CLASS)]
        for split in ("test/good", "test/bad")
    )

    def draw(patient: tuple[int, ...], anomalous: bool, side: int) -> Sample:
        """The picture of one patient, taken with the camera of the pair."""
        return draw_sample(task, seed=patient, anomalous=anomalous, severity=severity, size=side, camera=camera)

    normal_number, anomalous_number = _yardstick(task, compared_at).closest(
        normal=[draw(patient, anomalous=False, side=compared_at).image for patient in normal_patients],
        anomalous=[draw(patient, anomalous=True, side=compared_at).image for patient in anomalous_patients],
    )
    normal, anomalous = normal_patients[normal_number], anomalous_patients[anomalous_number]
    return (
        Drawn(draw(normal, anomalous=False, side=size), seed=normal, camera=camera),
        Drawn(draw(anomalous, anomalous=True, side=size), seed=anomalous, camera=camera),
    )


@cache
def _yardstick(task: str, size: int) -> Yardstick:
    """What is usual among normal pictures of a task, as a measure of how far two pictures lie apart."""
    pictures = [draw_sample(task, (TYPICAL_SEED, number), size=size).image for number in range(TYPICAL_PICTURES)]
    return Yardstick.of(np.stack(pictures))


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
    out : path
        Folder to write to, made if absent. Task folders already in it are an error.
    seed : int, default 0, >= 0
        Image i of a split is the same however many are asked for.
    severity, size : see `draw_sample`.
    train : int, default 40
        Normal training images per task.
    test : int, default 20
        Normal test images per task, and as many anomalous ones.
    tasks : sequence of str, default None for all
        Some of the five.

    Returns
    -------
    Path
        The folder. Task folders appear only when all images are drawn, the manifest last.

    Raises
    ------
    ValueError : an unknown task or difficulty, or a number out of range.
    FileExistsError : the folder already holds one of the tasks.
    OSError : the folder cannot be written.
    """
    out, names, strength = Path(out), list(tasks or TASKS), severity_of(severity)
    _refuse_what_cannot_be_written(out, names, size, train, test)
    files: dict[str, dict[str, Any]] = {}
    with ExitStack() as unfinished:  # all tasks appear together at its end, or none of them
        try:
            out.mkdir(parents=True, exist_ok=True)
            folders = {name: unfinished.enter_context(replacing_folder(out / name)) for name in names}
        except OSError as error:
            raise OSError(f"cannot write samples into {out}: {error}; choose a folder that can be written") from error
        for name, folder in folders.items():
            images = _draw_task(name, seed=seed, severity=strength, size=size, train=train, test=test)
            for split, index, drawn in images:
                files |= _write_one(folder, name, split, index, drawn)
    difficulty = next((name for name, value in DIFFICULTIES.items() if value == strength), None)
    settings = dict(seed=seed, level=difficulty, severity=strength, size=size, train=train, test=test, tasks=names)
    _write_manifest(out, files, settings)
    return out


def _require_size(size: int) -> None:
    if not isinstance(size, int) or not SMALLEST <= size <= LARGEST:
        raise ValueError(f"size={size!r} must be a whole number of pixels, {SMALLEST} to {LARGEST}")


def _refuse_what_cannot_be_written(out: Path, names: Sequence[str], size: int, train: int, test: int) -> None:
    """Raise for an unknown task, a size or count out of range, or a folder that already holds one of the tasks."""
    if unknown := [name for name in names if name not in TASKS]:
        raise ValueError(choose_one_of("task", unknown[0], TASKS))
    _require_size(size)
    if not (1 <= train <= MOST_IMAGES and 1 <= test <= MOST_IMAGES):
        raise ValueError(f"train={train} and test={test} must be 1 to {MOST_IMAGES} images each")
    if present := [name for name in names if (out / name).exists()]:
        raise FileExistsError(f"{out} already holds {', '.join(present)}; choose an empty folder or remove them")


def _draw_task(
    task: str, *, seed: int, severity: float, size: int, train: int, test: int
) -> Iterator[tuple[str, int, Drawn]]:
    """Draw the images of a task one by one: the split, the number within the split, and the image."""
    for index in range(train):
        words = (seed, SPLITS.index("train/good"), index)
        yield "train/good", index, Drawn(draw_sample(task, words, size=size), seed=words, camera=words)
    for index in range(test):
        normal, anomalous = draw_pair(task, seed, index, severity=severity, size=size)
        yield "test/good", index, normal
        yield "test/bad", index, anomalous


def _write_one(folder: Path, task: str, split: str, index: int, drawn: Drawn) -> dict[str, dict[str, Any]]:
    """Write one image, and its mask if it has a lesion, into the task's folder; returns their lines of the manifest."""
    sample, anomalous = drawn.sample, split == "test/bad"
    place = f"{split}/{sample.kind}" if anomalous and task in TASKS_OF_SEVERAL_KINDS else split
    grey = TASKS[task][1].grey
    pictures = {f"{place}/{index:04d}.png": sample.image[..., 0] if grey else sample.image}
    if anomalous:
        pictures[f"{place.replace('bad', 'mask')}/{index:04d}.png"] = sample.mask.astype(np.uint8) * 255
    facts = {}
    for name, pixels in pictures.items():
        png = io.BytesIO()
        Image.fromarray(pixels).save(png, format="PNG", optimize=True)
        write_bytes(folder / name, png.getvalue())
        facts[f"{task}/{name}"] = {
            "seed": drawn.seed,
            "camera": drawn.camera,
            "sha256": sha256_of(png.getvalue()),
            "pixels_sha256": sha256_of(pixels.tobytes()),
        }
    return facts


def _write_manifest(out: Path, files: dict[str, dict[str, Any]], settings: dict[str, Any]) -> None:
    """Write what was drawn, how, under which licence, and the hash of each file."""
    manifest = {
        "name": NAME,
        "version": VERSION,
        "licence": "CC0-1.0",
        "origin": "procedural: formulas and random numbers only; no patient, no photograph. Not for clinical use.",
        "command": "d24fad samples",
        **settings,
        "files": dict(sorted(files.items())),
    }
    write_json(out / "MANIFEST.json", manifest, indent=1)


def is_sample_world(folder: Path) -> bool:
    """Whether this generator wrote the folder, by its MANIFEST.json; other data may have a file of that name."""
    manifest = read_json_or_none(folder / "MANIFEST.json")
    return isinstance(manifest, dict) and manifest.get("name") == NAME


def samples_root() -> Path:
    """The folder of the shipped samples; where there is none, the same samples generated once into the user's cache.

    Looked for in this order: `data_samples` beside the package's checkout, in the working directory or a folder above
    it; then `$D24FAD_CACHE/samples-v3`, by default `~/.cache/d24fad_lite/samples-v3`.

    Returns
    -------
    Path

    Raises
    ------
    OSError : the cache cannot be written.
    """
    here = Path.cwd().resolve()
    checkout = Path(__file__).resolve().parents[3]
    for folder in (checkout, here, *here.parents):
        if (folder / "data_samples" / "MANIFEST.json").is_file():
            return folder / "data_samples"
    cached = cache_root() / f"samples-v{VERSION}"
    if not (cached / "MANIFEST.json").is_file():
        with replacing_folder(cached) as partial:
            write_samples(partial)
    return cached
