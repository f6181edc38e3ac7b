"""The engine `dask`: a scheduler at an address, or a cluster of this machine that lives as long as the work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from functools import partial
from typing import Any

from d24fad_lite.runs.engines.ends import EngineLost, WorkerLost

CONNECT = 30  # seconds to find the scheduler


class DaskExecutor(Executor):
    """Work on the workers of a Dask scheduler; each has one thread of work at a time where the kit starts them.

    Parameters
    ----------
    address : str
        Of a scheduler, "tcp://host:8786"; empty: a cluster of this machine.
    workers : int
        Of the cluster of this machine.
    attempts : int
        Workers that may die under one work before Dask gives it up.

    Raises
    ------
    ValueError
        No scheduler answers at the address.
    """

    def __init__(self, address: str, workers: int, attempts: int) -> None:
        import dask
        from distributed import Client, LocalCluster

        dask.config.set({"distributed.scheduler.allowed-failures": attempts})
        self.address = address
        self._cluster = None
        if not address:
            self._cluster = LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=50, memory_limit=0
            )
        try:
            self._client = Client(self._cluster or address, timeout=CONNECT, set_as_default=False)
        except OSError as error:
            raise ValueError(
                f"no Dask scheduler answers at {address!r} ({error}); start one with `dask scheduler`, and "
                "workers with `dask worker ADDRESS --nthreads 1`, or give no address for a cluster of this machine"
            ) from None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As `Executor.submit`; a worker that died comes as `WorkerLost`, a scheduler that did as `EngineLost`."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        inner = self._client.submit(fn, *args, pure=False, **kwargs)
        inner.add_done_callback(partial(_passed_on, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the scheduler; a cluster of this machine ends. What runs elsewhere is only taken back when asked."""
        if cancel_futures and self._client.status == "running":
            self._client.cancel(list(self._client.futures.values()), force=True)
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def _passed_on(future: Future[Any], inner: Any) -> None:
    from distributed import KilledWorker

    if future.done():
        return
    try:
        if inner.status == "lost":
            raise EngineLost("the scheduler no longer knows this work")
        future.set_result(inner.result())
    except KilledWorker as error:
        future.set_exception(WorkerLost(f"its workers died ({' '.join(str(error).split())[:200]})"))
    except CancelledError as error:
        future.set_exception(EngineLost(f"the connection to the scheduler is lost ({error})"))
    except Exception as error:
        future.set_exception(error)
