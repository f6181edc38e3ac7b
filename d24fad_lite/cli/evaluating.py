"""`d24fad evaluate`: an honest number for one task, or several."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from d24fad_lite.cli.errors import say, tell
from d24fad_lite.cli.options import (
    Data,
    Device,
    ImageSize,
    Method,
    TeacherModule,
    TeacherName,
    Weights,
    import_teacher,
    load_model,
    make_config,
    model_facts,
    require_writable,
)
from d24fad_lite.csv_files import write_frame
from d24fad_lite.files import fitting_name
from d24fad_lite.listings import names_of, numbers_of
from d24fad_lite.sole_writer import sole_writer

if TYPE_CHECKING:
    from d24fad_lite.evaluation.baselines.detector import BaselineDetector
    from d24fad_lite.evaluation.report import EvaluationReport
    from d24fad_lite.evaluation.scorer import Scorer
    from d24fad_lite.model.detector import D24FAD

PER_IMAGE = "per-image"


def evaluate(
    data: Data,
    task: Annotated[
        list[str], typer.Option(metavar="TASK", help='Task to test; comma or repeat; a name with a comma in "..".')
    ],
    model: Annotated[
        Path | None, typer.Argument(metavar="[MODEL]", help="model.safetensors of d24fad fit.", show_default=False)
    ] = None,
    untrained: Annotated[
        bool, typer.Option("--untrained", help="In place of MODEL: a detector before any training, as a baseline.")
    ] = False,
    teacher: TeacherName = "resnet18",
    weights: Weights = "embedded",
    image_size: ImageSize = 128,
    teacher_module: TeacherModule = "",
    reading: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Read the detector as released, paper or matched; comma or repeat for several in one "
            "table.  [default: as it was saved]",
        ),
    ] = None,
    method: Method = "",
    shots: Annotated[str, typer.Option(metavar="K,K,..", help="Numbers of supports.")] = "2,4,8",
    draws: Annotated[int, typer.Option(help="Support sets per K, drawn from the task's training normals.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws: the same for every method and nested over K.")] = 0,
    protocol: Annotated[
        str, typer.Option(help="per-image; or official, which LEAKS (to measure the difference).")
    ] = PER_IMAGE,
    batch_size: Annotated[int, typer.Option(help="Test images per batch; never changes a score.")] = 32,
    pixel: Annotated[bool, typer.Option(help="Pixel AUROC where the task has masks.")] = True,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the reports (JSON and CSV).  [default: not saved]", show_default=False),
    ] = None,
    names: Annotated[
        bool,
        typer.Option("--names", help="Write names of images and patients into the reports, in place of ids."),
    ] = False,
    device: Device = "auto",
) -> None:
    """Measure how well a detector finds the anomalies of a task, with intervals.

    Why: one number from one lucky draw of supports says little. Here each K is drawn several times, each image is
    scored by itself, and the 95 % interval covers the draws and the test images. --teacher, --weights and
    --image-size belong to --untrained; a MODEL knows its own. The reports can be shared: they call an image "image
    0007" and hold no path; the key to the names is names.csv beside each, which is private.

    \b
    Examples:
      d24fad evaluate run/model.safetensors --data samples --task RSNA
      d24fad evaluate run/model.safetensors --data samples --task RSNA --shots 4 --draws 30 --out reports
      d24fad evaluate run/model.safetensors --data samples --task RSNA --reading released,paper,matched
      d24fad evaluate run/model.safetensors --data samples --task RSNA --method nearest-patch
      d24fad evaluate --untrained --teacher resnet18 --data samples --task RSNA,HIS
    """
    from d24fad_lite.data.benchmark import open_benchmark, require_both_classes, task_names
    from d24fad_lite.evaluation.evaluate import evaluate as measure
    from d24fad_lite.evaluation.evaluate import require_measurable

    if (model is None) is not untrained:
        raise ValueError(
            "give either a MODEL (model.safetensors of d24fad fit) or --untrained" + (", not both" if untrained else "")
        )
    if method == "matched" and reading:
        raise ValueError("--method matched is the reading matched, so --reading undoes it: leave one out")
    counts, wanted = numbers_of(shots, "--shots"), names_of(task, task_names(data))
    bench = open_benchmark(data, wanted)
    for tested in bench.values():
        require_both_classes(tested)  # of all tasks, before the first is scored
    if out is not None:
        require_writable(out)
    detector = (
        load_model(model, teacher_module, device, method)
        if model
        else _untrained(teacher, weights, image_size, teacher_module, device, method)
    )
    scorers = _readings(detector, names_of(reading))
    for tested, k, scorer in product(bench.values(), counts, scorers.values()):
        require_measurable(scorer, tested, k, draws, seed, protocol=protocol, batch_size=batch_size)
    table = LiveTable(task=bench, reading=scorers, protocol=[protocol])
    with sole_writer(out, "an evaluation") if out is not None else nullcontext():
        for name in dict.fromkeys(map(bench.resolve, wanted)):
            _warn_if_seen(model, name)
            for k, (read_as, scorer) in product(counts, scorers.items()):
                report = measure(
                    scorer,
                    bench[name],
                    k,
                    draws,
                    seed,
                    protocol=protocol,
                    batch_size=batch_size,
                    pixel=pixel,
                    progress=sys.stderr.isatty(),
                )
                table.add(_row(report, read_as))
                if out is not None:
                    report.save(out / fitting_name(f"{name}_K{k}{'_' * bool(read_as)}{read_as}"), names=names)
        table.conclude(out)


def _readings(detector: D24FAD | BaselineDetector, names: list[str]) -> Mapping[str, D24FAD | Scorer]:
    """What to measure, by the reading's name; the detector itself, under "", where none is asked for."""
    from d24fad_lite.evaluation.baselines.variants import DetectorVariant
    from d24fad_lite.evaluation.scorer import as_scorer
    from d24fad_lite.evaluation.shared_teacher import SharedTeacher
    from d24fad_lite.model.detector import D24FAD

    if not names:
        return {"": detector if isinstance(detector, D24FAD) else as_scorer(detector)}
    if not isinstance(detector, D24FAD):
        raise ValueError(f"--reading {', '.join(names)} is for a D24FAD; {detector.method!r} reads in its own way")
    teacher = SharedTeacher(detector)  # each image goes through it once for all readings
    return {name: DetectorVariant(detector, f"D²4FAD, {name}", teacher=teacher, reading=name) for name in names}


