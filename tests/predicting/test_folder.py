"""`predict_folder`: the same files as the command, and a result that holds what they say."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import d24fad_lite as d2
from d24fad_lite.model.anomaly_map import color_limits
from d24fad_lite.predicting.score_store import ResultsConflict
from d24fad_lite.private_names import read_key

TEACHER = "test_resnet.r160_in1k"  # timm's tiny test model


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = d2.D24FAD(d2.D24FADConfig(teacher=TEACHER, weights="random", image_size=32))
    return model.save(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="module")
def normals(tiny_root: Path) -> Path:
    return tiny_root / "Stripes/train/good"


@pytest.fixture
def scans(tiny_root: Path, tmp_path: Path) -> Path:
    """Ten readable images, one in a subfolder, one that is cut short, and a file that is no image."""
    folder = tmp_path / "scans"
    shutil.copytree(tiny_root / "Stripes/test/good", folder)
    shutil.copytree(tiny_root / "Stripes/test/bad", folder / "bad")
    (folder / "cut.png").write_bytes((folder / "000.png").read_bytes()[:60])
    (folder / "notes.txt").write_text("no image")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("reading", ["", "matched"])
def test_the_command_and_the_function_write_equal_files(model_file, normals, scans, tmp_path, reading: str) -> None:
    command = [sys.executable, "-m", "d24fad_lite.cli", "predict", model_file, scans, "--supports", normals]
    command += ["--shots", 3, "--seed", 5, "--heatmap-size", 40, "--batch-size", 4, "--device", "cpu"]
    command += ["--reading", reading] * bool(reading)
    words = [str(word) for word in [*command, "--out", tmp_path / "command"]]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "1 of 11 images could not be used" in done.stderr, done.stderr  # cut.png
    options = {"shots": 3, "seed": 5, "heatmap_size": 40, "batch_size": 4, "device": "cpu", "reading": reading}
    with pytest.warns(UserWarning, match="notes.txt"):
        d2.predict_folder(model_file, scans, normals, tmp_path / "function", progress=False, **options)
    command_files, function_files = files(tmp_path / "command"), files(tmp_path / "function")
    assert sorted(command_files) == sorted(function_files) and len(function_files) == 10 + 5 + 1  # and the lock
    assert command_files == function_files


@pytest.mark.filterwarnings("ignore:folder 'scans'")
def test_the_result_holds_what_lies_on_disk(model_file, normals, scans, tmp_path) -> None:
    failures: list[tuple[str, str]] = []
    result = d2.predict_folder(
        model_file, scans, normals, tmp_path / "out", shots=4, on_failure=lambda *failure: failures.append(failure)
    )
    stored = pd.read_csv(result.scores_file)
    assert result.scores_file == tmp_path / "out/scores.csv"
    pd.testing.assert_frame_equal(result.scores, stored)
    assert (result.scored, result.known, result.gone, result.supports_among_images) == (10, 0, 0, 0)
    assert list(result.failures) == ["cut.png"] and failures == list(result.failures.items())
    assert pd.read_csv(result.failures_file)["name"].tolist() == ["cut.png"]
    assert result.score_of["bad/000.png"] == stored.set_index("name")["score"]["bad/000.png"]
    assert sorted(result.heatmaps) == sorted(stored["name"]) and all(p.is_file() for p in result.heatmaps.values())
    noted = json.loads((tmp_path / "out/predict.json").read_text())
    key = read_key(tmp_path / "out")
    assert [path.name for path in result.supports] == [key[name] for name in noted["supports"]]
    assert noted["supports"][0].startswith("support 0") and len(result.supports) == 4
    assert result.settings == noted["settings"] and result.support_scores == noted["support_scores"]
    assert list(result.color_limits) == noted["colors"]


@pytest.mark.filterwarnings("ignore:folder 'scans'")
def test_scores_and_the_colour_scale_are_those_of_the_model(model_file, normals, scans, tmp_path) -> None:
    model = d2.D24FAD.load(model_file).eval()
    supports = d2.open_folder(normals).subset([1, 4, 7])
    result = d2.predict_folder(model, scans, supports, tmp_path / "out")
    assert result.supports == supports.paths
    images = supports.images(32)  # (K, 3, S, S)
    bank = model.encode_supports(images)
    for name, score in result.score_of.items():
        alone = model.predict(d2.load_image(scans / name, 32)[None], bank).score
        assert score == pytest.approx(float(alone), abs=1e-6), name
    loo = [model.predict(images[i : i + 1], bank.select([k for k in range(3) if k != i])) for i in range(3)]
    assert result.support_scores == pytest.approx([float(prediction.score[0]) for prediction in loo], abs=1e-6)
    limits = color_limits(torch.cat([prediction.anomaly_map for prediction in loo]))
    assert result.color_limits == pytest.approx(limits, abs=1e-6)


def test_a_second_call_scores_only_new_and_changed_images(model_file, normals, tiny_root, tmp_path) -> None:
    scans = Path(shutil.copytree(tiny_root / "Stripes/test/good", tmp_path / "scans"))
    calls = {"model": model_file, "folder": scans, "supports": normals, "out": scans / "results"}
    first = d2.predict_folder(**calls)
    shutil.copy(tiny_root / "Stripes/test/bad/000.png", scans / "001.png")
    shutil.copy(tiny_root / "Stripes/test/bad/001.png", scans / "new.png")
    (scans / "002.png").unlink()
    second = d2.predict_folder(**calls)
    assert (first.scored, first.known, second.scored, second.known, second.gone) == (5, 0, 2, 3, 1)
    assert second.scores["name"].tolist() == ["000.png", "001.png", "003.png", "004.png", "new.png", "002.png"]


@pytest.mark.filterwarnings("ignore:folder 'scans'")
def test_images_of_a_half_known_batch_keep_their_company(model_file, normals, scans, tmp_path, monkeypatch) -> None:
    """Rounding depends on the batch: what is scored later is scored beside the same images, and so is the page's."""
    calls = {"model": model_file, "folder": scans, "supports": normals, "out": tmp_path / "out", "batch_size": 3}
    first = d2.predict_folder(**calls)
    whole = files(calls["out"])
    sizes: list[int] = []
    predict = d2.D24FAD.predict
    monkeypatch.setattr(d2.D24FAD, "predict", lambda *a, **k: sizes.append(len(a[1])) or predict(*a, **k))
    for name in (sorted(first.heatmaps)[1], sorted(first.heatmaps)[7]):
        first.heatmaps[name].unlink()
    (calls["out"] / "gallery.html").unlink()
    second = d2.predict_folder(**calls)
    assert second.scored == 2 and files(calls["out"]) == whole
    assert 3 in sizes and second.known == len(first.scores) - 2


