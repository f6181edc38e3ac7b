"""A benchmark on a real Slurm of one node: jobs that hang, eat memory, are cancelled and requeued."""

from __future__ import annotations

import os
import pickle
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_benchmark import behave, tiny_plan

from d24fad_lite.runs.benchmark.cells import CellFolder
from d24fad_lite.runs.benchmark.drive import run_benchmark
from d24fad_lite.runs.engines import EngineSettings, open_engine, slurm, slurm_states

HERE = Path(__file__).parent
SCRIPTS = Path(__file__).parents[2] / "slurm"


@pytest.fixture(scope="module")
def real_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A running Slurm, as SLURM_CONF says; skipped with the reason where it cannot be had."""
    pytest.importorskip("submitit")
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run([SCRIPTS / "start_slurm.sh", folder], capture_output=True, text=True)
    if started.returncode != 0:
        pytest.skip(started.stderr.strip().splitlines()[-1] if started.stderr.strip() else "Slurm did not start")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        paths = [str(HERE), str(HERE.parents[2]), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))
        yield
    subprocess.run([SCRIPTS / "stop_slurm.sh", folder], capture_output=True)


def jobs() -> dict[str, str]:
    """Name of each task of an array that runs -> its cell's seed is the task's number."""
    answer = subprocess.run(
        ["squeue", "--me", "-h", "-r", "-t", "RUNNING", "-o", "%i"], capture_output=True, text=True, check=True
    )
    return {line.split("_")[1]: line for line in answer.stdout.split() if "_" in line}


def interfere(out: Path, stop: threading.Event) -> None:
    """Cancel the job of cell 3 and requeue that of cell 4, once each, when they run."""
    todo = {"3": "scancel {0}", "4": "scontrol requeue {0} && sleep 4 && scontrol update JobId={0} StartTime=now"}
    while todo and not stop.wait(0.3):
        for task, job in jobs().items():
            begun = CellFolder(out, tiny_plan(12).cells[int(task)]).attempts()
            if task in todo and begun:
                subprocess.run(todo.pop(task).format(job), shell=True, check=True)  # else Slurm waits two minutes


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_an_array_with_a_time_out_a_memory_limit_a_cancelled_and_a_requeued_job(
    real_slurm: None, tmp_path: Path
) -> None:
    out = tmp_path / "grid"
    behave(out, _1="sleep 600", _2="eat", _3="sleep 60", _4="sleep 8")
    settings = EngineSettings("slurm", workers=6, minutes=1, memory_gb=0.4, extra={"chdir": str(tmp_path)})
    stop = threading.Event()
    other = threading.Thread(target=interfere, args=(out, stop))
    other.start()
    ended = run_benchmark(tiny_plan(12), out, settings, attempts=1, say=lambda _: None)
    stop.set()
    other.join()
    kinds = {one.cell.seed: one.result.kind or one.result.status for one in ended}
    expected = dict.fromkeys(range(12), "completed") | {1: "time limit", 2: "memory", 3: "cancelled"}
    assert kinds == expected
    tries = CellFolder(out, ended[4].cell).attempts()
    assert [entry["end"] for entry in tries][-1] == "completed" and len(tries) == 2  # requeued, and gone on
    assert all(one.result.rows[0]["seed"] == one.cell.seed for one in ended if one.result.status == "completed")
    assert len({entry["job"] for one in ended for entry in CellFolder(out, one.cell).attempts()}) >= 12


def test_where_slurm_is_absent_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="needs Slurm's commands, but sbatch, srun, scancel cannot be found here"):
        open_engine(EngineSettings("slurm"), tmp_path, 3)


def test_states_come_from_squeue_and_from_sacct_where_squeue_has_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, lines in (("squeue", "7_0|RUNNING\n7_1|TIMEOUT\n9|PENDING\n"), ("sacct", "5_2|CANCELLED by 0\n5_3|\n")):
        (tmp_path / name).write_text("#!/bin/sh\ncat <<END\n" + lines + "END\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = slurm_states.job_states(["7_0", "7_1", "5_2", "5_3", "4_0"])
    assert found == {"7_0": "RUNNING", "7_1": "TIMEOUT", "5_2": "CANCELLED"}
    (tmp_path / "sacct").write_text("#!/bin/sh\necho no accounts >&2; exit 1\n")
    assert slurm_states.job_states(["5_2"]) == {}
    (tmp_path / "squeue").write_text("#!/bin/sh\necho the controller is down >&2; exit 1\n")
    assert slurm_states.job_states(["7_0"]) is None  # silence is no state


class Sent:
    """A job of submitit as the executor sees it."""

    def __init__(self, folder: Path, number: int) -> None:
        self.job_id, self.paths = (
            f"7_{number}",
            SimpleNamespace(result_pickle=folder / f"{number}.pkl", stderr=folder / f"{number}.err"),
        )

    def leaves(self, outcome: str, value: object) -> None:
        self.paths.result_pickle.write_bytes(pickle.dumps((outcome, value)))


def test_how_a_job_ends_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    executor = object.__new__(slurm.SlurmExecutor)
    jobs = [Sent(tmp_path, number) for number in range(9)]
    jobs[0].leaves("success", 4)
    jobs[1].leaves("error", "Traceback\nKeyError: 'lesion'")
    jobs[2].leaves("error", "Traceback\nTimeoutError: the download timed out")
    jobs[3].leaves("error", "x\nsubmitit.core.utils.UncompletedJobError: Job not requeued because: timed-out too many.")
    jobs[4].paths.result_pickle.write_bytes(b"cno_such_module\nThing\n.")
    jobs[6].paths.stderr.write_text("slurmstepd-n1: error: Detected 1 oom-kill event(s) in StepId=7.0.\n")
    told = {"7_5": "TIMEOUT", "7_6": "FAILED", "7_7": "CANCELLED", "7_8": "RUNNING"}
    answers = iter([None, told])
    monkeypatch.setattr(slurm, "job_states", lambda ids: next(answers))
    monkeypatch.setattr(slurm, "GRACE", 0)
    executor._jobs = [slurm._Job(Future(), job, -1e9) for job in jobs]
    futures = [one.future for one in executor._jobs]
    executor._look()
    assert [future.done() for future in futures] == [True] * 5 + [False] * 4  # a silent controller ends nothing
    executor._look()
    found = [type(future.exception()).__name__ if future.done() else "open" for future in futures]
    assert found[:5] == ["NoneType", "RuntimeError", "RuntimeError", "TimeLimit", "RuntimeError"]
    assert found[5:] == ["TimeLimit", "OutOfMemory", "Cancelled", "open"]


@pytest.mark.parametrize(("says", "sizes"), [("MaxArraySize            = 5", [4, 4, 2]), ("", [10])])
def test_works_go_into_as_few_arrays_as_the_controller_takes(
    says: str, sizes: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scontrol").write_text(f"#!/bin/sh\necho 'MaxJobCount = 9'\necho '{says}'\n")
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    arrays: list[int] = []
    executor = object.__new__(slurm.SlurmExecutor)
    monkeypatch.setattr(executor, "_send_array", lambda works: arrays.append(len(works)), raising=False)
    executor._send([(Future(), int, (), {})] * 10)
    assert arrays == sizes
