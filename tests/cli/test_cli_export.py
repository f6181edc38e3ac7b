"""`d24fad export`, and the reader that its help shows."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from d24fad_lite.cli import exporting


@pytest.mark.slow
def test_the_reader_in_the_help_runs_as_it_stands(d24fad, run_folder, tiny_root, tmp_path, monkeypatch) -> None:
    pytest.importorskip("onnxruntime", reason="the extra d24fad_lite[export] is not installed")
    normals = tiny_root / "Stripes/train/good"
    result = d24fad(
        "export", run_folder / "model.safetensors", "--supports", normals, "--out", tmp_path / "detector.onnx",
        "--alpha", 0.25,
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "equal to predict within" in result.out and "as data beside the graph" in result.out
    (tmp_path / "scan.png").write_bytes((tiny_root / "Stripes/test/bad/000.png").read_bytes())
    said = textwrap.dedent(exporting.export.__doc__.split("Reading it elsewhere:\n")[1])
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(said, "reader", "exec"), names)
    assert float(names["score"]) > 0 and names["anomaly_map"].shape == (32, 32)
    assert names["alarm"] == (float(names["score"]) > names["facts"]["threshold"])


def test_a_model_that_is_not_there_and_a_file_that_is_are_named(d24fad, run_folder, tiny_root, tmp_path: Path) -> None:
    normals = tiny_root / "Stripes/train/good"
    absent = d24fad("export", tmp_path / "no", "--supports", normals, "--out", tmp_path / "x.onnx")
    assert absent.code == 2 and "does not exist" in absent.err
    (tmp_path / "x.onnx").write_text("mine")
    there = d24fad("export", run_folder / "model.safetensors", "--supports", normals, "--out", tmp_path / "x.onnx")
    assert there.code == 2 and "--overwrite to replace it" in there.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--to", "onxn"), "to='onxn' is not known; choose one of 'onnx', 'torch' (did you mean 'onnx'?)"),
        (("--pixels", "uint16"), "pixels='uint16' is not known; choose one of 'uint8', 'float32'"),
        (("--reading", "mached"), "did you mean 'matched'"),
        (("--method", "nearest"), "did you mean 'nearest-patch'"),
        (("--alpha", "0.001"), "0.001"),
        (("--teacher-module", "nowhere"), "must be written PACKAGE.MODULE:FUNCTION"),
    ],
)
def test_a_wrong_value_is_refused_before_a_folder_is_made(
    d24fad, run_folder, tiny_root, tmp_path: Path, options, message: str
) -> None:
    place = ("--supports", tiny_root / "Stripes/train/good", "--out", tmp_path / "new/deep/x.onnx")
    result = d24fad("export", run_folder / "model.safetensors", *place, *options)
    assert result.code == 2 and message in result.err and not (tmp_path / "new").exists()