def test_results_of_another_model_are_kept_unless_they_may_be_replaced(model_file, normals, scans, tmp_path) -> None:
    images, out = scans / "bad", tmp_path / "out"
    d2.predict_folder(model_file, images, normals, out)
    before = files(out)
    other = d2.D24FAD(d2.D24FADConfig(teacher=TEACHER, weights="random", image_size=32, seed=3)).eval()
    with pytest.raises(ResultsConflict, match=r"other settings \(changed: model\); .* overwrite=True to replace them"):
        d2.predict_folder(other, images, normals, out)
    assert files(out) == before
    assert d2.predict_folder(other, images, normals, out, overwrite=True).scored == 5
    assert d2.predict_folder(other, images, normals, out).known == 5, "the same detector in memory is recognised"
    with pytest.raises(ResultsConflict, match="changed: model"):
        d2.predict_folder(other.read_as("matched"), images, normals, out)


def test_a_scores_file_of_another_origin_names_nothing_to_delete(model_file, normals, scans, tmp_path) -> None:
    out = tmp_path / "out"
    ours = [out / "heatmaps/mine.png", out / "mine.png", tmp_path / "beside.png"]
    for path in ours:
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"mine")
    names, digest = ["mine", "../mine", "../../beside", tmp_path / "beside"], "0" * 64
    lines = [line for name in names for line in (f"{name}", f"{name},0.5", f"{name},0.5,none", f"{name},0.5,{digest}0")]
    lines += [f"{name},0.5,{digest}" for name in names[1:]]  # such a name no run writes
    for table in ("scores.csv", "scores.partial.csv"):
        (out / table).write_text("\n".join(lines))
    d2.predict_folder(model_file, scans / "bad", normals, out, overwrite=True)
    assert [path for path in ours if not path.is_file() or path.read_bytes() != b"mine"] == []


