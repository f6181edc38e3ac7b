"""The work of one cell: train, evaluate, write. A plain call without a kernel, that any engine can carry anywhere."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d24fad_lite.files import file_sha256, sha256_of
from d24fad_lite.messages import without_folders
from d24fad_lite.runs.benchmark.cells import Cell, CellFolder, CellResult
from d24fad_lite.runs.benchmark.methods import SHORTCUTS, Setting, method
from d24fad_lite.runs.engines.ends import LostWork
from d24fad_lite.sole_writer import FolderInUse, sole_writer

if TYPE_CHECKING:
    from d24fad_lite.evaluation.report import EvaluationReport
    from d24fad_lite.lessons.profiles import Profile

DONE, BUSY, GIVEN_UP = "done", "busy", "given up"


@dataclass(frozen=True)
class CellWork:
    """What an engine is given: a call without arguments that leaves the cell's result in the shared folder.

    Attributes
    ----------
    cell : Cell
    out : Path
        The benchmark's folder, the same for all workers.
    key : str
        See `CellResult`.
    data : Path
        Folder of tasks, the same for all workers.
    profile : Profile
        Settled: with the teacher, the epochs and so on of this benchmark.
    readings : tuple of str
    draw_seed : int
        Of the draws of supports, the same in every cell.
    device : str
    threads : int or None
        Of PyTorch; None leaves them as they are. Trained numbers depend on it in their last digits.
    attempts : int
        Deaths after which it is not tried again.
    share_cache : bool
        Keep trained detectors where the lessons keep theirs, not in the cell's folder.
    names : bool
        Leave names of files and patients in the reports.
    """

    cell: Cell
    out: Path
    key: str
    data: Path
    profile: Profile
    readings: tuple[str, ...]
    draw_seed: int
    device: str
    threads: int | None
    attempts: int
    share_cache: bool = False
    names: bool = False

    def __call__(self) -> str:
        """`DONE`, also where it was done before; `BUSY` where another process has it; `GIVEN_UP` after too many deaths.

        Raises what the method raises; the end is noted first.
        """
        folder = CellFolder(self.out, self.cell)
        try:
            with sole_writer(folder.path, "a cell of a benchmark"):
                if folder.result(self.key) is not None:
                    return DONE
                folder.begin()
                if len(folder.deaths()) >= self.attempts:
                    folder.end("given up")
                    return GIVEN_UP
                return self._tried(folder)
        except FolderInUse:
            return BUSY

    def checkpoint(self) -> Any:
        """Slurm takes the node back or the time is nearly over: no death; the work goes on later, from its state."""
        from submitit.helpers import DelayedSubmission

        CellFolder(self.out, self.cell).end("preempted")
        return DelayedSubmission(self)

    def _tried(self, folder: CellFolder) -> str:
        began = time.monotonic()
        try:
            rows, facts = self._computed(folder)
        except BaseException as error:
            folder.end(end_of(error), one_line(error))
            raise
        files = {p.relative_to(folder.path).as_posix(): file_sha256(p) for p in sorted(folder.reports.rglob("*.*"))}
        seconds = round(time.monotonic() - began, 2)
        folder.write(CellResult(status="completed", key=self.key, rows=rows, seconds=seconds, facts=facts, files=files))
        folder.end("completed")
        return DONE

    def _computed(self, folder: CellFolder) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Rows of the table, and facts; the reports are written."""
        import torch

        from d24fad_lite.data.benchmark import open_benchmark
        from d24fad_lite.lessons.lesson_detectors import LessonDetectors

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        cell, bench = self.cell, open_benchmark(self.data)
        store = None if self.share_cache else folder.detectors
        detectors = LessonDetectors(profile=self.profile, seed=cell.seed, device=self.device, store=store)
        setting = Setting(detectors, bench, bench[cell.task], cell.train_shots, self.readings)
        shutil.rmtree(folder.reports, ignore_errors=True)
        rows = []
        for name, report in self._reports(setting):
            report = replace(report, method=name, facts=report.facts | {"train_shots": cell.train_shots})
            report.save(report_folder(folder.reports, name, report.shots), names=self.names)
            rows.append(self._row(name, report))
        facts = {"device": self.device, "threads": torch.get_num_threads(), "processor": platform.processor()}
        return rows, facts | {"torch": torch.__version__}

    def _reports(self, setting: Setting) -> Iterator[tuple[str, EvaluationReport]]:
        from d24fad_lite.evaluation.evaluate import evaluate

        p, task = self.profile, setting.task
        if self.cell.method == SHORTCUTS:
            yield from self._shortcuts(setting)
            return
        scorers = method(self.cell.method).build(setting)
        for name, scorer in scorers.items():
            for k in self.cell.shots:
                yield name, evaluate(scorer, task, k, p.draws, self.draw_seed)

    def _shortcuts(self, setting: Setting) -> Iterator[tuple[str, EvaluationReport]]:
        """The best statistic at each K, on the same draws as every other method."""
        from d24fad_lite.evaluation.baselines.shortcuts import shortcut_reports
        from d24fad_lite.evaluation.evaluate import evaluate

        (any_scorer,) = method("mean-feature").build(setting).values()
        for k in self.cell.shots:
            drawn = evaluate(any_scorer, setting.task, k, self.profile.draws, self.draw_seed, pixel=False)
            found = shortcut_reports(setting.task, drawn, self.profile.image_size)
            yield "best shortcut", max(found, key=lambda report: report.auroc)

    def _row(self, name: str, report: EvaluationReport) -> dict[str, Any]:
        """One row of results.csv: the report's numbers, and what they rest on."""
        low, high = report.ci
        return {
            "task": self.cell.task,
            "method": name,
            "K": report.shots,
            "AUROC": report.auroc,
            "low": low,
            "high": high,
            "pixel AUROC": report.pixel_auroc,
            "AP": report.average_precision,
            "F1-max": report.f1_max,
            "draws": report.draws,
            "normal": report.n_normal,
            "anomalous": report.n_anomalous,
            "train K": self.cell.train_shots,
            "seed": self.cell.seed,
            "protocol": report.protocol,
        }


def report_folder(reports: Path, name: str, shots: int) -> Path:
    """Where the report of a row at this K lies."""
    readable = "_".join("".join(c if c.isalnum() or c in "-." else " " for c in name).split())
    return reports / f"{readable[:80]}~{sha256_of(name)[:6]}_K{shots}"


def end_of(error: BaseException) -> str:
    """How work ended that ended with this exception: one of the kinds of `runs/engines/ends.py`, or "exception"."""
    if isinstance(error, LostWork):
        return error.kind
    if type(error).__name__ == "UncompletedJobError":  # submitit's, when Slurm does not let a job go on
        return "time limit"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "memory"
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return "interrupted"
    return "exception"


def one_line(error: BaseException) -> str:
    """The exception in one line and without folders of this machine."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return without_folders(text)[:500]
