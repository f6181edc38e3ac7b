"""`d24fad benchmark`: cells that are kept, failures that are named, a table at the end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

OWN = """
from d24fad_lite import MeanFeature

def halved(setting):
    scorer = MeanFeature(setting.detectors.shared_teacher(setting.detectors.untrained()))
    return {"my mean feature": scorer}

def broken(setting):
    raise RuntimeError("an unlucky method")
"""


@pytest.fixture
def command(tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    (tmp_path / "mine.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    common = ["--profile", "quick", "--shots", "2,4", "--epochs", 1, "--workers", 2]
    return ["benchmark", "--data", tiny_root, "--out", tmp_path / "grid", *common]


@pytest.mark.slow
def test_a_benchmark_keeps_finished_cells_and_names_failed_ones(d24fad, command, tmp_path) -> None:
    methods = "nearest-patch,mean-feature,mine:halved,mine:broken"
    failed = d24fad(*command, "--methods", methods, "--attempts", 2)
    assert failed.code == 1 and "failed: method=mine-broken,seed=0,task=Stripes: exception:" in failed.err
    assert "an unlucky method" in failed.err and "error: 2 of 10 cells did not complete" in failed.err
    status = d24fad(*command, "--methods", methods, "status")
    assert status.code == 0 and "8 done, 2 failed, 0 running, 0 waiting" in status.out
    again = d24fad(*command, "--methods", "nearest-patch,mean-feature,mine:halved")
    assert again.code == 0 and again.out.count("completed (kept)") == 8
    out = tmp_path / "grid"
    table = pd.read_csv(out / "results.csv")
    assert len(table) == 2 * 2 * 5 and set(table["protocol"]) == {"per-image"}
    of = table.set_index(["method", "task", "K"])["AUROC"]
    assert (of["mean feature"] == of["my mean feature"]).all()  # the same draws for every method
    assert (out / "benchmark.png").read_bytes().startswith(b"\x89PNG")
    assert r"\toprule" in (out / "table.tex").read_text() and "## Image AUROC, K = 4" in (out / "table.md").read_text()
    pairs = pd.read_csv(out / "pairs.csv")
    same = pairs[(pairs["first"] == "mean feature") & (pairs["second"] == "my mean feature")]
    assert (same["difference"] == 0).all() and (same["p, Holm"] == 1).all()
    written = "".join(path.read_text() for path in out.rglob("*.json"))
    assert str(tmp_path) not in written  # no folder of this machine
    shutil.rmtree(out / "cells" / "method=mean-feature,seed=0,task=Blobs" / "reports")
    table = d24fad(*command, "--methods", "nearest-patch,mean-feature", "table")
    assert table.code == 0 and "image AUROC, K = 2" in table.out


def test_a_dry_run_shows_the_cells_and_runs_none(d24fad, command, tmp_path) -> None:
    shown = d24fad(*command, "--seeds", "0,1", "--methods", "d24fad,matched", "--dry-run")
    assert shown.code == 0 and shown.out.count("waiting") == 9  # 2 tasks x (2 seeds + matched + shortcuts), and the sum
    assert "0 done, 0 failed, 0 running, 8 waiting" in shown.out and not (tmp_path / "grid").exists()


def test_a_benchmark_tells_what_the_tasks_leave_out_and_refuses_one_class_before_any_cell(
    d24fad, command, tiny_root, tmp_path
) -> None:
    data = Path(shutil.copytree(tiny_root, tmp_path / "data"))
    (data / "Blobs/test/bad/scan.webp").touch()
    (data / "Stripes").rename(data / "Chest, PA")
    command[2] = data
    told = d24fad(*command, "--dry-run", "--tasks", '"Chest, PA"')
    assert told.code == 0 and "task=Chest,-PA" in told.out
    assert "warning: task 'Blobs': 1 file(s) ignored: test/bad/scan.webp" in told.err
    shutil.rmtree(data / "Blobs/test/good")
    refused = d24fad(*command, "--tasks", '"Chest, PA",Blobs')
    assert refused.code == 2 and "task 'Blobs' has 5 anomalous test images and no normal one" in refused.err
    assert not (tmp_path / "grid/cells").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--methods", "d24fda"), "did you mean 'd24fad'"),
        (("--methods", "mine:nothing"), "method 'mine:nothing' failed with AttributeError"),
        (("--readings", "relesed"), "did you mean 'released'"),
        (("--shots", "2;4"), "--shots '2;4' must be different whole numbers"),
        (("--seeds", "one"), "--seeds 'one' must be different whole numbers"),
        (("--data", "nowhere"), "data root 'nowhere' is not a folder"),
        (("--shots", "50"), "50"),
        (("--engine", "dsk"), "did you mean 'dask'"),
        (("--engine-option", "address=tcp://h:1"), "is for the engine dask, not for local"),
        (("--engine", "slurm", "--engine-option", "memory_gb=much"), "memory_gb='much' must be a number"),
        (("--attempts", "0"), "--attempts 0 must be at least 1"),
        (("--workers", "-1"), "workers=-1 must be 0 or more"),
        (("states",), "did you mean 'status'"),
    ],
)
def test_bad_arguments_are_named_before_anything_runs(d24fad, command, tmp_path, arguments, message: str) -> None:
    result = d24fad(*command, *arguments)
    assert result.code == 2 and message in result.err and result.err.count("\n") == 1, result.err
    assert not (tmp_path / "grid/cells").exists()


def test_results_say_what_a_reader_must_know(tmp_path: Path, d24fad, command) -> None:
    result = d24fad(*command, "--methods", "mean-feature", "--tasks", "Blobs")
    assert result.code == 0, result.err
    found = json.loads(next((tmp_path / "grid").glob("cells/method=mean*/result.json")).read_text())
    row = found["rows"][0]
    assert {"task", "method", "K", "AUROC", "low", "high", "draws", "normal", "anomalous", "protocol"} <= set(row)
    assert found["facts"]["device"] == "cpu" and found["facts"]["threads"] >= 1
