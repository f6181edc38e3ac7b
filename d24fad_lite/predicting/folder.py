"""`predict_folder`: a folder of images and a few normal supports in, scores and heatmaps out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from d24fad_lite.data.images import MAX_SIZE, load_image
from d24fad_lite.data.layouts.left_out import warn_of_data
from d24fad_lite.evaluation.report import versions
from d24fad_lite.files import file_sha256, sha256_of
from d24fad_lite.model.checkpoint import bytes_of
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.model.device import pick_device
from d24fad_lite.predicting.heatmaps import SupportReference, support_reference
from d24fad_lite.predicting.inputs import FolderImages, choose_supports, list_images
from d24fad_lite.predicting.score_store import FAILURES, SCORES, ScoreStore
from d24fad_lite.predicting.scoring import FailureHook, FolderScorer, content_sha256
from d24fad_lite.private_names import KEY_FILE, neutral_names, write_key
from d24fad_lite.sole_writer import sole_writer


@dataclass(frozen=True)
class FolderPrediction:
    """What `predict_folder` found, and where it lies on disk.

    Attributes
    ----------
    out : Path
        Folder with scores.csv, heatmaps/, predict.json and, where files could not be used, failures.csv.
    scores : DataFrame
        One row per scored image, as in scores.csv: name (path below the folder), score (float, higher is less like
        the supports), sha256 of the file. In the order of the folder; images that are in it no longer stand last.
    failures : dict of str to str
        Name and reason of each image that could not be used.
    heatmaps : dict of str to Path
        The heatmap of each scored image that has one.
    supports : list of Path
        The support files, after any draw.
    support_scores : list of float
        How the supports themselves score, each against the others, for comparison (at most 32 of them; a single
        support is compared with its own mirror image).
    color_limits : (float, float)
        Values of the anomaly map without colour and of full colour, set by the supports, the same for all heatmaps.
    settings : dict
        What every score depends on: sha256 of the model and of each support, and the reading where one was named.
    scored, known, gone : int
        Images scored now; images whose scores an earlier run had; rows of images that are not in the folder any more.
    supports_among_images : int
        Images of the folder that are supports themselves; their scores mean nothing.
    """

    out: Path
    scores: pd.DataFrame
    failures: dict[str, str]
    heatmaps: dict[str, Path]
    supports: list[Path]
    support_scores: list[float]
    color_limits: tuple[float, float]
    settings: dict[str, Any]
    scored: int
    known: int
    gone: int
    supports_among_images: int

    @property
    def scores_file(self) -> Path:
        """OUT/scores.csv."""
        return self.out / SCORES

    @property
    def failures_file(self) -> Path:
        """OUT/failures.csv, which is there only where images could not be used."""
        return self.out / FAILURES

    @cached_property
    def score_of(self) -> dict[str, float]:
        """The score of each image by its name."""
        return dict(zip(self.scores["name"], self.scores["score"]))


def predict_folder(
    model: D24FAD | str | Path,
    folder: str | Path,
    supports: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    shots: int = 0,
    seed: int = 0,
    reading: str = "",
    batch_size: int = 32,
    heatmap_size: int = 256,
    device: str = "",
    teacher: nn.Module | None = None,
    overwrite: bool = False,
    progress: bool = True,
    names: bool = False,
    on_failure: FailureHook = lambda name, reason: None,
) -> FolderPrediction:
    """Score a folder of images against a few normal ones and draw heatmaps: what `d24fad predict` does.

    An image's score depends on the model and the supports alone, never on what else is in the folder. Results are on
    disk after every batch: the same call goes on after an interruption, and scores only images that are new or changed.
    Files that cannot be read fail by name and do not stop the others. Not for clinical use.

    Parameters
    ----------
    model : D24FAD or path
        A detector, or the file in which `model.save` or `d24fad fit` wrote one.
    folder : path
        Images (png, jpg, bmp, tif, dcm, 8 or 16 bit; subfolders too), or a single image file.
    supports : path, or sequence of paths such as an ImageSet
        Normal reference images of the same kind: files, and folders of them.
    out : path
        Folder of the results; made if absent. It may lie inside `folder`.
    shots : int, default 0
        Draw this many of the supports; 0 takes all of them.
    seed : int, default 0
        Of that draw, 0 or more.
    reading : str, default ""
        "released", "paper" or "matched"; empty: as the model is read.
    batch_size : int, default 32
        Images per batch, at least 1; changes no score beyond rounding.
    heatmap_size : int, default 256
        Longer side of the heatmaps in pixels, at least 16; 0 for none.
    device : str, default ""
        "cpu", "cuda", "mps" or "auto", to which `model` is moved. Empty: a detector stays where it is, one from a file
        goes to the best device that is there.
    teacher : nn.Module, optional
        Only for a model file that was built on a teacher of your own.
    overwrite : bool, default False
        Replace results of other settings in `out` instead of refusing.
    progress : bool, default True
        Show a progress bar, where there is a terminal.
    names : bool, default False
        Name the supports and the unused files in predict.json. By default it can be shared: the names are in names.csv,
        which is private, as are scores.csv, failures.csv and the heatmaps, which are called as the images are.
    on_failure : callable (name, reason) -> None, optional
        Called for each image that cannot be used, as soon as that is known.

    Returns
    -------
    FolderPrediction

    Raises
    ------
    FileNotFoundError, LayoutError : no such model, no images, no supports.
    ImageError : a support cannot be read.
    ResultsConflict : `out` holds results of other settings, or a scores.csv of another origin.
    FolderInUse : another process writes into `out`.
    ValueError : a number, reading or device that is not possible.
    OSError : results cannot be written; what was scored is kept.

    Warns
    -----
    DataWarning : files of the folder that are ignored, counted and named.

    Examples
    --------
    >>> result = predict_folder("run/model.safetensors", "scans", "normals", "results", shots=4)  # doctest: +SKIP
    >>> result.scores.sort_values("score", ascending=False).head()  # doctest: +SKIP
    """
    out = Path(out)
    listing = require_ready(model, folder, out, reading)
    if batch_size < 1 or (heatmap_size and not 16 <= heatmap_size <= MAX_SIZE):
        raise ValueError(
            f"batch size {batch_size} must be at least 1, heatmap size {heatmap_size} 16 to {MAX_SIZE}, or 0 for none"
        )
    chosen = choose_supports(supports, shots, seed)
    settings = _settings(model, chosen, reading)
    store = ScoreStore(out, settings, overwrite)
    detector = _detector(model, teacher, device).read_as(reading or None)
    warn_of_data(listing.warnings(), stacklevel=2)
    images = torch.stack([load_image(path, detector.config.image_size) for path in chosen])  # (K, 3, S, S)
    bank, reference = support_reference(detector, images)
    with sole_writer(out, "a prediction"):
        store.begin(_facts(chosen, reference, listing, out, names))
        scorer = FolderScorer(detector, bank, reference, store, heatmap_size, on_failure)
        counts = scorer.score(listing.images, batch_size, set(settings["supports"]), progress)
        gone = store.finish([image.name for image in listing.images])
    scores = store.frame()
    heatmaps = {name: store.heatmap(name) for name in scores["name"]}
    return FolderPrediction(
        out=out,
        scores=scores,
        failures=dict(store.failures),
        heatmaps={name: path for name, path in heatmaps.items() if path.is_file()},
        supports=chosen,
        support_scores=reference.scores,
        color_limits=reference.color_limits,
        settings=settings,
        scored=counts.scored,
        known=counts.known,
        gone=gone,
        supports_among_images=counts.supports_among_them,
    )


def require_ready(model: D24FAD | str | Path, folder: str | Path, out: Path, reading: str) -> FolderImages:
    """Refuse what can be refused before anything is read or made; returns what is to be scored."""
    listing = list_images(Path(folder), out)
    if reading:
        D24FADConfig.reading(reading)  # raises ValueError for a name that is not known
    if not isinstance(model, D24FAD) and not Path(model).is_file():
        raise FileNotFoundError(f"model {model} does not exist or is not a file; d24fad fit writes one")
    return listing


def _settings(model: D24FAD | str | Path, supports: Sequence[Path], reading: str) -> dict[str, Any]:
    """What every score depends on, as plain values."""
    digest = _model_sha256(model) if isinstance(model, D24FAD) else file_sha256(model)
    settings = {"model": digest, "supports": [content_sha256(path) for path in supports]}
    return settings | ({"reading": reading} if reading else {})


def _model_sha256(model: D24FAD) -> str:
    """sha256 over configuration, teacher and trained tensors of a detector that is not read from a file."""
    parts: list[str | memoryview] = [json.dumps(model.config.to_dict(), sort_keys=True), model.teacher.fingerprint()]
    for name, tensor in sorted(model.trainable_state_dict().items()):
        parts += [name, bytes_of(tensor)]
    return sha256_of(*parts)


def _detector(model: D24FAD | str | Path, teacher: nn.Module | None, device: str) -> D24FAD:
    """The detector itself or the one in the file, on the device that was asked for."""
    if isinstance(model, D24FAD):
        return model.to(pick_device(device)) if device else model
    return D24FAD.load(model, teacher=teacher).to(pick_device(device or "auto")).eval()


def _facts(
    supports: Sequence[Path], reference: SupportReference, listing: FolderImages, out: Path, names: bool
) -> dict[str, Any]:
    """What predict.json notes beside the settings; no score depends on it. Unless `names`, writes names.csv."""
    files, left_out = [path.name for path in supports], [item.sentence(listing.folder) for item in listing.left_out]
    if names:
        (out / KEY_FILE).unlink(missing_ok=True)
    else:
        support_ids, unused_ids = neutral_names(files, "support"), neutral_names(left_out, "left out")
        write_key(out, support_ids, unused_ids)
        files, left_out = [support_ids[name] for name in files], [unused_ids[name] for name in left_out]
    facts: dict[str, Any] = {
        "supports": files,
        "support_scores": reference.scores,
        "colors": list(reference.color_limits),
        "versions": versions(),
    }
    if left_out:
        facts |= {"left_out": left_out, "files_left_out": sum(item.count for item in listing.left_out)}
    return facts
