"""`predict_folder`: a folder of images and a few normal supports in, scores and heatmaps out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from d24fad_lite.data.images import MAX_SIZE
from d24fad_lite.data.layouts.left_out import warn_of_data
from d24fad_lite.evaluation.baselines.by_name import named_method
from d24fad_lite.evaluation.report import versions
from d24fad_lite.files import file_sha256
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.interface import Detector
from d24fad_lite.predicting.folder_gallery import folder_gallery
from d24fad_lite.predicting.heatmaps import SupportReference
from d24fad_lite.predicting.inputs import FolderImages, list_images
from d24fad_lite.predicting.prediction import FolderPrediction
from d24fad_lite.predicting.prepared import (
    GivenImages,
    given_images,
    opened_detector,
    prepare,
    require_model_file,
)
from d24fad_lite.predicting.score_store import ScoreStore
from d24fad_lite.predicting.scoring import FailureHook, FolderScorer
from d24fad_lite.predicting.top_maps import TopMaps
from d24fad_lite.private_names import KEY_FILE, neutral_names, write_key
from d24fad_lite.sole_writer import sole_writer

GALLERY_IMAGES = 200  # most images on the page, about 5 MB


def predict_folder(
    model: Detector | str | Path,
    folder: str | Path,
    supports: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    shots: int = 0,
    seed: int = 0,
    reading: str = "",
    method: str = "",
    alpha: float | None = None,
    normals: str | Path | Sequence[str | Path] = (),
    gallery: int = GALLERY_IMAGES,
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
    disk after every batch: the same call goes on after an interruption, and writes only scores of images that are new
    or changed (the others of their batch are predicted again beside them, so that rounding is the same).
    Files that cannot be read fail by name and do not stop the others. Not for clinical use.

    Parameters
    ----------
    model : D24FAD, NearestPatchDetector, MirroredPatchDetector, MeanFeatureDetector or path
        A detector, or the file in which its `save` or `d24fad fit` wrote it.
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
        Of a D24FAD: "released", "paper" or "matched"; empty: as the model is read.
    method : str, default ""
        Another method on the model's teacher: "nearest-patch", "mirrored-patch", "mean-feature", "matched",
        "untrained"; empty: the model's own.
    alpha : float, optional
        False-alarm rate in 0..1; above the threshold that keeps it, an image is an alarm. Refused where the normal
        images are too few to promise it.
    normals : path, or sequence of paths, default ()
        Further normal images of the same kind, none of them a support: files, and folders of them. For p-values and
        threshold; no score depends on them.
    gallery : int, default 200
        Images with the highest scores that enter gallery.html, the page to look at; 0 for no page.
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
    ThresholdError : supports and normals are too few to promise `alpha`.
    ImageError : a support, or a further normal image, cannot be read.
    ResultsConflict : `out` holds results of other settings, or a scores.csv or gallery.html of another origin.
    FolderInUse : another process writes into `out`.
    ValueError : a number, reading, method or device that is not possible; a further normal image that is a support
        or is given twice.
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
    listing = require_ready(model, folder, out, reading, method)
    if batch_size < 1 or gallery < 0 or (heatmap_size and not 16 <= heatmap_size <= MAX_SIZE):
        raise ValueError(
            f"batch size {batch_size} must be at least 1, heatmap size {heatmap_size} 16 to {MAX_SIZE}, or 0 for none, "
            f"and the images of the gallery {gallery} at least 0"
        )
    given = given_images(supports, normals, shots, seed, alpha)
    settings = _settings(model, given, reading, method)
    store = ScoreStore(out, settings, overwrite)
    detector = opened_detector(model, teacher, device, reading, method)
    warn_of_data([*listing.warnings(), *given.warnings()], stacklevel=2)
    bank, reference, calibration = prepare(detector, given, alpha)
    with sole_writer(out, "a prediction"):
        facts = _facts(given.supports, reference, listing, out, names) | {"calibration": calibration.facts()}
        store.begin(facts, [image.name for image in listing.images])
        scorer = FolderScorer(detector, bank, reference, store, heatmap_size, batch_size, on_failure, TopMaps(gallery))
        counts = scorer.score(listing.images, {*given.support_sha256, *given.normal_sha256}, progress)
        gone = store.finish([image.name for image in listing.images], calibration.columns)
        page = folder_gallery(scorer, listing, given.supports, calibration) if gallery else None
    scores = store.frame()
    heatmaps = {name: store.heatmap(name) for name in scores["name"]}
    return FolderPrediction(
        out=out,
        scores=scores,
        failures=dict(store.failures),
        heatmaps={name: path for name, path in heatmaps.items() if path.is_file()},
        supports=given.supports,
        support_scores=reference.scores,
        color_limits=reference.color_limits,
        settings=settings,
        scored=counts.scored,
        known=counts.known,
        gone=gone,
        supports_among_images=counts.supports_among_them,
        calibration=calibration,
        suspicion=reference.suspicion,
        odd=reference.odd,
        gallery=page,
    )


def require_ready(
    model: Detector | str | Path, folder: str | Path, out: Path, reading: str, method: str = ""
) -> FolderImages:
    """Refuse what can be refused before anything is read or made; returns what is to be scored."""
    listing = list_images(Path(folder), out)
    if reading:
        D24FADConfig.reading(reading)  # raises ValueError for a name that is not known
    if method:
        named_method(method)  # likewise
    if isinstance(model, (str, Path)):
        require_model_file(Path(model))
    return listing


def _settings(model: Detector | str | Path, given: GivenImages, reading: str, method: str) -> dict[str, Any]:
    """What every score depends on, as plain values."""
    digest = file_sha256(model) if isinstance(model, (str, Path)) else model.fingerprint()
    settings = {"model": digest, "supports": given.support_sha256}
    return settings | ({"reading": reading} if reading else {}) | ({"method": method} if method else {})


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
