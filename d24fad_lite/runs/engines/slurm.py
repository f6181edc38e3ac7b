"""The engine `slurm`: works as job arrays, by submitit; how a job ended is asked of Slurm itself."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from d24fad_lite.runs.engines.ends import Cancelled, LostWork, OutOfMemory, TimeLimit, WorkerLost
from d24fad_lite.runs.engines.slurm_states import LIVE, job_states, largest_array

COLLECT = 1.0  # seconds without a further submission after which all that wait are sent as one array
POLL = 2.0
GRACE = 20.0  # seconds that a result may take to appear in a shared folder after its job has ended
UNSEEN = 90.0  # seconds after which a job that Slurm does not know is lost
ENDS: Mapping[str, type[LostWork]] = {
    "TIMEOUT": TimeLimit,
    "DEADLINE": TimeLimit,
    "OUT_OF_MEMORY": OutOfMemory,
    "CANCELLED": Cancelled,
}


@dataclass
class _Job:
    """A work that was sent: its future, submitit's job, when it was last seen alive, when it was seen ended."""

    future: Future[Any]
    job: Any
    seen: float
    ended: float | None = None


class SlurmExecutor(Executor):
    """Each work is one task of a job array; works that are submitted together go into as few arrays as Slurm allows.

    Parameters
    ----------
    folder : Path
        For submitit's files, where every node sees it.
    minutes : int
        Time limit of a job. A work is warned up to a minute and a half before it, and ends then.
    memory_gb : float, optional
        Memory of a job; default: the cluster's.
    cpus, gpus : int
        Of a job.
    partition : str, optional
    at_a_time : int
        Jobs of an array that run at a time. Where the works need several arrays, each has this limit.
    extra : mapping of str
        Further options of sbatch, {"account": "lab"}.

    Raises
    ------
    ValueError
        Slurm's commands are not there.
    """

    def __init__(
        self,
        folder: Path,
        *,
        minutes: int,
        memory_gb: float | None,
        cpus: int,
        gpus: int,
        partition: str | None,
        at_a_time: int,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        if missing := [name for name in ("sbatch", "srun", "scancel") if shutil.which(name) is None]:
            raise ValueError(
                f"the engine slurm needs Slurm's commands, but {', '.join(missing)} cannot be found here; log in to a "
                "node of the cluster from which jobs are submitted, or use --engine local or dask"
            )
        import submitit

        self._executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=0)
        wanted: dict[str, Any] = {
            "slurm_time": minutes,
            "cpus_per_task": cpus,
            "gpus_per_node": gpus or None,
            "slurm_mem": f"{round(1024 * memory_gb)}M" if memory_gb else None,
            "slurm_partition": partition,
            "slurm_array_parallelism": at_a_time,
            "slurm_signal_delay_s": min(90, 15 * minutes),
            "slurm_job_name": "d24fad",
            "slurm_additional_parameters": {"requeue": True} | dict(extra or {}),
        }
        self._executor.update_parameters(**{name: value for name, value in wanted.items() if value is not None})
        self._lock = threading.Lock()
        self._collected: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        self._last_submission = 0.0
        self._jobs: list[_Job] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="slurm", daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As `Executor.submit`; work that ended without a result raises a kind of `LostWork`."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            if self._stopping.is_set():
                raise RuntimeError("cannot submit after shutdown")
            self._collected.append((future, fn, args, kwargs))
            self._last_submission = time.monotonic()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for all works, or take them back with scancel."""
        while wait and not cancel_futures and (self._collected or self._jobs):
            time.sleep(POLL / 4)
        if cancel_futures:
            for one in list(self._jobs):
                one.job.cancel()
        self.detach()

    def detach(self) -> None:
        """Look after the jobs no longer; they go on. Futures that are open end as cancelled."""
        self._stopping.set()
        self._thread.join()
        for future in [one.future for one in self._jobs] + [future for future, *_ in self._collected]:
            if not future.done():
                future.set_exception(Cancelled("nobody waits for this job any more"))

    def _watch(self) -> None:
        while not self._stopping.wait(min(COLLECT, POLL) / 2):
            with self._lock:
                ready = self._collected and time.monotonic() - self._last_submission >= COLLECT
                collected = self._collected if ready else []
                self._collected = [] if ready else self._collected
            if collected:
                self._send(collected)
            if self._jobs:
                self._look()

    def _send(self, collected: list[Any]) -> None:
        """All that waits, as few arrays as the cluster allows."""
        largest = largest_array()
        for first in range(0, len(collected), largest):
            self._send_array(collected[first : first + largest])

    def _send_array(self, collected: list[Any]) -> None:
        try:
            with self._executor.batch():
                jobs = [self._executor.submit(fn, *args, **kwargs) for _, fn, args, kwargs in collected]
        except Exception as error:  # sbatch refuses: an unknown partition, a limit of the account
            reason = ValueError(f"Slurm refused the jobs: {' '.join(str(error).split())[:400]}")
            for future, *_ in collected:
                future.set_exception(reason)
            return
        now = time.monotonic()
        self._jobs += [_Job(future, job, now) for (future, *_), job in zip(collected, jobs, strict=True)]

    def _look(self) -> None:
        """Fulfil the futures of jobs that have ended."""
        waiting = [one for one in self._jobs if not self._fulfilled(one)]
        states = job_states([one.job.job_id for one in waiting]) if waiting else {}
        if states is None:
            for one in waiting:
                one.seen = time.monotonic()
        else:
            waiting = [one for one in waiting if not self._lost(one, states.get(one.job.job_id))]
        self._jobs = waiting

    def _fulfilled(self, one: _Job) -> bool:
        """Whether the job has left a result; its future has it then."""
        from submitit.core.utils import pickle_load

        if not one.job.paths.result_pickle.exists():
            return False
        try:
            outcome, result = pickle_load(one.job.paths.result_pickle)
        except (EOFError, OSError):
            return False  # half of it has arrived
        except Exception as error:  # a class that cannot be imported here
            one.future.set_exception(RuntimeError(f"job {one.job.job_id}: its result cannot be read here ({error!r})"))
            return True
        if outcome == "success":
            one.future.set_result(result)
        else:  # submitit keeps the text of a traceback
            last = str(result).strip().splitlines()[-1]
            kind = TimeLimit if "UncompletedJobError" in last and "timed-out" in last else RuntimeError
            one.future.set_exception(kind(f"job {one.job.job_id}: {last}"))
        return True

    def _lost(self, one: _Job, state: str | None) -> bool:
        """Whether the job has ended without a result; its future says how then."""
        now = time.monotonic()
        if state in LIVE:
            one.seen, one.ended = now, None
            return False
        if state is None:
            if now - one.seen < UNSEEN:
                return False
            one.future.set_exception(WorkerLost(f"Slurm no longer knows job {one.job.job_id}, which left no result"))
            return True
        one.ended = one.ended or now
        if state in ("COMPLETED", "FAILED") and now - one.ended < GRACE:
            return False
        kind = OutOfMemory if _out_of_memory(one.job.paths.stderr) else ENDS.get(state, WorkerLost)
        one.future.set_exception(kind(f"Slurm ended job {one.job.job_id}: {state}"))
        return True


def _out_of_memory(log: Path) -> bool:
    """Whether Slurm's own lines in a job's log say so: the state of the job is often FAILED only."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return False
    return any("slurmstepd" in line and "oom" in line.lower() for line in text.splitlines())
