"""The benchmark on processes that raise, die and hang: nothing lost, nothing twice, every failure with its reason."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import Executor, Future
from pathlib import Path

import pytest
from tiny_benchmark import TinyWork, behave, tiny_plan

from d24fad_lite.runs.benchmark import drive
from d24fad_lite.runs.benchmark.board import estimate, read_board
from d24fad_lite.runs.benchmark.cells import CellFolder
from d24fad_lite.runs.benchmark.drive import run_benchmark
from d24fad_lite.runs.engines import EngineSettings
from d24fad_lite.runs.engines.ends import EngineLost, WorkerLost
from d24fad_lite.sole_writer import sole_writer


class Inline(Executor):
    """Runs at once, in this process."""

    def submit(self, fn, /, *args, **kwargs):
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "open_engine", lambda *_: Inline())
    monkeypatch.setattr(drive, "POLL", 0.01)
    monkeypatch.setattr(drive, "AGAIN", 0.05)


def quiet(_: str) -> None:
    pass


@pytest.mark.slow
def test_processes_that_raise_die_and_hang_do_not_stop_the_others(tmp_path: Path) -> None:
    behave(tmp_path, _1="raise", _2="memory", _3="die", _4="die-once", _5="sleep 60")
    said: list[str] = []
    settings = EngineSettings("local", workers=2, minutes=1)
    object.__setattr__(settings, "minutes", 4 / 60)
    ended = run_benchmark(tiny_plan(8), tmp_path, settings, attempts=2, say=said.append)
    kinds = [one.result.kind or one.result.status for one in ended]
    completed = "completed"
    assert kinds == [completed, "exception", "memory", "lost worker", completed, "time limit", completed, completed]
    assert "SIGKILL" in ended[3].result.reason and "2 tries" in ended[3].result.reason
    assert "an unlucky seed" in ended[1].result.reason
    assert len(said) == 8 and len({line.split("  ")[0].split("] ")[1] for line in said}) == 8
    deaths = CellFolder(tmp_path, ended[4].cell).deaths()
    assert len(deaths) == 1 and deaths[0]["end"] == "lost worker"


def test_a_second_call_takes_over_what_is_done_and_tries_again_what_failed(inline: None, tmp_path: Path) -> None:
    behave(tmp_path, _1="raise")
    first = run_benchmark(tiny_plan(3), tmp_path, say=quiet)
    assert [one.result.status for one in first] == ["completed", "failed", "completed"]
    behave(tmp_path)
    again = run_benchmark(tiny_plan(3), tmp_path, say=quiet)
    assert [(one.result.status, one.kept) for one in again] == [
        ("completed", True),
        ("completed", False),
        ("completed", True),
    ]


@pytest.mark.parametrize("damage", ["report", "result", "key"])
def test_a_result_that_is_not_as_it_was_written_is_computed_anew(inline: None, tmp_path: Path, damage: str) -> None:
    (one,) = run_benchmark(tiny_plan(1), tmp_path, say=quiet)
    folder = CellFolder(tmp_path, one.cell)
    if damage == "report":
        (folder.reports / "one.json").write_text("{}")
    if damage == "result":
        path = folder.path / "result.json"
        path.write_text(path.read_text()[:-9])
    (again,) = run_benchmark(tiny_plan(1, key="other" if damage == "key" else "key"), tmp_path, say=quiet)
    assert not again.kept and again.result.status == "completed"
    assert json.loads((folder.reports / "one.json").read_text()) == {"seed": 0}


def test_deaths_are_counted_across_calls_that_were_killed(inline: None, tmp_path: Path) -> None:
    plan = tiny_plan(1)
    folder = CellFolder(tmp_path, plan.cells[0])
    for _ in range(3):  # workers that were killed together with the process that waited for them
        with sole_writer(folder.path, "a cell"):
            folder.begin()
    assert [entry["end"] for entry in folder.deaths()] == ["lost worker"] * 2
    (one,) = run_benchmark(plan, tmp_path, say=quiet)
    assert one.result.status == "failed" and one.result.kind == "lost worker"


def test_a_cell_that_another_process_has_is_asked_for_again_until_it_is_done(
    inline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["busy", "busy"])
    call = TinyWork.__call__
    monkeypatch.setattr(TinyWork, "__call__", lambda self: next(answers, None) or call(self))
    (one,) = run_benchmark(tiny_plan(1), tmp_path, say=quiet)
    assert one.result.status == "completed" and len(CellFolder(tmp_path, one.cell).attempts()) == 1


def test_a_cell_that_a_worker_of_an_earlier_call_has_is_not_submitted_again(
    inline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, submitted, released = tiny_plan(2), [], threading.Event()
    folder = CellFolder(tmp_path, plan.cells[0])
    submit = Inline.submit
    monkeypatch.setattr(Inline, "submit", lambda self, fn: submitted.append(fn.cell.seed) or submit(self, fn))

    def earlier() -> None:
        with sole_writer(folder.path, "a cell"):
            released.wait(10)

    worker = threading.Thread(target=earlier)
    worker.start()
    while not folder.in_use():
        time.sleep(0.01)
    threading.Timer(0.4, released.set).start()
    ended = run_benchmark(plan, tmp_path, say=quiet)
    worker.join()
    assert [one.result.status for one in ended] == ["completed"] * 2 and submitted == [1, 0]


def test_an_engine_that_is_gone_is_opened_again_and_blames_no_cell(
    inline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dying(Inline):
        def submit(self, fn, /, *args, **kwargs):
            future: Future = Future()
            future.set_exception(EngineLost("the scheduler is gone"))
            return future

    engines = iter([Dying(), Dying(), Inline()])
    monkeypatch.setattr(drive, "open_engine", lambda *_: next(engines))
    said: list[str] = []
    ended = run_benchmark(tiny_plan(4), tmp_path, say=said.append)
    assert [one.result.status for one in ended] == ["completed"] * 4
    assert sum("trying to reach it again" in line for line in said) == 2
    assert not any(CellFolder(tmp_path, one.cell).deaths() for one in ended)
    monkeypatch.setattr(drive, "open_engine", lambda *_: Dying())
    with pytest.raises(EngineLost, match="lost 5 times in a row"):
        run_benchmark(tiny_plan(4, key="another"), tmp_path, say=quiet)


def test_a_worker_that_could_not_say_how_it_ended_is_noted_by_the_process_that_waits(
    inline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: TinyWork) -> str:
        folder = CellFolder(self.out, self.cell)
        with sole_writer(folder.path, "a cell"):
            folder.begin()
        raise WorkerLost("node n7 failed")

    monkeypatch.setattr(TinyWork, "__call__", killed)
    (one,) = run_benchmark(tiny_plan(1), tmp_path, say=quiet, attempts=3)
    assert one.result.kind == "lost worker" and one.result.reason.startswith("3 tries; the last: WorkerLost: node n7")


def test_the_board_tells_done_failed_running_and_waiting_and_what_is_left(inline: None, tmp_path: Path) -> None:
    plan = tiny_plan(4)
    behave(tmp_path, _1="raise")
    small = tiny_plan(2)
    run_benchmark(small, tmp_path, say=quiet)
    folder = CellFolder(tmp_path, plan.cells[2])
    with sole_writer(folder.path, "a cell"):
        folder.begin()
        board = read_board(plan, tmp_path)
    assert [one.state for one in board.cells] == ["done", "failed", "running", "waiting"]
    assert board.summary() == "1 done, 1 failed, 1 running, 1 waiting"
    assert estimate(board, 2).startswith("3 cells are left: about 0.0 minutes with 2 at a time")
    assert "once one of each method has been measured" in estimate(read_board(tiny_plan(4, "other"), tmp_path), 2)


def test_settings_of_an_engine_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="engine must be one of|unknown engine|'dsk'"):
        EngineSettings("dsk")
    with pytest.raises(ValueError, match="address='tcp://x' is for the engine dask, not for local"):
        EngineSettings("local", address="tcp://x")
    with pytest.raises(ValueError, match="workers=-1 must be 0 or more"):
        EngineSettings("local", workers=-1)
