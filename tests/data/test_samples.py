"""The sample world: no shortcut tells its classes at any difficulty, masks are exact, and seeds are kept."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from d24fad_lite.data.benchmark import Task, open_benchmark
from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.data.samples.world import (
    DIFFICULTIES,
    SPLITS,
    TASKS,
    draw_pair,
    draw_sample,
    is_sample_world,
    severity_of,
    write_samples,
)
from d24fad_lite.evaluation.baselines.shortcuts import file_statistics, image_statistics

SHIPPED = Path(__file__).resolve().parents[2] / "data_samples"
LIMIT = 0.65  # AUROC that no shortcut may reach, in either direction
NAMES = list(TASKS)
CELL = 128 / 4  # side, in pixels, of what one position of a stride-32 embedding stands for


def shortcuts(images: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics [N] of images [N, 3, S, S] in 0..1, by their definitions."""
    grey = images.mean(axis=1)
    laplacian = np.stack([ndimage.laplace(picture) for picture in grey])
    channels = {f"mean of channel {c}": images[:, c].mean(axis=(1, 2)) for c in range(3)}
    return channels | {
        "mean intensity": grey.mean(axis=(1, 2)),
        "standard deviation": grey.std(axis=(1, 2)),
        "sharpness": laplacian.var(axis=(1, 2)),
    }


def told_by_shortcuts(task: Task, size: int) -> dict[str, float]:
    """AUROC of each shortcut on the test images, either way: 0.5 where it tells nothing."""
    train, test = task.train.images(size).numpy(), task.test.images(size).numpy()
    labels, known = task.test.labels, shortcuts(train)
    statistics = {
        "bytes of the file": [Path(path).stat().st_size for path in task.test.paths],
        "distance to the mean image": np.abs(test - train.mean(axis=0)).mean(axis=(1, 2, 3)),
    }
    for name, values in shortcuts(test).items():
        statistics |= {name: values, f"{name}, distance": np.abs(values - known[name].mean())}
    aurocs = {name: roc_auc_score(labels, values) for name, values in statistics.items()}
    return {name: round(max(value, 1 - value), 3) for name, value in aurocs.items()}


@pytest.fixture(scope="module", params=NAMES)
def task(request: pytest.FixtureRequest) -> Task:
    return open_benchmark(SHIPPED, [request.param])[request.param]


def test_no_shortcut_separates_the_classes_of_a_shipped_task(task: Task) -> None:
    assert {name: value for name, value in told_by_shortcuts(task, 128).items() if value >= LIMIT} == {}


def test_nor_does_any_statistic_that_the_kit_itself_tries_as_a_shortcut(task: Task) -> None:
    def known(images: ImageSet) -> dict[str, np.ndarray]:
        everything = np.arange(len(images))
        return image_statistics(images.images(128)) | file_statistics(images, everything)

    usual, told = known(task.train), {}
    for name, values in known(task.test).items():
        for direction, scores in (("signed", values), ("distance", np.abs(values - usual[name].mean()))):
            auroc = roc_auc_score(task.test.labels, scores)
            told[name, direction] = round(max(auroc, 1 - auroc), 3)
    assert {name: value for name, value in told.items() if value >= LIMIT} == {}


@pytest.mark.parametrize("difficulty", ["medium", "hard"])
def test_no_shortcut_separates_the_classes_at_the_other_difficulties(difficulty: str, tmp_path: Path) -> None:
    write_samples(tmp_path, seed=5, severity=difficulty, size=40, train=12, test=16)
    told = {name: told_by_shortcuts(one, 40) for name, one in open_benchmark(tmp_path).items()}
    assert {
        (name, shortcut): value for name, values in told.items() for shortcut, value in values.items() if value >= LIMIT
    } == {}


def test_a_shipped_task_has_the_promised_images_and_a_mask_for_each_lesion(task: Task) -> None:
    labels = task.test.labels
    assert (len(task.train), int((labels == 0).sum()), int((labels == 1).sum())) == (40, 20, 20)
    masks = np.asarray(task.test.masks(128, np.flatnonzero(labels == 1)))
    assert masks.any(axis=(1, 2)).all() and masks.mean() < 0.5
    assert task.check() == []


def test_some_shipped_lesions_fill_a_position_of_the_embedding_and_some_are_lost_in_it() -> None:
    """As wide as the largest circle within a lesion: what is far below 32 pixels cannot come back from it."""

    def width(name: str) -> float:
        test = open_benchmark(SHIPPED, [name])[name].test
        masks = np.asarray(test.masks(128, np.flatnonzero(test.labels == 1))) > 0
        circles = [2 * ndimage.distance_transform_edt(np.pad(mask, 1)).max() for mask in masks]
        return float(np.median(circles)) / CELL

    widths = {name: width(name) for name in NAMES}
    assert min(widths["RSNA"], widths["HIS"]) > 0.75, widths
    assert max(widths["APTOS"], widths["LAG"]) < 0.5, widths


