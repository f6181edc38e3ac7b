"""A command that refuses leaves nothing behind, least of all the empty folder that its results would have gone to."""

from __future__ import annotations

from pathlib import Path

import pytest
import sources

UNTRAINED = ("--teacher", "test_resnet.r160_in1k", "--weights", "random", "--image-size", 32)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder that is not there, nor the one above it."""
    return tmp_path / "new/deep"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--device", "gpu"), "--device 'gpu' is not there"),
        (("--alpha", 0.0001), "cannot promise a false-alarm rate of 0.0001"),
        (("--alpha", 2), "alpha=2.0 must be a false-alarm rate between 0 and 1"),
        (("--gallery", -1), "the images of the gallery -1 at least 0"),
        (("--batch-size", 0), "batch size 0 must be at least 1"),
        (("--heatmap-size", 3), "heatmap size 3"),
        (("--method", "nearest"), "did you mean 'nearest-patch'"),
        (("--method", "tsd-only"), "d24fad fit --method tsd-only trains it"),
        (("--method", "nearest-patch", "--reading", "paper"), "reads in its own way"),
        (("--reading", "mached"), "did you mean 'matched'"),
        (("--normals", "nowhere"), "nowhere"),
        (("--teacher-module", "nowhere"), "must be written PACKAGE.MODULE:FUNCTION"),
    ],
)
def test_predict(d24fad, run_folder, tiny_root, out: Path, options: tuple, message: str) -> None:
    images, supports = tiny_root / "Stripes/test/good", tiny_root / "Stripes/train/good"
    command = ["predict", run_folder / "model.safetensors", images, "--supports", supports, "--out", out]
    result = d24fad(*command, *options)
    assert result.code == 2 and message in result.err, result.err
    assert not out.parent.exists()


def test_predict_with_a_file_that_is_no_model(d24fad, tiny_root, tmp_path: Path, out: Path) -> None:
    (tmp_path / "model.safetensors").write_text("no model")
    images, supports = tiny_root / "Stripes/test/good", tiny_root / "Stripes/train/good"
    result = d24fad("predict", tmp_path / "model.safetensors", images, "--supports", supports, "--out", out)
    assert result.code == 2 and "not a readable safetensors file" in result.err and not out.parent.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--device", "gpu"), "--device 'gpu' is not there"),
        (("--protocol", "fair"), "protocol='fair' is not known"),
        (("--protocol", "official"), "drops incomplete batches of 16"),
        (("--protocol", "official", "--method", "mean-feature"), "gives none"),
        (("--batch-size", 0), "batch_size=0 must be at least 1"),
        (("--draws", 0), "draws must be a whole number of at least 1"),
        (("--shots", "2,64"), "10 normal training images"),
        (("--method", "nearest"), "did you mean 'nearest-patch'"),
        (("--reading", "relaesed"), "did you mean 'released'"),
        (("--method", "mean-feature", "--reading", "paper"), "reads in its own way"),
        (("--teacher-module", "nowhere"), "must be written PACKAGE.MODULE:FUNCTION"),
    ],
)
def test_evaluate(d24fad, run_folder, tiny_root, out: Path, options: tuple, message: str) -> None:
    command = ["evaluate", run_folder / "model.safetensors", "--data", tiny_root, "--task", "Stripes", "--out", out]
    result = d24fad(*command, *options)
    assert result.code == 2 and message in result.err, result.err
    assert result.out == "" and not out.parent.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--device", "gpu"), "--device 'gpu' is not there"),
        (("--weights", "nowhere.pth"), "weights='nowhere.pth' is neither"),
        (("--shots", 10), "10 shots need at least 11"),
        (("--set", "train_supports=fixed", "--episodes", "in-batch"), 'needs episodes="independent"'),
        (("--method", "nearest-patch", "--weights", "nowhere.pth"), "weights='nowhere.pth' is neither"),
    ],
)
def test_fit(d24fad, fit_options, out: Path, options: tuple, message: str) -> None:
    result = d24fad(*fit_options, "--out", out, *options)
    assert result.code == 2 and message in result.err, result.err
    assert not out.parent.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--device", "gpu"), "--device 'gpu' is not there"),
        (("--architecture", "resnet81"), "'resnet81' is not a timm model"),
    ],
)
def test_pretrain(d24fad, out: Path, options: tuple, message: str) -> None:
    result = d24fad("pretrain", "--steps", 1, "--out", out, *options)
    assert result.code == 2 and message in result.err, result.err
    assert not out.parent.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--methods", "d24fda"), "did you mean 'd24fad'"),
        (("--engine", "dsk"), "did you mean 'dask'"),
        (("--epochs", -1), "epochs"),
    ],
)
def test_benchmark(d24fad, tiny_root, out: Path, options: tuple, message: str) -> None:
    result = d24fad("benchmark", "--data", tiny_root, "--profile", "quick", "--shots", 2, "--out", out, *options)
    assert result.code == 2 and message in result.err, result.err
    assert not out.parent.exists()


def test_benchmark_table_of_a_folder_that_is_not_there(d24fad, tiny_root, out: Path) -> None:
    result = d24fad("benchmark", "table", "--data", tiny_root, "--profile", "quick", "--shots", 2, "--out", out)
    assert "no cell has completed" in result.err and not out.parent.exists()


@pytest.mark.parametrize("options", [("--test-fraction", 2), ("--split", "mine")])
def test_convert(d24fad, tmp_path: Path, out: Path, options: tuple) -> None:
    result = d24fad("convert", "brats-kaggle", sources.brain(tmp_path / "source"), out, *options)
    assert result.code == 2, result.err
    assert not out.parent.exists()


def test_convert_of_a_table_without_the_normal_value(d24fad, tiny_root, tmp_path: Path, out: Path) -> None:
    names = [path.name for path in sorted((tiny_root / "Stripes/train/good").iterdir())]
    (tmp_path / "t.csv").write_text("\n".join(["file,finding", *(f"{name},none" for name in names)]))
    columns = ("--folder", tiny_root / "Stripes/train/good", "--image", "file", "--label", "finding")
    result = d24fad("convert", "csv", tmp_path / "t.csv", out, *columns, "--normal", "healthy")
    assert result.code == 2 and "no normal images for train" in result.err, result.err
    assert not out.parent.exists()


@pytest.mark.parametrize("options", [("--tasks", "Knee"), ("--severity", 2), ("--size", 8), ("--count", 0)])
def test_samples(d24fad, out: Path, options: tuple) -> None:
    result = d24fad("samples", "--out", out, *options)
    assert result.code == 2 and not out.parent.exists(), result.err


def test_check(d24fad, tmp_path: Path, out: Path) -> None:
    result = d24fad("check", tmp_path / "nowhere", "--html", out / "intake.html")
    assert result.code == 2 and "nowhere' does not exist" in result.err and not out.parent.exists()


@pytest.mark.parametrize("options", [("--profile", "quik"), ("-p", "sed=1"), ("99",), ("--timeout", -1)])
def test_notebooks(d24fad, out: Path, options: tuple) -> None:
    result = d24fad("notebooks", "--out", out, *options)
    assert result.code == 2 and not out.parent.exists(), result.err
