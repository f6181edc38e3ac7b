"""p-values and alarms of a folder: by the definition, refused where they cannot be promised."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import d24fad_lite as d2
from d24fad_lite.predicting.alarm import calibrate_folder
from d24fad_lite.predicting.inputs import ImageFile
from d24fad_lite.predicting.odd_supports import odd_supports
from d24fad_lite.predicting.scoring import ReadImage, ScoredImage
from d24fad_lite.predicting.top_maps import KeptMap, TopMaps

TEACHER = "test_resnet.r160_in1k"
CONFIG = d2.D24FADConfig(teacher=TEACHER, weights="random", image_size=32)


@pytest.fixture
def folders(tiny_root: Path, tmp_path: Path) -> dict[str, Path]:
    """Supports, further normals, and images to score: no image in two of them."""
    train = sorted((tiny_root / "Stripes/train/good").iterdir())
    for name, files in (("supports", train[:4]), ("normals", train[4:10])):
        (tmp_path / name).mkdir()
        for file in files:
            shutil.copy(file, tmp_path / name)
    shutil.copytree(tiny_root / "Stripes/test/bad", tmp_path / "scans")
    return {name: tmp_path / name for name in ("supports", "normals", "scans")}


@pytest.mark.parametrize("method", ["", "nearest-patch", "mirrored-patch", "mean-feature", "matched"])
def test_p_values_and_alarms_are_those_of_the_definition(folders, tmp_path, method: str) -> None:
    model = d2.D24FAD(CONFIG).eval()
    result = d2.predict_folder(
        model,
        folders["scans"],
        folders["supports"],
        tmp_path / "out",
        normals=folders["normals"],
        alpha=0.2,
        method=method,
        progress=False,
    )
    normals = d2.predict_folder(
        model, folders["normals"], folders["supports"], tmp_path / "n", method=method, progress=False
    ).scores["score"]
    assert result.calibration.basis == "extra normals" and len(normals) == 6
    stored = pd.read_csv(result.scores_file)
    for score, p, alarm in zip(stored["score"], stored["p_value"], stored["alarm"]):
        expected = (1 + sum(normal >= score for normal in normals)) / 7
        assert p == pytest.approx(expected, abs=1e-5) and alarm == (expected <= 0.2)
    pd.testing.assert_frame_equal(stored, result.scores)
    noted = json.loads((tmp_path / "out/predict.json").read_text())["calibration"]
    assert noted["alpha"] == 0.2 and noted["normal_images"] == 6
    assert noted["threshold"] == pytest.approx(sorted(normals)[5], rel=1e-6)  # ceil(7 · 0.8) = 6th of 6


def test_a_rate_that_cannot_be_promised_is_refused_before_anything_is_written(folders, tmp_path) -> None:
    model = d2.D24FAD(CONFIG)
    with pytest.raises(d2.ThresholdError, match=r"4 supports and 6 further normal images cannot promise .* 0\.05"):
        d2.predict_folder(
            model, folders["scans"], folders["supports"], tmp_path / "out", normals=folders["normals"], alpha=0.05
        )
    assert not (tmp_path / "out").exists()


def test_without_further_normals_the_supports_give_p_values_and_no_alarm(folders, tmp_path) -> None:
    result = d2.predict_folder(d2.D24FAD(CONFIG), folders["scans"], folders["supports"], tmp_path / "out")
    assert result.calibration.basis == "leave-one-out" and "alarm" not in result.scores
    expected = [(1 + sum(s >= score for s in result.support_scores)) / 5 for score in result.scores["score"]]
    np.testing.assert_allclose(result.scores["p_value"], expected, atol=1e-6)
    assert "no false-alarm rate was asked for" in result.calibration.sentence()


def test_a_support_that_is_given_twice_is_named(folders, tmp_path) -> None:
    first = min(folders["supports"].iterdir())
    with pytest.warns(UserWarning, match=r"once more: the supports' own scores"):
        d2.predict_folder(d2.D24FAD(CONFIG), folders["scans"], [folders["supports"], first], tmp_path / "out")


def test_a_single_support_gives_no_p_value(folders, tmp_path) -> None:
    one = min(folders["supports"].iterdir())
    result = d2.predict_folder(d2.D24FAD(CONFIG), folders["scans"], one, tmp_path / "out")
    assert "p_value" not in result.scores and "no p-values" in result.calibration.sentence()


def test_a_normal_image_that_is_a_support_is_named(folders, tmp_path) -> None:
    first = min(folders["supports"].iterdir())
    shutil.copy(first, folders["normals"] / "again.png")
    with pytest.raises(ValueError, match=r"again\.png is a support as well"):
        d2.predict_folder(
            d2.D24FAD(CONFIG), folders["scans"], folders["supports"], tmp_path / "out", normals=folders["normals"]
        )


def test_a_normal_image_that_is_given_twice_is_named_and_promises_nothing(folders, tmp_path) -> None:
    twice = [folders["normals"], min(folders["normals"].iterdir())]  # 6 images, not 7
    with pytest.raises(ValueError, match=r"normal images .* are the same; counted twice"):
        d2.predict_folder(
            d2.D24FAD(CONFIG), folders["scans"], folders["supports"], tmp_path / "out", normals=twice, alpha=1 / 8
        )
    assert not (tmp_path / "out").exists()


def test_calibration_images_among_the_scored_ones_are_counted(folders, tmp_path) -> None:
    shutil.copy(min(folders["normals"].iterdir()), folders["scans"] / "normal.png")
    result = d2.predict_folder(
        d2.D24FAD(CONFIG), folders["scans"], folders["supports"], tmp_path / "out", normals=folders["normals"]
    )
    assert result.supports_among_images == 1


def test_p_values_of_images_scored_before_follow_the_normals_of_now(folders, tmp_path) -> None:
    places = (d2.D24FAD(CONFIG), folders["scans"], folders["supports"], tmp_path / "out")
    first = d2.predict_folder(*places)
    second = d2.predict_folder(*places, normals=folders["normals"], alpha=0.2)
    assert second.scored == 0 and second.known == len(first.scores)
    assert first.scores["score"].tolist() == second.scores["score"].tolist() and "alarm" in second.scores


def test_alarms_on_exchangeable_scores_keep_the_promised_rate() -> None:
    generator, alarms = np.random.default_rng(0), []
    for _ in range(400):
        scores = generator.gamma(2, size=69)
        calibration = calibrate_folder(4, [9.0] * 4, scores[:19], 0.05)
        alarms.append(np.mean(calibration.columns(scores[19:])["alarm"]))
    assert np.mean(alarms) == pytest.approx(0.05, abs=3 * np.std(alarms) / 20)


def test_a_support_that_alone_differs_stands_apart_and_equal_ones_do_not() -> None:
    generator = torch.Generator().manual_seed(0)
    texture = torch.rand(1, 3, 32, 32, generator=generator)
    supports = (texture + 0.02 * torch.rand(5, 3, 32, 32, generator=generator)).clamp(0, 1)
    supports[3, :, 8:24, 8:24] = torch.rand(3, 16, 16, generator=generator)
    model = d2.D24FAD(CONFIG)
    suspicion, odd = odd_supports(model, supports)
    assert odd == [3] and len(suspicion) == 5 and max(suspicion) == suspicion[3]
    assert odd_supports(model, texture.expand(4, -1, -1, -1))[1] == []
    assert odd_supports(model, supports[:2]) == ([], [])


@pytest.mark.parametrize("most", [0, 1, 3, 9])
def test_the_maps_of_the_highest_scores_are_kept_and_no_more(most: int) -> None:
    scores = np.random.default_rng(1).permutation(9).astype(float)
    kept = TopMaps(most)
    for i, score in enumerate(scores):
        kept.add(str(i), score, KeptMap(np.full((2, 2), score), np.array([score])))
    for i, score in enumerate(scores):
        found = kept.get(str(i))
        assert (found is not None) == (score >= 9 - most)
        assert found is None or (found.anomaly_map[0, 0] == score and found.weights[0] == score)


def test_a_kept_map_does_not_hold_its_batch() -> None:
    maps, weights = np.zeros((32, 4, 4)), np.zeros((32, 3))
    kept = ScoredImage(ReadImage(ImageFile("a", Path("a.png")), "", None), 1.0, maps[3], weights[3]).kept()
    assert kept.anomaly_map.base is None and kept.weights.base is None


def test_of_equal_scores_the_first_are_kept_as_in_the_table() -> None:
    kept = TopMaps(2)
    for name, score in (("a", 1.0), ("b", 1.0), ("c", 2.0), ("d", 1.0)):
        kept.add(name, score, KeptMap(np.zeros((1, 1)), np.zeros(1)))
    assert [name for name in "abcd" if kept.get(name)] == ["a", "c"]
