"""`d24fad check`: whether the whole path works on this computer, or what a folder of data holds."""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from .errors import FAILED, explain, say
from .options import writable_folder

PACKAGES = ("d24fad_lite", "torch", "torchvision", "timm", "accelerate", "numpy", "scikit-learn", "pillow")
OPTIONAL = {"papermill": "notebooks", "jupyterlab": "notebooks", "ipywidgets": "notebooks", "pydicom": "dicom",
            "nibabel": "nifti"}
OFTEN_USED = ("resnet18", "resnet50", "wide_resnet50_2", "wide_resnet50_2.tv_in1k")  # worth a line if in a cache


def check(
    root: Annotated[Path | None, typer.Argument(
        metavar="[ROOT]", help="Folder of tasks, of one task, or of images, to look at in place of this computer.",
        show_default=False)] = None,
    html: Annotated[Path | None, typer.Option(
        "--html", metavar="FILE", help="With ROOT: write the intake report, one page with a contact sheet.",
        show_default=False)] = None,
    test: Annotated[bool, typer.Option(help="Also draw, train, evaluate and predict on a few tiny images.")] = True,
) -> None:
    """Say what is installed and try the whole path on a few generated images, or look at every file of a folder.

    Why: before a long run, and in every report of a fault. Nothing is downloaded and nothing is left behind. With ROOT,
    before the first training: what is there, what is left out and why, which files are damaged, which masks do not
    fit, and what a lazy model could read from brightness or file size. Exit code 1 when there is an error among it.

    \b
    Examples:
      d24fad check
      d24fad check --no-test
      d24fad check my_tasks --html intake.html
    """
    if root is not None:
        _check_data(root, html)
        return
    if html is not None:
        raise ValueError("--html needs the folder to report on: d24fad check ROOT --html FILE")
    for line in _environment():
        typer.echo(line)
    if not test:
        return
    failed = 0
    with tempfile.TemporaryDirectory(prefix="d24fad-check-") as folder:
        for name, step in _steps(Path(folder)):
            started = time.perf_counter()
            try:
                found = step()
            except Exception as error:
                failed += 1
                say(f"FAILED  {name}: {explain(error) or f'{type(error).__name__}: {error}'}")
                break  # what follows builds on it
            typer.echo(f"ok      {name}: {found} ({time.perf_counter() - started:.1f} s)")
    if failed:
        raise typer.Exit(FAILED)
    typer.echo("everything works")


def _check_data(root: Path, html: Path | None) -> None:
    """Print the tables of the intake report, and write it."""
    from ..evaluation.intake.report import intake_report

    if html is not None:
        writable_folder(html.absolute().parent, "--html")  # better now than after an hour
    report = intake_report(root, progress=sys.stderr.isatty())
    typer.echo(report.text())
    if html is not None:
        typer.echo(f"saved {report.save(html)}")
    if report.errors:
        say(f"error: {report.errors} finding(s) would stop work or falsify results")
        raise typer.Exit(FAILED)


def _environment() -> Iterator[str]:
    import torch

    from ..model.weights.embedded import embedded_catalog

    yield f"system      {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    yield "packages    " + ", ".join(f"{name} {_version(name) or 'not installed'}" for name in PACKAGES)
    missing = {extra for name, extra in OPTIONAL.items() if _version(name) is None}
    for extra in sorted(missing):
        yield f"            without the extra {extra!r}: pip install 'd24fad_lite[{extra}]'"
    if torch.cuda.is_available():
        yield f"device      cuda, {torch.cuda.get_device_name(0)}"
    else:
        yield f"device      {'mps' if torch.backends.mps.is_available() else 'cpu'}, {torch.get_num_threads()} threads"
    yield f"weights     embedded: {', '.join(sorted(embedded_catalog()))}"
    yield from _imagenet_sources()


def _imagenet_sources() -> Iterator[str]:
    """One line for each teacher whose weights="imagenet" needs no network, and what to do where there is none."""
    from ..model.checkpoint import CheckpointError
    from ..model.weights.local import PREFERRED_TEACHER, best_local_teacher, weights_available
    from ..model.weights.packages import PACKAGES

    for teacher in (*PACKAGES, *OFTEN_USED):
        try:
            source = weights_available(teacher)
        except CheckpointError as error:
            yield f"            imagenet: {teacher} CANNOT BE USED: {error}"
        else:
            if source or teacher == PREFERRED_TEACHER:
                yield f"            imagenet: {teacher} from {source or 'a download (nothing local)'}"
    if notice := best_local_teacher().notice:
        yield f"            {notice}"


def _version(name: str) -> str | None:
    if name == "d24fad_lite":  # a checkout that is used without being installed has one too
        return __version__
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _steps(folder: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """The main job in small; each step works on what the one before it left in the folder."""
    from ..data.benchmark import open_benchmark
    from ..data.samples.world import write_samples
    from ..evaluation.evaluate import evaluate
    from ..model.config import D24FADConfig
    from ..model.detector import D24FAD
    from ..training.fit import fit
    from .folder_scores import score_folder
    from .score_store import ScoreStore

    model_file, root = folder / "model.safetensors", folder / "samples"

    def draw() -> str:
        write_samples(root, size=64, train=8, test=4, tasks=["HIS", "RSNA"])
        return f"{len(list(root.rglob('*.png')))} files"

    def train() -> str:
        model = D24FAD(D24FADConfig(image_size=64))
        history = fit(model, open_benchmark(root).without("RSNA"), shots=2, epochs=2, device="cpu", progress=False,
                      episodes="in-batch")
        model.save(model_file)
        return f"loss {history.rows[0]['loss']:.3f} -> {history.final_loss:.3f}"

    def measure() -> str:
        return evaluate(D24FAD.load(model_file), open_benchmark(root)["RSNA"], shots=2, draws=2).summary()

    def predict() -> str:
        supports = sorted((root / "RSNA/train/good").iterdir())[:4]
        store = ScoreStore(folder / "results", {"purpose": "check"})
        score_folder(D24FAD.load(model_file), root / "RSNA/test/good", supports, store, progress=False)
        return f"{len(store.rows)} images scored, with heatmaps"

    yield "draw samples", draw
    yield "train on HIS", train
    yield "evaluate on RSNA", measure
    yield "predict a folder", predict
