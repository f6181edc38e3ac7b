"""Several notebooks at a time: starting a kernel and importing use one core, so two side by side finish much sooner."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TypeVar

from d24fad_lite.runs.kernel import end_running
from d24fad_lite.runs.processor import cores

Result = TypeVar("Result")
THREADS_VARIABLE = "OMP_NUM_THREADS"


def side_by_side(calls: Sequence[Callable[[], Result]], jobs: int = 1) -> Iterator[tuple[int, Result]]:
    """Results of the calls as (position, result), in the order in which they end; at most `jobs` run at a time.

    With one job everything runs in the calling thread. Whatever stops the loop (Ctrl-C above all) ends the kernels that
    run, starts no further call, and goes on as it came.
    """
    if jobs <= 1:
        for position, call in enumerate(calls):
            yield position, call()
        return
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(call): position for position, call in enumerate(calls)}
        try:
            while waiting:
                for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(done), done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            end_running()
            raise


def require_limits(timeout: float | None, jobs: int | None) -> None:
    """Refuse a time limit that is no number of seconds, and fewer than one job. Raises ValueError."""
    if timeout is not None and not 0 <= timeout < math.inf:
        raise ValueError(f"timeout {timeout!r} must be a number of seconds, 0 for no limit")
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs {jobs!r} must be at least 1")


def thread_limit(jobs: int) -> Mapping[str, str]:
    """Environment of each of `jobs` kernels, so that together they use the machine's cores once."""
    return {} if jobs <= 1 else {THREADS_VARIABLE: str(max(1, cores() // jobs))}
