"""A training run killed at any moment goes on to the weights of an uninterrupted one, or is refused by name."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import pytest
from small_run import CONFIG, SETTINGS, Weights, equal, trained, weights

import d24fad_lite as d2
from d24fad_lite.model.checkpoint import CheckpointError
from d24fad_lite.sole_writer import LOCK, FolderInUse
from d24fad_lite.training.learner import Learner
from d24fad_lite.training.state import STATE_FILE

STEPS = 6  # 20 images in batches of 8, twice


def interrupt_at(patch: pytest.MonkeyPatch, step: int) -> None:
    """Make the `step`-th optimiser step of the process (from 0) fail before its update."""
    original, done = Learner.losses, []

    def losses(self: Any, batch: Any) -> Any:
        done.append(batch)
        if len(done) > step:
            raise KeyboardInterrupt
        return original(self, batch)

    patch.setattr(Learner, "losses", losses)


@pytest.mark.parametrize("step", range(STEPS))
@pytest.mark.parametrize("same_model", [False, True])
def test_a_run_stopped_at_any_step_and_resumed_ends_with_the_weights_of_an_uninterrupted_one(
    step: int, same_model: bool, bench: d2.Benchmark, uninterrupted: Weights, tmp_path: Path
) -> None:
    model = d2.D24FAD(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, step)
        with pytest.raises(KeyboardInterrupt):
            d2.fit(model, bench, out=tmp_path, **SETTINGS)
    again = model if same_model else d2.D24FAD(CONFIG)  # the cell run once more, or a new process
    history = d2.fit(again, bench, out=tmp_path, **SETTINGS)
    assert equal(weights(again), uninterrupted)
    assert [row["epoch"] for row in history.rows] == [1, 2]
    assert pd.read_csv(tmp_path / "history.csv")["epoch"].tolist() == [1, 2]


@pytest.mark.parametrize("where", ["d24fad_lite.model.checkpoint.save_file", "os.replace"])
def test_a_run_stopped_while_it_writes_its_state_keeps_the_state_before(
    where: str, bench: d2.Benchmark, uninterrupted: Weights, tmp_path: Path
) -> None:
    d2.fit(d2.D24FAD(CONFIG), bench, out=tmp_path, **(SETTINGS | {"epochs": 1}))
    kept = (tmp_path / STATE_FILE).read_bytes()

    def stop(*arguments: Any, **_: Any) -> NoReturn:
        Path(arguments[1] if where.endswith("save_file") else arguments[0]).write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, stop)
        with pytest.raises(KeyboardInterrupt):
            d2.fit(d2.D24FAD(CONFIG), bench, out=tmp_path, **SETTINGS)
    assert (tmp_path / STATE_FILE).read_bytes() == kept
    assert sorted(p.name for p in tmp_path.iterdir()) == [LOCK, "history.csv", STATE_FILE]
    assert equal(trained(bench, out=tmp_path), uninterrupted)


def test_a_process_killed_without_warning_is_resumed_too(
    tiny_root: Path, bench: d2.Benchmark, uninterrupted: Weights, tmp_path: Path
) -> None:
    script = f"""
import os, signal
import d24fad_lite as d2
from d24fad_lite.training.learner import Learner
original, done = Learner.losses, []
def losses(self, batch):
    done.append(1)
    if len(done) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, batch)
