"""Work in a process of its own that is killed without warning, and how to see what it left."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
from tally import SEED

# A server that has imported the kit forks a process for each try: a start costs milliseconds, not seconds.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["victims"])

PATIENCE = 60.0  # seconds that anything here may take at most
Work = Callable[..., None]


def seconds_of(work: Work, *arguments: Any) -> float:
    """Run to the end; how long that took, with the process's start."""
    started(time.sleep, (0,)).join(PATIENCE)  # the server itself starts once, which is not the work's time
    began = time.monotonic()
    process = started(work, arguments)
    process.join(PATIENCE)
    assert process.exitcode == 0, f"{work.__name__} ended with {process.exitcode}"
    return time.monotonic() - began


def killed(work: Work, *arguments: Any, after: float) -> bool:
    """Run, and kill (SIGKILL) after so many seconds; False where the work had ended before.

    Processes that the work had started must end by themselves within `PATIENCE`.
    """
    process = started(work, arguments)
    process.join(after)
    if not process.is_alive():
        assert process.exitcode == 0, f"{work.__name__} ended with {process.exitcode}"
        return False
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.join(PATIENCE)
    _, alive = psutil.wait_procs(children, timeout=PATIENCE)
    assert not alive, f"{len(alive)} processes outlived the one that had started them"
    return True


def started(work: Work, arguments: tuple[Any, ...]) -> Any:
    """A process that does the work, with the environment of now."""
    process = PROCESSES.Process(target=_with_environment, args=(dict(os.environ), work, arguments))
    process.start()
    return process


def _with_environment(environment: dict[str, str], work: Work, arguments: tuple[Any, ...]) -> None:
    os.environ.update(environment)  # that of now; the server forks with that of its own start
    work(*arguments)


def kill_again_and_again(
    wanted: int, whole: float, seed: int, start: Callable[[int], tuple[Any, ...]]
) -> Iterator[int]:
    """Kill work at random moments until that has happened `wanted` times; the number of the run, after every try.

    A run is killed up to three times; one that ended before it could be killed is followed by the next.

    whole : seconds of an uninterrupted run, with its start
    start : number of a run -> the work and its arguments
    """
    rng, done, run, of_run = np.random.default_rng([SEED, seed]), 0, 0, 0
    for _ in range(20 * wanted):
        if done == wanted:
            return
        hit = killed(*start(run), after=rng.uniform(0, whole))
        done, of_run = done + hit, of_run + hit
        yield run
        if not hit or of_run == 3:
            run, of_run = run + 1, 0
    raise AssertionError(f"only {done} of {wanted} tries met the work alive")
