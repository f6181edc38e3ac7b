"""The sample world: no shortcut separates its classes, masks are exact, severity is a dial, and seeds are kept."""

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
from d24fad_lite.data.samples.world import SPLITS, TASKS, draw_sample, is_sample_world

SHIPPED = Path(__file__).resolve().parents[2] / "data_samples"
LIMIT = 0.65  # AUROC that no shortcut may reach, in either direction
NAMES = list(TASKS)


def shortcuts(images: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics [N] of images [N, 3, S, S] in 0..1, by their definitions."""
    grey = images.mean(axis=1)
    laplacian = np.stack([ndimage.laplace(picture) for picture in grey])
    channels = {f"mean of channel {c}": images[:, c].mean(axis=(1, 2)) for c in range(3)}
    return channels | {"mean intensity": grey.mean(axis=(1, 2)), "standard deviation": grey.std(axis=(1, 2)),
                       "sharpness": laplacian.var(axis=(1, 2))}


@pytest.fixture(scope="module", params=NAMES)
def task(request: pytest.FixtureRequest) -> Task:
    return open_benchmark(SHIPPED, [request.param])[request.param]


def test_no_shortcut_separates_the_classes_of_a_shipped_task(task: Task) -> None:
    train, test = task.train.images(128).numpy(), task.test.images(128).numpy()
    labels = task.test.labels
    found = {}
    known = shortcuts(train)
    for name, values in shortcuts(test).items():
        found[name] = roc_auc_score(labels, values)
        found[f"{name}, distance"] = roc_auc_score(labels, np.abs(values - known[name].mean()))
    stored = {split: [path.stat().st_size for path in (SHIPPED / task.name / "test" / split).rglob("*.png")]
              for split in ("good", "bad")}
    found["bytes of the file"] = roc_auc_score([0] * 20 + [1] * 20, stored["good"] + stored["bad"])
    whole = np.abs(test - train.mean(axis=0)).mean(axis=(1, 2, 3))
    found["distance to the mean image"] = roc_auc_score(labels, whole)
    either_way = {name: max(value, 1 - value) for name, value in found.items()}
    assert max(either_way.values()) < LIMIT, {k: round(v, 3) for k, v in either_way.items() if v >= LIMIT}


def test_a_shipped_task_has_the_promised_images_and_a_mask_for_each_lesion(task: Task) -> None:
    labels = task.test.labels
    assert (len(task.train), int((labels == 0).sum()), int((labels == 1).sum())) == (40, 20, 20)
    masks = np.asarray(task.test.masks(128, np.flatnonzero(labels == 1)))
    assert masks.any(axis=(1, 2)).all() and masks.mean() < 0.5
    assert task.check() == []


def test_the_shipped_folder_is_small_and_its_manifest_true() -> None:
    manifest = json.loads((SHIPPED / "MANIFEST.json").read_text(encoding="utf-8"))
    files = {path.relative_to(SHIPPED).as_posix(): path for path in SHIPPED.rglob("*.png")}
    assert set(files) == set(manifest["files"])
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*")) <= 12_000_000
    for name, path in files.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == manifest["files"][name]["sha256"], name
    assert manifest["seed"] == 0 and manifest["licence"] == "CC0-1.0"


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_image_is_drawn_again_pixel_by_pixel_from_the_seed(name: str) -> None:
    for split in SPLITS:
        camera = (0, min(SPLITS.index(split), 1), 0)
        sample = draw_sample(name, (0, SPLITS.index(split), 0), split == "test/bad", camera=camera)
        (path, *_) = sorted((SHIPPED / name / split).rglob("0000.png"))
        assert np.array_equal(np.asarray(Image.open(path).convert("RGB")), sample.image), path


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
        pairs = [[draw_sample(name, (6, seed), bad, severity, 48).image.astype(float) for bad in (True, False)]
                 for seed in range(8)]
        return float(np.mean([np.abs(sick - healthy).mean() for sick, healthy in pairs]))

    trace, middle, plain = change(0.0), change(0.5), change(1.0)
    assert trace < middle < plain


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