Learner.losses = losses
model = d2.D24FAD(d2.D24FADConfig(teacher="test_resnet", weights="random", image_size=32))
d2.fit(model, d2.open_benchmark({str(tiny_root)!r}), out={str(tmp_path)!r}, **{SETTINGS!r})
"""
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=250, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    assert len(pd.read_csv(tmp_path / "history.csv")) == 1
    assert equal(trained(bench, out=tmp_path), uninterrupted)


@pytest.mark.parametrize(
    "changes",
    [{"optimizer": "adamw"}, {"episodes": "in-batch"}, {"precision": "bf16"}, {"validation": 0.3, "patience": 4}],
)
def test_resuming_is_exact_in_every_kind_of_training(
    changes: dict[str, Any], bench: d2.Benchmark, tmp_path: Path
) -> None:
    whole = trained(bench, epochs=3, **changes)
    trained(bench, epochs=1, out=tmp_path, **changes)
    assert equal(trained(bench, epochs=3, out=tmp_path, **changes), whole)


def test_a_finished_run_is_not_run_again_and_more_epochs_go_on_from_it(
    bench: d2.Benchmark, uninterrupted: Weights, tmp_path: Path
) -> None:
    trained(bench, out=tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, 0)
        assert equal(trained(bench, out=tmp_path), uninterrupted)
    assert equal(trained(bench, out=tmp_path, epochs=3), trained(bench, epochs=3))


def test_resume_false_begins_anew_and_forgets_the_old_state_at_once(
    bench: d2.Benchmark, uninterrupted: Weights, tmp_path: Path
) -> None:
    trained(bench, out=tmp_path, seed=3)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            trained(bench, out=tmp_path, resume=False)
    assert equal(trained(bench, out=tmp_path), uninterrupted)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, "seed: stored 0, asked for 1"),
        ({"shots": 3}, "shots: stored 2, asked for 3"),
        ({"lr": 1e-4}, "lr: stored 0.001, asked for 0.0001"),
        ({"batch_size": 4}, "batch_size: stored 8, asked for 4"),
        ({"optimizer": "adamw"}, "optimizer: stored 'adam', asked for 'adamw'"),
    ],
)
def test_the_state_of_a_run_with_other_settings_is_refused_and_kept(
    changes: dict[str, Any], named: str, bench: d2.Benchmark, tmp_path: Path
) -> None:
    trained(bench, out=tmp_path, epochs=1)
    kept = (tmp_path / STATE_FILE).read_bytes()
    with pytest.raises(CheckpointError, match=f"other settings.*{named}.*choose another output folder"):
        trained(bench, out=tmp_path, **changes)
    with pytest.raises(CheckpointError, match="config.seed: stored .*; teacher: stored"):
        trained(bench, CONFIG.replace(seed=2), out=tmp_path)
    with pytest.raises(CheckpointError, match="tasks.Stripes: stored '10 images, .*, asked for None"):
        trained(bench.without("Stripes"), out=tmp_path)
    assert (tmp_path / STATE_FILE).read_bytes() == kept


@pytest.mark.parametrize("with_its_times", [False, True])
def test_a_run_does_not_go_on_over_images_that_were_replaced(
    with_its_times: bool, tiny_root: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(tiny_root, tmp_path / "data"))
    trained(d2.open_benchmark(root), out=tmp_path / "run", epochs=1)
    kept = (tmp_path / "run" / STATE_FILE).read_bytes()
    first, second, *_ = sorted((root / "Blobs" / "train" / "good").iterdir())
    times = (first.stat().st_atime_ns, first.stat().st_mtime_ns)
    first.write_bytes(second.read_bytes())
    if with_its_times:
        os.utime(first, ns=times)
    with pytest.raises(CheckpointError, match="tasks.Blobs: stored '10 images, contents .*, asked for '10 images, con"):
        trained(d2.open_benchmark(root), out=tmp_path / "run")
    assert (tmp_path / "run" / STATE_FILE).read_bytes() == kept


def test_a_run_does_not_go_on_with_other_code_of_the_package(
    bench: d2.Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(bench, out=tmp_path, epochs=1)
    monkeypatch.setattr("d24fad_lite.training.run.code_digest", lambda: "another" * 4)
    with pytest.raises(CheckpointError, match="code: stored '.*', asked for 'another"):
        trained(bench, out=tmp_path)


def test_two_trainings_in_one_folder_one_works_and_one_is_told(
    bench: d2.Benchmark, uninterrupted: Weights, tmp_path: Path
) -> None:
    second: list[BaseException] = []

    def try_another(*_: Any) -> None:
        with ThreadPoolExecutor(1) as pool:
            second.append(pool.submit(trained, bench, out=tmp_path).exception() or AssertionError("it ran"))

    assert equal(trained(bench, out=tmp_path, on_epoch=try_another), uninterrupted)
    assert len(second) == 2 and all(isinstance(error, FolderInUse) for error in second)
    assert f"process {os.getpid()} (a training, since" in str(second[0])


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(
    bench: d2.Benchmark, tmp_path: Path
) -> None:
    original, done = Learner.losses, []

    def losses(self: Any, batch: Any) -> Any:
        done.append(1)
        loss, *rest = original(self, batch)
        return (loss * float("nan") if len(done) == 5 else loss, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "losses", losses)
        with pytest.raises(FloatingPointError, match="nan in epoch 2, batch 2; lower lr.*state after epoch 1 is"):
            trained(bench, out=tmp_path)
    assert equal(trained(bench, out=tmp_path), trained(bench))
