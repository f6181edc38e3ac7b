"""The engine `local`: processes of this machine, by pebble, which tells which died and stops what takes too long."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from functools import partial
from typing import Any

from d24fad_lite.runs.engines.ends import TimeLimit, WorkerLost
from d24fad_lite.runs.processor import exit_text


class LocalExecutor(Executor):
    """Worker processes that are kept from one work to the next.

    Parameters
    ----------
    workers : int
    gpus : int
        GPUs that they share; each worker sees one. 0: all workers see all.
    seconds : float, optional
        Longest time of one work, after which its process is ended.
    """

    def __init__(self, workers: int, gpus: int = 0, seconds: float | None = None) -> None:
        from pebble import ProcessPool

        context = multiprocessing.get_context("spawn")  # a fork would take PyTorch's threads along half-alive
        started = context.Value("i", 0)
        self._pool = ProcessPool(workers, initializer=_begin, initargs=(started, gpus), context=context)
        self.seconds = seconds

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As `Executor.submit`; a process that died and a time that ran out come as kinds of `LostWork`."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        inner = self._pool.schedule(fn, args=args, kwargs=kwargs, timeout=self.seconds)
        inner.add_done_callback(partial(_passed_on, future, self.seconds))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers: after their work, or at once."""
        if cancel_futures:
            self._pool.stop()
        else:
            self._pool.close()
        if wait or cancel_futures:
            self._pool.join()


def _begin(started: Any, gpus: int) -> None:
    """In a new worker, before it imports PyTorch: its GPU; and Ctrl-C is the business of the process that waits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with started.get_lock():
        number, started.value = started.value, started.value + 1
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(number % gpus)


def _passed_on(future: Future[Any], seconds: float | None, inner: Future[Any]) -> None:
    from pebble import ProcessExpired

    try:
        future.set_result(inner.result())
    except ProcessExpired as error:
        future.set_exception(WorkerLost(f"its process ended with {exit_text(error.exitcode)}"))
    except TimeoutError as error:
        of_work = error.__cause__ is not None  # the traceback of the other process
        future.set_exception(error if of_work else TimeLimit(f"it took longer than {seconds:g} s"))
    except (CancelledError, Exception) as error:
        future.set_exception(error)