@pytest.mark.filterwarnings("ignore:folder 'scans'")
def test_a_page_of_another_origin_is_kept_and_an_old_one_does_not_stay(model_file, normals, scans, tmp_path) -> None:
    page = tmp_path / "out/gallery.html"
    page.parent.mkdir()
    page.write_text("mine")
    with pytest.raises(ResultsConflict, match=r"gallery\.html that this command did not write"):
        d2.predict_folder(model_file, scans, normals, page.parent)
    assert page.read_text() == "mine"
    page.unlink()
    assert d2.predict_folder(model_file, scans, normals, page.parent, heatmap_size=0, gallery=1).gallery == page
    d2.predict_folder(model_file, scans, normals, page.parent, heatmap_size=0, gallery=0)
    assert not page.exists()  # its threshold and its images would be those of the run before


def test_a_damaged_note_of_settings_is_named(model_file, normals, scans, tmp_path) -> None:
    (tmp_path / "predict.json").write_text("{")
    with pytest.raises(ResultsConflict, match=r"predict\.json is damaged .* overwrite=True to replace it"):
        d2.predict_folder(model_file, scans, normals, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "nowhere.safetensors"}, "model nowhere.safetensors does not exist"),
        ({"folder": "nowhere"}, "data folder 'nowhere' does not exist"),
        ({"supports": "nowhere"}, "data folder 'nowhere' does not exist"),
        ({"supports": []}, "no supports given; at least one normal reference image is needed"),
        ({"shots": 99}, "shots 99 of 10 supports cannot be drawn; give 1 to 10"),
        ({"reading": "mached"}, "did you mean 'matched'"),
        ({"batch_size": 0}, "batch size 0 must be at least 1"),
        ({"heatmap_size": 8}, "heatmap size 8 16 to 4096, or 0"),
        (
            {"method": "matched", "reading": "paper"},
            "method 'matched' is the reading 'matched', so reading 'paper' undoes",
        ),
        ({"device": "abacus"}, "device 'abacus' is not there"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_written(
    model_file, normals, scans, tmp_path, change: dict, message: str
) -> None:
    arguments = {"model": model_file, "folder": scans, "supports": normals, "out": tmp_path / "out"} | change
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        d2.predict_folder(**arguments)
    assert message in str(error.value) and not (tmp_path / "out").exists()


def test_a_model_in_memory_stays_in_its_mode_and_one_image_is_a_folder_too(model_file, normals, tmp_path) -> None:
    model = d2.D24FAD.load(model_file).train()
    image = min(normals.iterdir())
    result = d2.predict_folder(model, image, [image, normals], tmp_path, heatmap_size=0)
    assert model.training and result.scores["name"].tolist() == [image.name] and result.heatmaps == {}
    assert result.supports_among_images == 1 and len(result.supports) == 11


def test_heatmaps_of_wide_images_keep_their_proportions(model_file, normals, tmp_path) -> None:
    with Image.open(min(normals.iterdir())) as image:
        image.resize((64, 32)).save(tmp_path / "wide.png")
    result = d2.predict_folder(model_file, tmp_path / "wide.png", normals, tmp_path / "out", heatmap_size=40)
    with Image.open(result.heatmaps["wide.png"]) as heatmap:
        assert np.asarray(heatmap).shape == (20, 40, 3)