def _untrained(
    teacher: str, weights: str, image_size: int, teacher_module: str, device: str, method: str
) -> D24FAD | BaselineDetector:
    """A detector of any method as it is before any training."""
    from d24fad_lite.evaluation.baselines.by_name import create_detector
    from d24fad_lite.model.device import pick_device

    own = import_teacher(teacher_module) if teacher_module else teacher
    config = make_config("kit", None, teacher=own, weights=weights, image_size=image_size)
    return create_detector(method or "d24fad", config).to(pick_device(device, "--device")).eval()


def _warn_if_seen(model: Path | None, task: str) -> None:
    """Warn when a detector was trained on the task that it is measured on."""
    trained_on = model_facts(model).get("trained_on", []) if model else []
    if task in trained_on:
        say(f"warning: {model} was trained on the normal images of {task} too; this is no leave-one-task-out result")


def _row(report: EvaluationReport, read_as: str) -> dict[str, object]:
    """One line of the table."""
    low, high = report.ci
    pixel = report.pixel_auroc
    head = {"task": report.task, "reading": read_as} if read_as else {"task": report.task}
    return head | {
        "K": report.shots,
        "AUROC": report.auroc,
        "low": low,
        "high": high,
        "AP": report.average_precision,
        "F1-max": report.f1_max,
        "pixel AUROC": float("nan") if pixel is None else pixel,
        "draws": report.draws,
        "normal": report.n_normal,
        "anomalous": report.n_anomalous,
        "protocol": report.protocol,
    }


class LiveTable:
    """A table that is printed row by row: each measurement is told once, and as soon as it is known.

    Parameters
    ----------
    widest : dict of str to iterable of str, the texts that a column will hold, where they are wider than its name
    """

    def __init__(self, **widest: Iterable[str]) -> None:
        self.rows: list[dict[str, object]] = []
        self._widest = {name: max(map(len, texts), default=0) for name, texts in widest.items()}

    def add(self, row: dict[str, object]) -> None:
        """Print a row, the names of the columns before the first one."""
        widths = [max(len(name), self._widest.get(name, 5)) for name in row]
        if not self.rows:
            tell(" ".join(name.rjust(width) for name, width in zip(row, widths)))
        tell(" ".join(_cell(value).rjust(width) for value, width in zip(row.values(), widths)))
        self.rows.append(row)

    def conclude(self, folder: Path | None) -> None:
        """Say what the columns mean and, with a folder, save the table as summary.csv."""
        import pandas as pd

        from d24fad_lite.evaluation.report import LEAKY

        tell("AUROC: of images, mean over draws; low, high: its 95 % interval over draws and test images")
        if any(row["protocol"] != PER_IMAGE for row in self.rows):
            tell(f"protocol official: {LEAKY}")
        if folder is not None:
            write_frame(folder / "summary.csv", pd.DataFrame(self.rows))
            tell(f"saved {folder / 'summary.csv'} and one folder per row")


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return "-" if math.isnan(value) else f"{value:.3f}"
