"""A benchmark on a Dask cluster whose workers, scheduler and client are killed: every cell once in the table."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tally import SEED, SHARE, cases, count
from tiny_benchmark import behave, tiny_plan

from d24fad_lite.runs.benchmark.board import read_board
from d24fad_lite.runs.benchmark.cells import CellFolder
from d24fad_lite.runs.benchmark.drive import ended_cells

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CELLS, SECONDS, EVERY = 24, 2.0, 3.0
HERE = Path(__file__).parent
CLIENT = """
import sys
from pathlib import Path
from tiny_benchmark import tiny_plan
from d24fad_lite.runs.benchmark.drive import run_benchmark
from d24fad_lite.runs.engines import EngineSettings
run_benchmark(tiny_plan(int(sys.argv[1])), sys.argv[2], EngineSettings("dask", address=sys.argv[3]), attempts=50)
"""


class Cluster:
    """A scheduler and two workers, each a process that can be killed; whoever is killed is started again."""

    def __init__(self, port: int, log: Path) -> None:
        self.address, self.port, self.log = f"tcp://127.0.0.1:{port}", port, log.open("ab")
        paths = [str(HERE), str(HERE.parents[1]), str(HERE.parents[1] / "tests/runs/benchmark")]
        self.environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        self.scheduler = self._scheduler()
        self.workers = [self._worker() for _ in range(2)]

    def client(self, number: int, out: Path) -> subprocess.Popen[bytes]:
        return self._start("-c", CLIENT, str(number), str(out), self.address)

    def kill_worker(self, which: int) -> None:
        self._kill(self.workers[which])
        self.workers[which] = self._worker()

    def kill_scheduler(self) -> None:
        self._kill(self.scheduler)
        self.scheduler = self._scheduler()

    def tend(self) -> None:
        """Start anew what has ended by itself, as a cluster's service manager does."""
        for which, worker in enumerate(self.workers):
            if worker.poll() is not None:
                self.workers[which] = self._worker()

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            self._kill(process)
        self.log.close()

    def _scheduler(self) -> subprocess.Popen[bytes]:
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"]
        return self._start("-m", "distributed.cli.dask_scheduler", *where)

    def _worker(self) -> subprocess.Popen[bytes]:
        how = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0", "--death-timeout", "20"]
        return self._start("-m", "distributed.cli.dask_worker", self.address, *how)

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, *arguments]
        return subprocess.Popen(command, env=self.environment, stdout=self.log, stderr=self.log)

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    pytest.importorskip("distributed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cluster = Cluster(port, tmp_path / "log")
    yield cluster
    cluster.close()


def test_workers_scheduler_and_client_are_killed_and_every_cell_is_there_once(cluster: Cluster, tmp_path: Path) -> None:
    number, out = max(6, len(cases(CELLS))), tmp_path / "grid"
    behave(out, all=f"sleep {SECONDS if SHARE > 0.9 else 0.5}")
    chance, plan = random.Random(SEED), tiny_plan(number)
    client, kills, killed = cluster.client(number, out), 0, set()
    began = last = time.monotonic()
    while client.poll() is None:
        time.sleep(0.1)
        assert time.monotonic() - began < 600, (tmp_path / "log").read_text()[-4000:]
        cluster.tend()
        done = read_board(plan, out).count("done")
        if done >= number // 3 and "scheduler" not in killed:
            cluster.kill_scheduler()
            killed.add("scheduler")
        elif done >= 2 * number // 3 and "client" not in killed:
            client.kill()
            client.wait()
            killed.add("client")
            client = cluster.client(number, out)
        elif time.monotonic() - last > EVERY * (1 if SHARE > 0.9 else 2):
            cluster.kill_worker(chance.randrange(2))
            kills, last = kills + 1, time.monotonic()
    assert client.returncode == 0, (tmp_path / "log").read_text()[-4000:]
    assert killed == {"scheduler", "client"} and kills >= 1
    ended = ended_cells(plan, out)
    assert [one.cell.seed for one in ended] == list(range(number))
    assert [one.result.rows for one in ended] == [[{"seed": s, "value": 1 / (1 + s)}] for s in range(number)]
    for one in ended:
        tries = CellFolder(out, one.cell).attempts()
        assert sum(entry.get("end") == "completed" for entry in tries) == 1, json.dumps(tries, indent=1)
    count("kills in a benchmark on Dask", kills + len(killed))
