"""`d24fad predict`: scores and heatmaps for a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from d24fad_lite.cli.errors import FAILED, resumable, say, tell
from d24fad_lite.cli.options import Device, Method, Reading, TeacherModule, require_writable, stored_teacher

if TYPE_CHECKING:
    from d24fad_lite.predicting.prediction import FolderPrediction


def predict(
    model: Annotated[Path, typer.Argument(help="model.safetensors of d24fad fit.")],
    images: Annotated[
        Path, typer.Argument(help="Folder of images (png jpg bmp tif dcm, 8 or 16 bit; subfolders too), or one image.")
    ],
    supports: Annotated[
        list[Path],
        typer.Option(metavar="PLACE", help="Normal reference images of the same kind: a folder or a file; repeat."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for scores.csv and heatmaps.")],
    shots: Annotated[int, typer.Option(help="Draw so many of the supports; 0 takes all of them.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of that draw.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Images per batch; never changes a score.")] = 32,
    heatmap_size: Annotated[int, typer.Option(metavar="PX", help="Longer side of the heatmaps; 0 for none.")] = 256,
    reading: Reading = "",
    method: Method = "",
    alpha: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Call an image an alarm so that at most this share of normal images is; e.g. 0.05.  "
            "[default: p-values alone]",
        ),
    ] = None,
    normals: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PLACE",
            help="Further normal images, no supports, for p-values and --alpha: folder or file; repeat.",
        ),
    ] = None,
    gallery: Annotated[
        int, typer.Option(metavar="N", help="Images of the highest scores in gallery.html; 0 for no page.")
    ] = 200,
    device: Device = "auto",
    teacher_module: TeacherModule = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results of other settings in --out.")] = False,
    names: Annotated[
        bool, typer.Option("--names", help="Name the supports and unused files in predict.json, in place of ids.")
    ] = False,
) -> None:
    """Score your own images: the higher the score, the less an image is like the supports. NOT FOR CLINICAL USE.

    Why: a few normal images of your own kind, device and view are all that the detector needs to know of a new task.
    Writes OUT/scores.csv (name, score, sha256, conformal p-value), OUT/gallery.html (the page to look at), OUT/heatmaps
    (all on one colour scale, set by the supports: red at half strength is the most that a support shows) and, for
    images that cannot be read, OUT/failures.csv with exit code 1. With --alpha each image is an alarm or not, from
    normal images alone; where these are too few for that rate, it is refused. Other files in the folder are counted
    and named. Say the same command again to go on after Ctrl-C or to add images: what has its score is not scored
    again. The results name your files: they are for you, and not to be shared as they are; OUT/predict.json alone,
    which says how they were made, holds no name.

    \b
    Examples:
      d24fad predict run/model.safetensors scans --supports normals --out results
      d24fad predict run/model.safetensors scan.dcm --supports a.dcm --supports b.dcm --out results
      d24fad predict run/model.safetensors scans --supports normals --shots 8 --heatmap-size 0 --out results
      d24fad predict run/model.safetensors scans --supports normals --reading matched --out results
      d24fad predict run/model.safetensors scans --supports normals --normals more --alpha 0.05 --out results
      d24fad predict run/model.safetensors scans --supports normals --method nearest-patch --out results
    """
    from d24fad_lite.model.device import pick_device
    from d24fad_lite.predicting.folder import predict_folder, require_ready
    from d24fad_lite.predicting.inputs import choose_supports
    from d24fad_lite.predicting.score_store import ResultsConflict

    chosen = choose_supports(supports, shots, seed, "--shots")
    require_ready(model, images, out, reading, method)  # a wrong path is reported before the folder is tried
    require_writable(out)
    with resumable(f"{out} keeps what is scored; the same command goes on from there"):
        try:
            result = predict_folder(
                model,
                images,
                chosen,
                out,
                reading=reading,
                method=method,
                alpha=alpha,
                normals=normals or [],
                gallery=gallery,
                batch_size=batch_size,
                heatmap_size=heatmap_size,
                device=pick_device(device, "--device"),
                teacher=stored_teacher(model, teacher_module),
                overwrite=overwrite,
                names=names,
                on_failure=lambda name, reason: say(f"unusable: {name}: {reason}"),
            )
        except ResultsConflict as conflict:
            advice = f"choose another --out, or --overwrite to replace {conflict.replaced}"
            raise ValueError(f"{conflict.problem}; {advice}") from conflict
    _report(result)
    if result.failures:
        failed = len(result.failures)
        total = failed + len(result.scores)
        say(f"error: {failed} of {total} images could not be used; they are listed in {result.failures_file}")
        raise typer.Exit(FAILED)


def _report(result: FolderPrediction) -> None:
    """Say what was scored, how the supports compare, what is an alarm, and the five highest scores."""

    count, reference = len(result.supports), result.support_scores
    among = "against the others" if count > 1 else "mirrored, against itself"
    tell(f"{result.scored} images scored, {result.known} kept from before: {result.scores_file}")
    tell(f"for comparison, the supports ({count}; each {among}) score {min(reference):.4g} to {max(reference):.4g}")
    for position in result.odd:
        say(
            f"warning: support {result.supports[position]} stands apart from the others (suspicion "
            f"{result.suspicion[position]:.2g}): look at it, since every score depends on it"
        )
    tell(result.calibration.sentence())
    if "alarm" in result.scores:
        tell(f"{int(result.scores['alarm'].sum())} of {len(result.scores)} images are alarms")
    highest = result.scores.sort_values("score", ascending=False, kind="stable").head()
    for name, score in zip(highest["name"], highest["score"]):
        tell(f"  {score:.4g}  {name}")
    if result.gallery is not None:
        tell(f"to look at: {result.gallery}")
    if result.gone:
        say(f"note: {result.gone} rows of scores.csv are of images that are not in the folder now")
    if result.supports_among_images:
        say(
            f"warning: {result.supports_among_images} of the images are supports or --normals themselves; their scores "
            "mean nothing"
        )
