"""How far a benchmark is, read from its files: done, failed, running, waiting; and how long the rest will take."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from d24fad_lite.runs.benchmark.cells import Cell, CellFolder
from d24fad_lite.runs.benchmark.plan import BenchmarkPlan

STATES = ("done", "failed", "running", "waiting")


@dataclass(frozen=True)
class CellState:
    """One cell: its state of `STATES`, seconds it took, deaths so far, and what is to be said of it."""

    cell: Cell
    state: str
    seconds: float
    deaths: int
    about: str


@dataclass(frozen=True)
class Board:
    """The states of all cells, and what is left to do."""

    cells: list[CellState]

    def count(self, state: str) -> int:
        """Cells in this state."""
        return sum(one.state == state for one in self.cells)

    def summary(self) -> str:
        """One line: "12 done, 0 failed, 2 running, 11 waiting"."""
        return ", ".join(f"{self.count(state)} {state}" for state in STATES)

    def seconds_left(self) -> float | None:
        """Of one worker, from the median of measured cells of the same method; None where a method has none yet."""
        total = 0.0
        for one in self.cells:
            if one.state in ("running", "waiting", "failed"):
                measured = [e.seconds for e in self.cells if e.state == "done" and e.cell.method == one.cell.method]
                if not measured:
                    return None
                total += statistics.median(measured)
        return total


def read_board(plan: BenchmarkPlan, out: Path) -> Board:
    """The board of a plan whose results lie under `out`; reads files, starts nothing."""
    return Board([_state(cell, CellFolder(out, cell), plan.key_of(cell)) for cell in plan.cells])


def _state(cell: Cell, folder: CellFolder, key: str) -> CellState:
    result, attempts = folder.result(key), folder.attempts()
    deaths = len(folder.deaths())
    if result is not None:
        state = "done" if result.status == "completed" else "failed"
        return CellState(cell, state, result.seconds, deaths, f"{result.kind}: {result.reason}" if result.kind else "")
    if folder.in_use():
        last = attempts[-1] if attempts else {}
        return CellState(cell, "running", 0.0, deaths, f"on {last.get('host', '?')} since {last.get('began', '?')}")
    last_end: dict[str, Any] = next((entry for entry in reversed(attempts) if "end" in entry), {})
    about = f"{last_end['end']}: {last_end.get('reason', '')}" if deaths else ""
    return CellState(cell, "waiting", 0.0, deaths, about)


def estimate(board: Board, at_a_time: int) -> str:
    """What is left, in one sentence."""
    open_cells = len(board.cells) - board.count("done")
    seconds = board.seconds_left()
    if not open_cells:
        return "nothing is left to do"
    if seconds is None:
        return f"{open_cells} cells are left; how long they take is known once one of each method has been measured"
    hours = seconds / at_a_time / 3600
    shown = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"
    return f"{open_cells} cells are left: about {shown} with {at_a_time} at a time, from the median of measured cells"


def lines(cells: Sequence[CellState]) -> list[str]:
    """One line per cell."""
    width = max((len(one.cell.label) for one in cells), default=0)
    shown = []
    for one in cells:
        how = f"{one.seconds:.1f} s" if one.state == "done" else one.about
        deaths = f"  ({one.deaths} death{'s' * (one.deaths > 1)})" if one.deaths else ""
        shown.append(f"{one.cell.label:{width}}  {one.state:8s} {how}{deaths}".rstrip())
    return shown
