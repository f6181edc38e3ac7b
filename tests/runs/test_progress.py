"""Time-outs count silence and idleness, not the clock: a busy computer stops nothing that gets on."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from d24fad_lite.runs.processor import cpu_seconds_of
from d24fad_lite.runs.progress import Progress


def end(
    limit: float, cores: int, share: float, wall: float, says_every: float = float("inf"), step: float = 0.2
) -> tuple[float, str]:
    """When and why a tree is stopped that gets `share` of one core; the clock is simulated."""
    progress = Progress(limit, cores, now=0.0)
    for tick in range(int(wall / step) + 1):
        why = progress.complaint(share * tick * step, tick * step, int(tick * step / says_every))
        if why:
            return tick * step, why
    return wall, ""


def test_a_kernel_that_gets_a_tenth_of_a_core_has_ten_times_as_long() -> None:
    assert end(limit=600, cores=2, share=0.1, wall=5_000) == (5_000, "")


def test_one_that_computes_for_ever_in_silence_is_stopped_when_every_core_has_had_its_time() -> None:
    when, why = end(limit=60, cores=2, share=2.0, wall=1_000)
    assert 60 <= when < 61 and why == "stopped after 120 s of computing in silence, the time-out of 60 s on every core"
    assert end(limit=60, cores=2, share=1.0, wall=1_000)[0] == pytest.approx(120, abs=1)


@pytest.mark.parametrize("share", [0.0, 0.003])
def test_one_that_waits_is_stopped_after_the_limit_whatever_its_threads_do(share: float) -> None:
    when, why = end(limit=60, cores=2, share=share, wall=1_000)
    assert 60 <= when < 67 and why == "stopped after 60 s without progress, the notebook's time-out"


@pytest.mark.parametrize("share", [0.0, 2.0])
def test_one_that_sends_something_now_and_then_is_never_stopped(share: float) -> None:
    assert end(limit=60, cores=2, share=share, wall=5_000, says_every=50) == (5_000, "")
    assert end(limit=60, cores=2, share=0.0, wall=5_000, says_every=70)[0] < 70


def test_waiting_counts_from_the_last_work() -> None:
    progress = Progress(10, 2, now=0.0)
    for tick in range(200):  # half a core for 20 s, then nothing
        assert not progress.complaint(0.5 * min(tick / 5, 20), tick / 5 if tick < 100 else 20 + (tick - 100) / 25)
    assert not progress.complaint(10.0, 29.0)
    assert "without progress" in progress.complaint(10.0, 32.0)


def test_the_time_of_children_that_have_ended_is_counted() -> None:
    work = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass"
    run = f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {work!r}])"
    parent = f"{run}\nprint('done', flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "done\n"
            assert 0.4 < cpu_seconds_of([psutil.Process(process.pid)]) < 5
        finally:
            process.kill()