def test_the_shipped_folder_is_small_and_its_manifest_true() -> None:
    manifest = json.loads((SHIPPED / "MANIFEST.json").read_text(encoding="utf-8"))
    files = {path.relative_to(SHIPPED).as_posix(): path for path in SHIPPED.rglob("*.png")}
    assert set(files) == set(manifest["files"])
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*")) <= 12_000_000
    for name, path in files.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == manifest["files"][name]["sha256"], name
    assert manifest["seed"] == 0 and manifest["licence"] == "CC0-1.0"
    assert (manifest["level"], manifest["severity"]) == ("plain", DIFFICULTIES["plain"])


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_image_is_drawn_again_pixel_by_pixel_from_what_the_manifest_says_of_it(name: str) -> None:
    files = json.loads((SHIPPED / "MANIFEST.json").read_text(encoding="utf-8"))["files"]
    for split in SPLITS:
        (path, *_) = sorted((SHIPPED / name / split).rglob("0000.png"))
        entry = files[path.relative_to(SHIPPED).as_posix()]
        sample = draw_sample(name, entry["seed"], split == "test/bad", camera=entry["camera"])
        assert np.array_equal(np.asarray(Image.open(path).convert("RGB")), sample.image), path


@pytest.mark.parametrize("name", NAMES)
def test_a_pair_is_the_same_each_time_and_shares_a_camera_but_no_patient(name: str) -> None:
    normal, anomalous = draw_pair(name, seed=5, index=3, size=32)
    again = draw_pair(name, seed=5, index=3, size=32)
    assert [drawn.seed for drawn in again] == [normal.seed, anomalous.seed]
    assert normal.camera == anomalous.camera and normal.seed != anomalous.seed
    assert normal.sample.kind == "normal" and anomalous.sample.mask.any()


def test_a_difficulty_is_a_name_for_a_severity() -> None:
    named, number = (draw_sample("RSNA", 3, True, severity, 32) for severity in ("hard", DIFFICULTIES["hard"]))
    assert np.array_equal(named.image, number.image)
    assert 0 < DIFFICULTIES["hard"] < DIFFICULTIES["medium"] < DIFFICULTIES["plain"] <= 1
    with pytest.raises(
        ValueError, match="severity='easy' is not known; choose one of 'plain', 'medium', 'hard', or a number"
    ):
        severity_of("easy")
    with pytest.raises(ValueError, match="severity=2 must lie between 0"):
        draw_sample("RSNA", 3, True, 2, 32)


@pytest.mark.parametrize("name", NAMES)
def test_even_a_trace_of_a_lesion_has_a_mask(name: str) -> None:
    assert all(draw_sample(name, (7, seed), True, 0.0, 64).mask.any() for seed in range(12))


@pytest.mark.parametrize("name", NAMES)
def test_the_mask_is_where_the_lesion_changed_the_healthy_twin(name: str) -> None:
    """Exposure follows the whole view, so a lesion shifts all pixels a little: the mask must hold the large changes."""
    inside, outside = [], []
    for seed in range(8):
        sick, healthy = (draw_sample(name, (5, seed), bad, 0.9, 64) for bad in (True, False))
        assert not healthy.mask.any() and healthy.kind == "normal"
        assert sick.mask.any() and sick.kind != "normal"
        change = np.abs(sick.image.astype(float) - healthy.image).mean(axis=2)
        near = ndimage.binary_dilation(sick.mask, iterations=4)
        inside.append(change[sick.mask].mean())
        outside.append(change[~near].mean())
    assert np.mean(inside) > 2 * np.mean(outside), (np.mean(inside), np.mean(outside))


@pytest.mark.parametrize("name", NAMES)
def test_severity_turns_the_lesion_up(name: str) -> None:
    def change(severity: float) -> float:
        pairs = [
            [draw_sample(name, (6, seed), bad, severity, 48).image.astype(float) for bad in (True, False)]
            for seed in range(8)
        ]
        return float(np.mean([np.abs(sick - healthy).mean() for sick, healthy in pairs]))

    trace, hard, medium, plain = (change(severity) for severity in (0.0, *sorted(DIFFICULTIES.values())))
    assert trace < hard < medium < plain


@pytest.mark.parametrize("name", NAMES)
def test_patients_and_cameras_vary_and_the_size_keeps_the_anatomy(name: str) -> None:
    images = np.stack([draw_sample(name, seed, size=32).image for seed in range(6)]).astype(float)
    assert all(np.abs(images[0] - other).mean() > 4 for other in images[1:])
    large = draw_sample(name, 3, size=128).image.astype(float).reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
    assert np.corrcoef(large.ravel(), images[3].ravel())[0, 1] > 0.8
    one, two = (draw_sample(name, 3, size=32, camera=camera).image for camera in (1, 2))
    assert not np.array_equal(one, two)


@pytest.mark.parametrize("manifest", [None, "{", "[]", '{"HIS/train/good/0.png": "aa"}', '{"name": "another"}'])
def test_only_what_this_generator_wrote_is_called_synthetic(tmp_path: Path, manifest: str | None) -> None:
    if manifest is not None:
        (tmp_path / "MANIFEST.json").write_text(manifest, encoding="utf-8")
    assert not is_sample_world(tmp_path)
    assert is_sample_world(SHIPPED)
