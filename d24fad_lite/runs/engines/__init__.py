"""One door for executors: anything with the interface of `concurrent.futures.Executor`, opened by name.

with open_engine(EngineSettings("local", workers=2), folder, attempts=3) as executor:
    future = executor.submit(work)
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

from d24fad_lite.messages import choose_one_of

ENGINES = ("local", "dask", "slurm")


@dataclass(frozen=True)
class EngineSettings:
    """Where cells are computed.

    Attributes
    ----------
    name : {"local", "dask", "slurm"}
    workers : int
        Works at a time; 0: one per core or GPU of this machine, on Slurm 100 jobs.
    gpus : int
        local: GPUs that the workers share; slurm: GPUs of one job. 0: none.
    threads : int
        Threads (Slurm: cores) of one work; 0: what the engine gives.
    minutes : int
        Longest time of one work; 0: no limit, on Slurm a day.
    memory_gb : float
        Slurm: memory of one job; 0: the cluster's default.
    address : str
        dask: of the scheduler; empty: a cluster of this machine.
    partition : str
        Slurm's.
    extra : dict of str
        Slurm: further options of sbatch, {"account": "lab"}.
    """

    name: str = "local"
    workers: int = 0
    gpus: int = 0
    threads: int = 0
    minutes: int = 0
    memory_gb: float = 0.0
    address: str = ""
    partition: str = ""
    extra: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise ValueError(choose_one_of("engine", self.name, ENGINES))
        for name in ("workers", "gpus", "threads", "minutes", "memory_gb"):
            if not 0 <= getattr(self, name) < 10**6:
                raise ValueError(f"{name}={getattr(self, name)!r} must be 0 or more")
        for name, needs in (("address", "dask"), ("partition", "slurm"), ("memory_gb", "slurm"), ("extra", "slurm")):
            if getattr(self, name) and self.name != needs:
                raise ValueError(f"{name}={getattr(self, name)!r} is for the engine {needs}, not for {self.name}")

    @property
    def remote(self) -> bool:
        """Whether its work goes on when this process ends."""
        return self.name == "slurm" or bool(self.address)

    @property
    def at_a_time(self) -> int:
        """Works that run at a time."""
        from d24fad_lite.runs.processor import cores

        if self.workers:
            return self.workers
        return 100 if self.name == "slurm" else self.gpus or max(1, cores() // max(1, self.threads))

    @property
    def threads_of_work(self) -> int | None:
        """Threads of PyTorch in one work; None leaves what the engine gives."""
        from d24fad_lite.runs.processor import cores

        if self.threads or self.remote:
            return self.threads or None
        return max(1, cores() // self.at_a_time)


def open_engine(settings: EngineSettings, folder: Path, attempts: int) -> Executor:
    """The executor that these settings name.

    Parameters
    ----------
    settings : EngineSettings
    folder : Path
        For the files of the engine, where every worker sees it.
    attempts : int
        Deaths after which a work is given up.

    Raises
    ------
    ValueError
        A scheduler that does not answer, Slurm's commands that are absent.
    ModuleNotFoundError
        The engine's package is not installed.
    """
    if settings.name == "local":
        from d24fad_lite.runs.engines.local import LocalExecutor

        return LocalExecutor(settings.at_a_time, settings.gpus, 60 * settings.minutes or None)
    if settings.name == "dask":
        from d24fad_lite.runs.engines.dask import DaskExecutor

        return DaskExecutor(settings.address, settings.at_a_time, attempts)
    from d24fad_lite.runs.engines.slurm import SlurmExecutor

    return SlurmExecutor(
        folder / "slurm",
        minutes=settings.minutes or 24 * 60,
        memory_gb=settings.memory_gb or None,
        cpus=settings.threads or 1,
        gpus=settings.gpus,
        partition=settings.partition or None,
        at_a_time=settings.at_a_time,
        extra=settings.extra,
    )
