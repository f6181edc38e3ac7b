"""Work side by side: every result once, never more at a time than asked, and no further start after a stop."""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from d24fad_lite.runs.execute import run_notebook
from d24fad_lite.runs.parallel import side_by_side, thread_limit
from d24fad_lite.runs.processor import cores


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_every_call_gives_its_result_once_and_no_more_run_at_a_time_than_jobs(jobs: int) -> None:
    lock, running, most = threading.Lock(), 0, 0

    def call(value: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return value * value

    results = list(side_by_side([partial(call, value) for value in range(7)], jobs))
    assert sorted(results) == [(value, value * value) for value in range(7)]
    assert most <= jobs and (jobs == 1 or most > 1)


def test_one_job_runs_in_the_calling_thread() -> None:
    assert list(side_by_side([threading.current_thread])) == [(0, threading.main_thread())]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_stops_the_rest_and_comes_out_as_it_was(jobs: int) -> None:
    started = []

    def call(value: int) -> int:
        started.append(value)
        if value == 0:
            raise KeyboardInterrupt
        time.sleep(0.05)
        return value

    with pytest.raises(KeyboardInterrupt):
        list(side_by_side([partial(call, value) for value in range(20)], jobs))
    assert len(started) < 20


def test_kernels_side_by_side_share_the_cores() -> None:
    assert thread_limit(1) == {}
    assert thread_limit(2) == {"OMP_NUM_THREADS": str(max(1, cores() // 2))}
    assert thread_limit(10_000) == {"OMP_NUM_THREADS": "1"}


def test_kernels_side_by_side_work_in_the_folder_of_their_notebook(tmp_path: Path) -> None:
    """papermill would change the working directory of the whole process, for the other kernels too."""
    here, sources = Path.cwd(), []
    for number in range(4):
        cell = new_code_cell("from pathlib import Path\nPath('here').write_text(str(Path.cwd()))")
        sources.append(tmp_path / str(number) / "00_where.ipynb")
        sources[-1].parent.mkdir()
        nbformat.write(new_notebook(cells=[cell]), sources[-1])
    calls = [partial(run_notebook, source, tmp_path / "out" / source.parent.name / source.name) for source in sources]
    results = dict(side_by_side(calls, 2))
    assert {result.status for result in results.values()} == {"completed"}
    assert all((source.parent / "here").read_text() == str(source.parent) for source in sources)
    assert Path.cwd() == here
