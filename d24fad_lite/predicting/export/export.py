"""`export_detector`: a detector and its supports as one file that other programs run."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from d24fad_lite.data.images import as_image, resize_pixels
from d24fad_lite.evaluation.baselines.by_name import named_method
from d24fad_lite.files import replacing
from d24fad_lite.messages import choose_one_of
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.interface import Detector
from d24fad_lite.predicting.export.facts import export_facts
from d24fad_lite.predicting.export.formats import FORMATS, ExportError, Run
from d24fad_lite.predicting.export.graph import INPUTS, ExportGraph
from d24fad_lite.predicting.prepared import given_images, opened_detector, prepare

TOLERANCE = 1e-4  # relative, of scores and of the largest value of a map
ROUNDING = 3e-6  # what is known of a sum of 1 - cos over three levels in float32; ONNX Runtime alone loses 1e-6
SMALLEST = ROUNDING / TOLERANCE  # what a difference is relative to where the value itself is smaller
SIZES = ((96, 96), (131, 90), (60, 200), (257, 256), (40, 33))  # of the images that are tried, height and width


@dataclass(frozen=True)
class ExportedFile:
    """What `export_detector` wrote.

    Attributes
    ----------
    path : Path
    facts : dict
        What the file says of itself, under the key "d24fad_lite" of its metadata.
    difference : float
        Largest relative difference of scores and maps from `predict`, over the images that were tried. A score, or the
        largest value of a map, that is below 0.03 counts as 0.03: there rounding of 1 - cos, 3e-6, would be more.
    tried : int
        How many these were: of five sizes, grey and in colour.
    """

    path: Path
    facts: dict[str, Any]
    difference: float
    tried: int


def export_detector(
    model: Detector | str | Path,
    supports: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    to: str = "onnx",
    pixels: str = "uint8",
    shots: int = 0,
    seed: int = 0,
    reading: str = "",
    method: str = "",
    alpha: float | None = None,
    normals: str | Path | Sequence[str | Path] = (),
    teacher: nn.Module | None = None,
    overwrite: bool = False,
) -> ExportedFile:
    """Write a detector with its supports as one file: an image as it was read goes in, score and map come out.

    The file does the kit's own resize (Pillow's Lanczos), normalisation, comparison with the supports and blur. It
    gives the raw score; the threshold stands beside the graph as data, so that it can be changed without a new export.
    Before the file takes its name it is run on images of five sizes, grey and in colour, and compared with `predict`.

    Parameters
    ----------
    model : D24FAD, NearestPatchDetector, MirroredPatchDetector, MeanFeatureDetector or path
    supports : path, or sequence of paths
        As in `predict_folder`, also `shots`, `seed`, `reading`, `method`, `alpha`, `normals` and `teacher`.
    out : path
        File to write; by habit .onnx or .pt2.
    to : {"onnx", "torch"}, default "onnx"
        ONNX by PyTorch's current exporter (extra `export`), or a program of `torch.export`.
    pixels : {"uint8", "float32"}, default "uint8"
        What the file takes: [H, W, C] of 0..255, or of 0..1 (deeper images); sides of 2 to 8192 pixels, C is 1 (grey)
        or 3 (RGB); a channel of transparency after them is dropped. Other values and channels are not looked for: what
        reads the image has to see to it.
    overwrite : bool, default False
        Replace a file that is there.

    Returns
    -------
    ExportedFile

    Raises
    ------
    ExportError : an operator that the format lacks, by name; a file that gives other numbers than `predict`.
    FileExistsError, IsADirectoryError : `out` exists, or is a folder.
    ThresholdError : supports and normals are too few to promise `alpha`.
    ValueError, FileNotFoundError, ImageError : as in `predict_folder`.

    Examples
    --------
    >>> export_detector("run/model.safetensors", "normals", "detector.onnx")  # doctest: +SKIP
    """
    path = Path(out)
    require_exportable(path, to, pixels, reading, method, overwrite)
    given = given_images(supports, normals, shots, seed, alpha)
    # A copy, so that a detector on a GPU stays there.
    source = model if isinstance(model, (str, Path)) else copy.deepcopy(model)
    detector: Any = opened_detector(source, teacher, "cpu", reading, method)
    detector = detector.eval().requires_grad_(False)
    bank, reference, calibration = prepare(detector, given, alpha)
    facts = export_facts(detector, given.support_sha256, reference, calibration, pixels)
    suffix, write = FORMATS[to]
    with replacing(path) as partial:
        # The exporters look at the suffix.
        working = partial.with_name(partial.name + suffix)
        try:
            run = write(ExportGraph(detector, bank, pixels).eval(), working, facts)
            difference, tried, largest = compare(run, detector, bank, pixels)
            if not difference <= TOLERANCE:
                raise ExportError(
                    f"the exported file gives other numbers than predict (relative difference up to {difference:.1e}, "
                    f"allowed {TOLERANCE:.0e}; largest value {largest:.1e}) and was not kept; try another "
                    f"format, or report the teacher {detector.config.to_dict()['teacher']!r}"
                )
            working.replace(partial)
        finally:
            working.unlink(missing_ok=True)
    return ExportedFile(path, facts, difference, tried)


def require_exportable(
    out: Path, to: str, pixels: str, reading: str = "", method: str = "", overwrite: bool = False
) -> None:
    """Refuse what can be refused before anything is read or made; parameters and errors as of `export_detector`."""
    for name, value, choices in (("to", to, FORMATS), ("pixels", pixels, INPUTS)):
        if value not in choices:
            raise ValueError(choose_one_of(name, value, choices))
    if reading:
        D24FADConfig.reading(reading)  # raises ValueError for a name that is not known
    if method:
        named_method(method)  # likewise
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists; choose another file, or overwrite=True to replace it")
    if out.is_dir():
        raise IsADirectoryError(f"{out} is a folder; give a file, such as {out / ('detector' + FORMATS[to][0])}")


def compare(run: Run, detector: Detector, bank: Any, pixels: str) -> tuple[float, int, float]:
    """Largest relative difference of an exported file from `predict`, the number of images tried, the largest value.

    Scores are compared relative to the score, maps relative to their largest value, both to at least `SMALLEST`. A
    difference within `TOLERANCE` is thus within 1e-4 of the value or, where that is more, within `ROUNDING`.
    """
    differences, values = [], []
    for image in trial_images(pixels):
        expected = detector.predict(as_image(resize_pixels(image, detector.config.image_size))[None], bank)
        score, anomaly_map = run(image)
        true_score, true_map = float(expected.score[0]), expected.anomaly_map[0].numpy()
        values += [abs(true_score), float(np.abs(true_map).max())]
        differences.append(abs(score - true_score) / max(values[-2], SMALLEST))
        differences.append(float(np.abs(anomaly_map - true_map).max()) / max(values[-1], SMALLEST))
    return float(np.max(differences)), len(differences) // 2, float(np.max(values))  # NaN stays NaN


def trial_images(pixels: str) -> Iterator[np.ndarray]:
    """Images [H, W, C] of five sizes, grey and in colour: smooth ground with noise, the hardest case for rounding."""
    generator = np.random.default_rng(0)
    for height, width in SIZES:
        for channels in (3, 1):
            ramp = np.linspace(0, 1, height)[:, None, None] * np.linspace(0.3, 1, width)[None, :, None]
            image = np.clip(0.7 * ramp + 0.3 * generator.random((height, width, channels)), 0, 1)
            yield (255 * image).astype(np.uint8) if pixels == "uint8" else image.astype(np.float32)
