"""One cell of the benchmark and its folder: who tried it, how that ended, and its result, the last file written.

<out>/cells/<label>/attempts.json     every try: begun when, where, and how it ended; the count survives any crash
<out>/cells/<label>/reports/<row>_K4/ an `EvaluationReport` for each row of the table and each K
<out>/cells/<label>/detectors/        trained detectors, and the state of a training that has not ended
<out>/cells/<label>/result.json       written last: rows, facts, and the sha256 of every report
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from d24fad_lite.files import UnreadableFile, read_json_or_none, write_json
from d24fad_lite.runs.grid import label
from d24fad_lite.runs.identity import changed_result
from d24fad_lite.schemas import Schema, checked
from d24fad_lite.sole_writer import in_use

CELLS = "cells"
COUNTED = ("exception", "memory", "time limit", "lost worker", "lost", "cancelled")  # ends that are deaths


@dataclass(frozen=True)
class Cell:
    """The unit of work: a task, a method, a training seed. Shots, draws and readings are read from one training.

    Attributes
    ----------
    task : str
        Left out of training, and evaluated.
    method : str
        As `methods.method` knows it.
    seed : int
        Of initial weights and episodes; 0 for what no seed changes.
    train_shots : int
        Supports per query in training; 0 for what is not trained.
    shots : tuple of int
        The numbers of supports K that are evaluated.
    """

    task: str
    method: str
    seed: int
    train_shots: int
    shots: tuple[int, ...]

    @property
    def label(self) -> str:
        """Its folder: "method=d24fad,seed=0,task=RSNA"; with train_shots where it is trained for one K alone."""
        point: dict[str, Any] = {"task": self.task, "method": self.method, "seed": self.seed}
        if len(self.shots) == 1:
            point["shots"] = self.shots[0]
        return label(point)


class CellResult(Schema):
    """What became of a cell, as result.json holds it.

    status : how it ended for good
    key : equal keys, equal numbers; what a resume compares
    rows : of the table, one per scorer and K
    seconds : of the try that ended it
    kind, reason : how it failed, as in `runs/engines/ends.py`, and in one line; empty when completed
    facts : device, threads, processor, versions
    files : sha256 of its reports by path from the cell's folder
    """

    status: Literal["completed", "failed"]
    key: str
    rows: list[dict[str, Any]] = Field(default_factory=list)
    seconds: float = 0.0
    kind: str = ""
    reason: str = ""
    facts: dict[str, Any] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)


class CellFolder:
    """The files of a cell under the benchmark's folder."""

    def __init__(self, out: Path, cell: Cell) -> None:
        self.path = out / CELLS / cell.label
        self.reports, self.detectors = self.path / "reports", self.path / "detectors"

    def result(self, key: str | None = None) -> CellResult | None:
        """The result, where it is one of this key (None: of any) and its reports are as they were written."""
        path = self.path / "result.json"
        try:
            found = checked(CellResult, read_json_or_none(path), path, "run the benchmark again")
        except UnreadableFile:
            return None
        if key is not None and found.key != key:
            return None
        return None if found.status == "completed" and changed_result(self.path, found.files) else found

    def write(self, result: CellResult) -> None:
        """Write the result, whole or not at all."""
        write_json(self.path / "result.json", result.model_dump())

    def forget(self) -> None:
        """Begin anew: no result, no deaths counted. A training's own state stays."""
        for name in ("result.json", "attempts.json"):
            (self.path / name).unlink(missing_ok=True)

    def attempts(self) -> list[dict[str, Any]]:
        """Every try so far; one without an end is running, or was killed."""
        found = read_json_or_none(self.path / "attempts.json")
        return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []

    def deaths(self) -> list[dict[str, Any]]:
        """The tries that ended badly."""
        return [entry for entry in self.attempts() if entry.get("end") in COUNTED]

    def begin(self) -> None:
        """Note a try. Only its sole writer calls this, so an earlier one without an end was killed, or requeued."""
        here = {"host": platform.node(), "process": os.getpid(), "job": os.environ.get("SLURM_JOB_ID", "")}
        open_tries = [entry for entry in self.attempts() if "end" not in entry]
        if os.environ.get("SLURM_RESTART_COUNT") and open_tries and open_tries[-1].get("job") == here["job"]:
            entries = self._ended("preempted", "Slurm has requeued the job")
        else:
            entries = self._ended("lost worker", "the process that worked on it is gone")
        entries.append({"began": _now()} | here)
        write_json(self.path / "attempts.json", entries)

    def end(self, kind: str, reason: str = "") -> None:
        """Note how the try that has no end yet has ended; nothing where there is none.

        A try that was noted as preempted has ended at its time limit where Slurm does not let it go on.
        """
        write_json(self.path / "attempts.json", self._ended(kind, reason))

    def _ended(self, kind: str, reason: str) -> list[dict[str, Any]]:
        end, entries = {"end": kind, "reason": reason, "ended": _now()}, self.attempts()
        if entries and entries[-1].get("end") == "preempted" and kind == "time limit":
            entries[-1] |= end
        return [entry if "end" in entry else entry | end for entry in entries]

    def in_use(self) -> bool:
        """Whether a process works on the cell now."""
        return in_use(self.path)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
