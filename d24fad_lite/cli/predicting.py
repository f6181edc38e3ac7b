"""`d24fad predict`: scores and heatmaps for a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import FAILED, resumable, say
from .options import Device, Reading, TeacherModule, load_model, writable_folder

if TYPE_CHECKING:
    from .folder_scores import Outcome
    from .score_store import ScoreStore


def predict(
    model: Annotated[Path, typer.Argument(help="model.safetensors of d24fad fit.")],
    images: Annotated[Path, typer.Argument(help="Folder of images (png jpg bmp tif dcm, 8 or 16 bit; subfolders "
                                                "too), or one image.")],
    supports: Annotated[list[Path], typer.Option(
        metavar="PLACE", help="Normal reference images of the same kind: a folder or a file; repeat.")],
    out: Annotated[Path, typer.Option(help="Folder for scores.csv and heatmaps.")],
    shots: Annotated[int, typer.Option(help="Draw so many of the supports; 0 takes all of them.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of that draw.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Images per batch; never changes a score.")] = 32,
    heatmap_size: Annotated[int, typer.Option(metavar="PX", help="Longer side of the heatmaps; 0 for none.")] = 256,
    reading: Reading = "",
    device: Device = "auto",
    teacher_module: TeacherModule = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results of other settings in --out.")]
    = False,
) -> None:
    """Score your own images: the higher the score, the less an image is like the supports. NOT FOR CLINICAL USE.

    Why: a few normal images of your own kind, device and view are all that the detector needs to know of a new task.
    Writes OUT/scores.csv (name, score, sha256), OUT/heatmaps (all on one colour scale, set by the supports: red
    at half strength is the most that a support shows) and, for images that cannot be read, OUT/failures.csv with exit
    code 1. Other files in the folder are counted and named. Say the same command again to go on after Ctrl-C or to add
    images: what has its score is not scored again.

    \b
    Examples:
      d24fad predict run/model.safetensors scans --supports normals --out results
      d24fad predict run/model.safetensors scan.dcm --supports a.dcm --supports b.dcm --out results
      d24fad predict run/model.safetensors scans --supports normals --shots 8 --heatmap-size 0 --out results
      d24fad predict run/model.safetensors scans --supports normals --reading matched --out results
    """
    from ..data.layouts.found import printable
    from ..model.config import D24FADConfig
    from .folder_scores import list_items, score_folder
    from .score_store import ScoreStore

    chosen = choose_supports(supports, shots, seed)
    list_items(images, out)  # a wrong path is said before a model is read
    if reading:
        D24FADConfig.reading(reading)  # a wrong name likewise
    if not model.is_file():
        raise FileNotFoundError(f"model {model} does not exist or is not a file; d24fad fit writes one")
    settings = {"model": _sha256(model), "supports": [_sha256(path) for path in chosen]}
    settings |= {"reading": reading} if reading else {}
    store = ScoreStore(writable_folder(out), settings, overwrite)
    detector = load_model(model, teacher_module, device).read_as(reading or None)
    with resumable(f"{out} keeps what is scored; the same command goes on from there"):
        outcome = score_folder(detector, images, chosen, store, batch_size=batch_size, heatmap_size=heatmap_size,
                               on_failure=lambda name, reason: say(f"unusable: {printable(name)}: {printable(reason)}"))
    _tell(store, outcome, len(chosen))
    if store.failures:
        say(f"error: {len(store.failures)} of {len(store.failures) + len(store.rows)} images could not be used; "
            f"they are listed in {out / 'failures.csv'}")
        raise typer.Exit(FAILED)


def choose_supports(places: list[Path], shots: int, seed: int) -> list[Path]:
    """The files behind --supports, or `shots` of them. Raises FileNotFoundError, LayoutError, ValueError."""
    from ..data.benchmark import open_folder
    from ..data.episodes import draw_supports

    files = [path for place in places for path in ([place] if place.is_file() else open_folder(place).paths)]
    if not shots:
        return files
    if not 0 < shots <= len(files):
        raise ValueError(f"--shots {shots} of {len(files)} supports cannot be drawn; give 1 to {len(files)}, or 0 for "
                         "all of them")
    return [files[i] for i in draw_supports(len(files), shots, 1, seed)[0]]


def _tell(store: ScoreStore, outcome: Outcome, count: int) -> None:
    from ..data.layouts.found import printable

    reference = outcome.reference.scores
    among = "against the others" if count > 1 else "mirrored, against itself"
    typer.echo(f"{outcome.scored} images scored, {outcome.kept} kept from before: {store.folder / 'scores.csv'}")
    typer.echo(f"for comparison, the supports ({count}; each {among}) score {min(reference):.4g} to "
               f"{max(reference):.4g}")
    ranked = sorted(store.rows.values(), key=lambda row: -float(row.score))
    for row in ranked[:5]:
        typer.echo(f"  {float(row.score):.4g}  {printable(row.name)}")
    if outcome.gone:
        say(f"note: {outcome.gone} rows of scores.csv are of images that are not in the folder now")
    if outcome.supports_among_them:
        say(f"warning: {outcome.supports_among_them} of the images are supports themselves; their scores mean nothing")


def _sha256(path: Path) -> str:
    import hashlib

    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
