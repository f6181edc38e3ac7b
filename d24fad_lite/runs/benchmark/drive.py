"""Bring a benchmark to its end on an engine: submit what is missing, count deaths, go on where it was.

What has been done is known from files alone (see `cells.py`); this process may be killed at any moment and started
again, also on another engine or another machine that sees the folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from pathlib import Path

from d24fad_lite.runs.benchmark.cells import Cell, CellFolder, CellResult
from d24fad_lite.runs.benchmark.plan import ATTEMPTS, BenchmarkPlan
from d24fad_lite.runs.benchmark.work import BUSY, end_of, one_line
from d24fad_lite.runs.engines import EngineSettings, open_engine
from d24fad_lite.runs.engines.ends import EngineLost

AGAIN = 5.0  # seconds until a cell that another process has is asked for again
ENGINE_DEATHS = 5  # in a row, without a cell that ended between them
POLL = 0.5


@dataclass(frozen=True)
class EndedCell:
    """A cell and its result; `kept` where an earlier run had computed it."""

    cell: Cell
    result: CellResult
    kept: bool


class Detached(KeyboardInterrupt):
    """The user has left; the work goes on elsewhere."""


def run_benchmark(
    plan: BenchmarkPlan,
    out: Path | str,
    engine: EngineSettings | None = None,
    *,
    attempts: int = ATTEMPTS,
    detach: bool | None = None,
    names: bool = False,
    say: Callable[[str], None] = print,
) -> list[EndedCell]:
    """Compute every cell that has no result yet; a cell that dies does not stop the others.

    A cell that failed in an earlier run is tried again.

    Parameters
    ----------
    plan : BenchmarkPlan
    out : path
        Folder of the benchmark, where every worker sees it.
    engine : EngineSettings, optional
        Default: processes of this machine.
    attempts : int, default 3
        Deaths of a cell (an exception, memory, a time limit, a worker that is gone) after which it has failed.
    detach : bool, optional
        Whether Ctrl-C leaves the work running elsewhere; default: where that is possible.
    names : bool, default False
        Leave names of files and patients in the reports.
    say : function of str
        Takes one line per cell that has ended.

    Returns
    -------
    list of EndedCell, in the order of the plan

    Raises
    ------
    ValueError
        An engine that cannot be opened, attempts below 1.
    EngineLost
        The engine died time and again; the same call goes on from what is done.
    KeyboardInterrupt
        Ctrl-C; `Detached` where work goes on elsewhere.
    """
    if attempts < 1:
        raise ValueError(f"attempts={attempts!r} must be at least 1")
    return _Drive(plan, Path(out).resolve(), engine or EngineSettings(), attempts, names, say).run(detach)


def ended_cells(plan: BenchmarkPlan, out: Path) -> list[EndedCell]:
    """The cells that have ended, in the order of the plan; computes nothing."""
    found = ((cell, CellFolder(out, cell).result(plan.key_of(cell))) for cell in plan.cells)
    return [EndedCell(cell, result, kept=True) for cell, result in found if result is not None]


class _Drive:
    def __init__(
        self,
        plan: BenchmarkPlan,
        out: Path,
        engine: EngineSettings,
        attempts: int,
        names: bool,
        say: Callable[[str], None],
    ) -> None:
        self.plan, self.out, self.engine, self.attempts, self.names, self.say = plan, out, engine, attempts, names, say
        self.ended: dict[Cell, EndedCell] = {}
        self.waiting: dict[Future[str], Cell] = {}
        self.later: list[tuple[float, Cell]] = []  # asked for again at that time
        self.engine_deaths = 0

    def run(self, detach: bool | None) -> list[EndedCell]:
        missing = [cell for cell in self.plan.cells if not self._taken_over(cell)]
        if missing:
            self.executor = self._open()
            leaves = self.engine.remote if detach is None else detach and self.engine.remote
            self._until_done(missing, leaves)
        return [self.ended[cell] for cell in self.plan.cells]

    def _until_done(self, missing: list[Cell], leaves: bool) -> None:
        try:
            for cell in missing:
                self._submit(cell)
            while self.waiting or self.later:
                self._resubmit_due()
                for future in wait(self.waiting, timeout=POLL, return_when=FIRST_COMPLETED).done:
                    if future in self.waiting:  # not taken back meanwhile, with an engine that is lost
                        self._settle(self.waiting.pop(future), future)
        except BaseException as stop:
            if leaves and isinstance(stop, KeyboardInterrupt):
                _leave(self.executor)
                raise Detached from None
            self.executor.shutdown(wait=False, cancel_futures=True)
            self._close_interrupted()
            raise
        self.executor.shutdown()

    def _taken_over(self, cell: Cell) -> bool:
        folder = CellFolder(self.out, cell)
        found = folder.result()
        if found is not None and found.status == "completed" and found.key == self.plan.key_of(cell):
            self._end(cell, found, kept=True)
            return True
        if found is not None and not folder.in_use():
            folder.forget()  # another run's, or a failure that is tried again
        return False

    def _open(self) -> Executor:
        self.out.mkdir(parents=True, exist_ok=True)
        return open_engine(self.engine, self.out, self.attempts)

    def _submit(self, cell: Cell) -> None:
        if CellFolder(self.out, cell).in_use():  # by a worker of an earlier call, which goes on without it
            self.later.append((time.monotonic() + AGAIN, cell))
            return
        work = self.plan.work(cell, self.out, self.engine.threads_of_work, self.attempts, self.names)
        try:
            self.waiting[self.executor.submit(work)] = cell
        except Exception as error:  # an executor whose far end is gone refuses in its own words
            future: Future[str] = Future()
            future.set_exception(EngineLost(one_line(error)))
            self.waiting[future] = cell

    def _resubmit_due(self) -> None:
        due = [cell for at, cell in self.later if at <= time.monotonic()]
        self.later = [(at, cell) for at, cell in self.later if at > time.monotonic()]
        for cell in due:
            self._submit(cell)
        if not self.waiting:
            time.sleep(POLL)

    def _settle(self, cell: Cell, future: Future[str]) -> None:
        folder, error = CellFolder(self.out, cell), future.exception()
        if isinstance(error, EngineLost):
            self._reopen(error)
            self.later.append((time.monotonic(), cell))
            return
        if error is not None and not folder.in_use():
            folder.end(end_of(error), one_line(error))  # a worker that was killed could not say so itself
        if error is None and future.result() == BUSY:
            self.later.append((time.monotonic() + AGAIN, cell))
            return
        result = folder.result(self.plan.key_of(cell))
        if result is None and len(folder.deaths()) >= self.attempts:
            result = self._given_up(folder, cell)
        if result is None:
            self.later.append((time.monotonic(), cell))
            return
        self.engine_deaths = 0
        self._end(cell, result, kept=False)

    def _given_up(self, folder: CellFolder, cell: Cell) -> CellResult:
        deaths = folder.deaths()
        kinds = ", ".join(dict.fromkeys(entry["end"] for entry in deaths))
        reason = str(deaths[-1].get("reason", ""))
        key = self.plan.key_of(cell)
        result = CellResult(status="failed", key=key, kind=kinds, reason=f"{len(deaths)} tries; the last: {reason}")
        folder.write(result)
        return result

    def _reopen(self, error: EngineLost) -> None:
        """Another engine in the place of one that is gone; whatever waited for it is asked for again."""
        if self.waiting and not all(future.done() for future in self.waiting):
            self.executor.shutdown(wait=False, cancel_futures=True)
        self.later += [(time.monotonic(), cell) for cell in self.waiting.values()]
        self.waiting.clear()
        while True:
            self.engine_deaths += 1
            if self.engine_deaths > ENGINE_DEATHS:
                raise EngineLost(f"the engine {self.engine.name} was lost {ENGINE_DEATHS} times in a row ({error})")
            self.say(f"the engine is lost ({error}); trying to reach it again")
            try:
                self.executor = self._open()
                return
            except (ValueError, OSError) as again:
                error = EngineLost(one_line(again))

    def _close_interrupted(self) -> None:
        for cell in self.waiting.values():
            folder = CellFolder(self.out, cell)
            if folder.path.is_dir() and not folder.in_use():
                folder.end("interrupted")

    def _end(self, cell: Cell, result: CellResult, kept: bool) -> None:
        self.ended[cell] = EndedCell(cell, result, kept)
        how = "kept" if kept else f"{result.seconds:.1f} s"
        failure = f"  {result.kind}: {result.reason}" if result.status == "failed" else ""
        self.say(f"[{len(self.ended):2d}/{len(self.plan.cells)}] {cell.label}  {result.status} ({how}){failure}")


def _leave(executor: Executor) -> None:
    """Go without taking anything back."""
    getattr(executor, "detach", executor.shutdown)()
