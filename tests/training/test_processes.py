"""Two processes train as one does: batch norms joined, losses and weights the same, written once, resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import two_processes
from safetensors.torch import load_file

import d24fad_lite as d2
from d24fad_lite.training.episodes import EpisodeBatch
from d24fad_lite.training.fit import new_accelerator
from d24fad_lite.training.run import TrainingRun

# Not `accelerate launch`: on processors it starts one process, whatever --num_processes says. Under torchrun,
# Accelerate finds two and joins them with gloo, as it joins GPUs with NCCL.
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
LAUNCH += ["-m", "d24fad_lite.cli"]
SLOWLY = ["--lr", "1e-5"]  # at larger rates rounding grows from step to step, also between two threads of one process


def test_batch_norms_of_two_processes_are_those_of_the_joined_batch(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(two_processes.work, (str(tmp_path),), nprocs=2)
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for part, sign in zip(parts, (-1, 1), strict=True):  # half of all values are 1, half are 2
        assert part["half"].dtype == torch.float16 and torch.allclose(
            part["half"].float(), torch.tensor(1.0 * sign), atol=1e-2
        )
    whole, model = two_processes.batch().requires_grad_(), two_processes.norms()
    y = model(whole)
    two_processes.loss_of(y, whole).backward()
    assert torch.allclose(torch.cat([part["y"] for part in parts]), y, rtol=0, atol=1e-12)
    assert torch.allclose(torch.cat([part["x"] for part in parts]), whole.grad, rtol=0, atol=1e-11)
    for name, parameter in model.named_parameters():
        added = sum(part["gradients"][name] for part in parts)
        assert torch.allclose(added, parameter.grad, rtol=1e-11, atol=1e-11), name
    for name, buffer in model.state_dict().items():
        assert all(torch.allclose(part["state"][name], buffer, rtol=1e-13) for part in parts), name


def test_the_parts_of_a_batch_are_all_of_it_and_a_small_one_goes_to_each() -> None:
    numbers = np.arange(7)
    batch = EpisodeBatch(numbers, np.stack([numbers + 10, numbers + 20]), numbers % 2)
    parts = [batch.part(process, 3) for process in range(3)]
    assert sorted(np.concatenate([part.queries for part in parts]).tolist()) == numbers.tolist()
    assert all((part.supports - part.queries == [[10], [20]]).all() for part in parts)
    assert batch.part(1, 8) is batch and batch.part(0, 1) is batch


def test_in_batch_episodes_are_refused_before_any_work(tiny_root: Path) -> None:
    model = d2.D24FAD(d2.D24FADConfig(teacher="test_resnet", weights="random", image_size=32))
    settings = d2.FitSettings(shots=1, batch_size=4, episodes="in-batch")
    several = SimpleNamespace(num_processes=2, is_local_main_process=True)
    with pytest.raises(ValueError, match=r"2 processes cannot share out; use episodes='independent'"):
        TrainingRun(model, d2.open_benchmark(tiny_root), settings, several)
    assert new_accelerator("fp32", "cpu").num_processes == 1


@pytest.fixture(scope="module")
def options(tiny_root: Path) -> list[str]:
    tiny = ["--teacher", "test_resnet.r160_in1k", "--weights", "random", "--image-size", "32", "--device", "cpu"]
    size = ["--shots", "2", "--batch-size", "5", "--epochs", "3", "--lr", "1e-3", "--validation", "0.2"]
    return ["fit", "--data", str(tiny_root), "--leave-out", "Stripes", *tiny, *size]


def launched(options: list[str], out: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [*LAUNCH, *options, "--out", str(out)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def alone(options: list[str], out: Path) -> Path:
    """The same training in one process of one thread."""
    command = [sys.executable, "-m", "d24fad_lite.cli", *options, "--out", str(out)]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def require_equal(one: Path, two: Path) -> None:
    """Losses of the first epoch within 1e-5 relative, of all within 2e-3; of a thousand weights all but a few.

    Learn-to-weight is close to one-hot: where two supports are nearly equal, rounding decides between them.

    Adam makes a step of the same length of the smallest gradient, whose sign rounding may decide.
    """
    weights = [load_file(folder / "model.safetensors") for folder in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    first, second = (torch.cat([w[n].double().flatten() for n in sorted(w)]) for w in weights)
    share = float(((first - second).abs() > 2e-5 + 1e-3 * first.abs()).double().mean())
    assert share < 5e-3, share
    losses = [pd.read_csv(folder / "history.csv").drop(columns="seconds").to_numpy() for folder in (one, two)]
    apart = np.abs(losses[0] / losses[1] - 1)  # (epochs, columns)
    assert apart[0].max() < 1e-5 and apart.max() < 2e-3, apart
    assert not np.array_equal(*losses), "equal to the last bit: was it two processes at all?"


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_two_launched_processes_equal_one(options: list[str], tmp_path: Path) -> None:
    one, two = alone([*options, *SLOWLY], tmp_path / "one"), tmp_path / "two"
    pair = launched([*options, *SLOWLY], two)
    said, _ = pair.communicate(timeout=200)
    assert pair.returncode == 0, said
    assert said.count("saved ") == 1 and "3 epochs on" in said  # told once
    require_equal(one, two)


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_two_processes_started_from_a_notebook_equal_one(options: list[str], tiny_root: Path, tmp_path: Path) -> None:
    one, two = alone([*options, *SLOWLY], tmp_path / "one"), tmp_path / "two"
    script = Path(__file__).with_name("from_a_notebook.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(script), str(tiny_root), str(two)]
    pair = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert pair.returncode == 0, pair.stderr
    require_equal(one, two)


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_killed_process_ends_the_run_and_the_same_command_goes_on(options: list[str], tmp_path: Path) -> None:
    options = [text if text != "3" else "40" for text in options]
    whole = launched(options, tmp_path / "whole")
    said, _ = whole.communicate(timeout=200)
    assert whole.returncode == 0, said
    out = tmp_path / "killed"
    killed = launched(options, out)
    began = time.monotonic()
    while not (out / "history.csv").is_file() and killed.poll() is None and time.monotonic() - began < 120:
        time.sleep(0.02)
    found = subprocess.run(["pgrep", "-f", f"d24fad_lite.cli fit .*{out}"], capture_output=True, text=True, check=True)
    children = [int(pid) for pid in found.stdout.split() if int(pid) != killed.pid]
    os.kill(children[-1], signal.SIGKILL)
    began = time.monotonic()
    said, _ = killed.communicate(timeout=100)
    assert killed.returncode != 0 and "SIGKILL" in said and time.monotonic() - began < 60, said[-3000:]
    epochs = len(pd.read_csv(out / "history.csv"))
    assert 1 <= epochs < 40  # it was killed in the middle
    again = launched(options, out)
    said, _ = again.communicate(timeout=200)
    assert again.returncode == 0, said
    histories = [pd.read_csv(folder / "history.csv").drop(columns="seconds") for folder in (out, tmp_path / "whole")]
    assert len(histories[0]) == 40 and np.allclose(*histories, rtol=1e-6)
    assert not list(out.glob(".partial-*"))
