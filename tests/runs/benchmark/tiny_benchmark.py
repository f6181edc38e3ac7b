"""A benchmark whose cells take no time and behave as they are told; importable by the processes of any engine."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from d24fad_lite.files import write_json
from d24fad_lite.lessons.profiles import QUICK
from d24fad_lite.runs.benchmark.cells import Cell, CellFolder
from d24fad_lite.runs.benchmark.plan import BenchmarkPlan
from d24fad_lite.runs.benchmark.work import CellWork

BEHAVIOUR = "behaviour.json"  # in the benchmark's folder: seed of a cell -> what it does, else it completes


class TinyWork(CellWork):
    """A cell that writes one small report, after doing what behaviour.json says of it."""

    def _computed(self, folder: CellFolder) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        told = json.loads((self.out / BEHAVIOUR).read_text()) if (self.out / BEHAVIOUR).is_file() else {}
        what, _, how = told.get(str(self.cell.seed), told.get("all", "")).partition(" ")
        if what == "raise":
            raise ValueError("an unlucky seed")
        if what == "memory":
            raise MemoryError("it did not fit")
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "die-once" and not folder.deaths():
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "eat":
            eaten = []
            while True:
                eaten.append(os.urandom(20_000_000))
                time.sleep(0.02)
        if what == "sleep":
            time.sleep(float(how))
        write_json(folder.reports / "one.json", {"seed": self.cell.seed})
        return [{"seed": self.cell.seed, "value": 1 / (1 + self.cell.seed)}], {}


@dataclass(frozen=True)
class TinyPlan(BenchmarkPlan):
    """Its cells are `TinyWork`."""

    def work(self, cell: Cell, out: Path, threads: int | None, attempts: int, names: bool = False) -> TinyWork:
        return TinyWork(**vars(super().work(cell, out, threads, attempts, names)))


def tiny_plan(count: int, key: str = "key") -> TinyPlan:
    """A plan of so many cells, which differ in their seed."""
    cells = tuple(Cell("T", "mean-feature", seed, 0, (2,)) for seed in range(count))
    return TinyPlan(
        profile=QUICK,
        data=Path(),
        device="cpu",
        tasks=("T",),
        methods=("mean-feature",),
        readings=(),
        draw_seed=0,
        cells=cells,
        key=key,
        share_cache=False,
    )


def behave(out: Path, **told: str) -> None:
    """Write what cells do: `behave(out, _3="raise", all="sleep 0.1")`."""
    write_json(out / BEHAVIOUR, {name.lstrip("_"): what for name, what in told.items()})
