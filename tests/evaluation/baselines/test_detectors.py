"""Baselines as detectors: against loops written here, and through every door that a D24FAD goes through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import d24fad_lite as d2
from d24fad_lite.evaluation.baselines.by_name import NAMED_METHODS, as_method, create_detector, load_detector
from d24fad_lite.evaluation.baselines.detector import BaselineDetector
from d24fad_lite.evaluation.baselines.mean_feature import mean_vectors
from d24fad_lite.evaluation.baselines.mean_feature_detector import MeanFeatureDetector, contributions
from d24fad_lite.evaluation.baselines.nearest_patch_detector import NearestPatchDetector
from d24fad_lite.evaluation.scorer import as_scorer
from d24fad_lite.model.checkpoint import CheckpointError, read_tensors, write_tensors
from d24fad_lite.model.features import SupportBank
from d24fad_lite.model.interface import Detector
from d24fad_lite.runs.benchmark.methods import METHODS, SHORTCUTS

TEACHER = "test_resnet.r160_in1k"  # timm's tiny test model
CONFIG = d2.D24FADConfig(teacher=TEACHER, weights="random", image_size=48)


@pytest.fixture(scope="module")
def teacher() -> d2.Teacher:
    return d2.Teacher(TEACHER, "random", 48)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(7, 3, 48, 48, generator=torch.Generator().manual_seed(3))


def test_nearest_patch_is_the_loop_over_all_pairs_of_patches(teacher, images) -> None:
    detector = NearestPatchDetector(CONFIG.replace(blur_sigma=0.0), teacher)
    supports, queries = images[:3], images[3:5]
    found = detector.predict(queries, detector.encode_supports(supports))
    levels = [[f.double() for f in teacher(x).levels[1:]] for x in (supports, queries)]
    size = levels[0][0].shape[2:]

    def patch(of: list[torch.Tensor], image: int, row: int, column: int) -> np.ndarray:
        parts = []
        for level in of:
            local = F.avg_pool2d(level[image : image + 1], 3, stride=1, padding=1, count_include_pad=False)
            local = F.interpolate(local, size=size, mode="bilinear", align_corners=False)[0, :, row, column].numpy()
            parts.append(local / np.linalg.norm(local))
        whole = np.concatenate(parts)
        return whole / np.linalg.norm(whole)

    positions = [(row, column) for row in range(size[0]) for column in range(size[1])]
    for query in range(2):
        shares, distances = np.zeros(3), []
        for position in positions:
            own = patch(levels[1], query, *position)
            each = [min(np.linalg.norm(own - patch(levels[0], k, *other)) for other in positions) for k in range(3)]
            shares[int(np.argmin(each))] += 1 / len(positions)
            distances.append(min(each))
        assert float(found.score[query]) == pytest.approx(max(distances), abs=1e-4)
        np.testing.assert_allclose(found.weights[query, 0], shares, atol=1e-6)
        low = torch.tensor(distances).view(1, 1, *size)
        expected = F.interpolate(low, size=(48, 48), mode="bilinear", align_corners=False)[0, 0]
        np.testing.assert_allclose(found.anomaly_map[query], expected, atol=1e-4)


def test_a_map_of_the_mean_feature_adds_up_to_its_score(teacher, images) -> None:
    detector = MeanFeatureDetector(CONFIG, teacher)
    bank = detector.encode_supports(images[:3])
    levels = [teacher(images[3:]).levels[i] for i in detector.levels]
    center = bank.vectors.mean(dim=(0, 1))
    difference = mean_vectors(levels) - center
    score = detector.predict(images[3:], bank).score
    shares = contributions(levels, center, difference / score[:, None])
    torch.testing.assert_close(sum(share.mean(dim=(1, 2)) for share in shares), score, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(score, torch.linalg.vector_norm(difference, dim=1))


def test_an_image_that_equals_the_supports_mean_has_no_distance_and_a_finite_map(teacher, images) -> None:
    detector = MeanFeatureDetector(CONFIG, teacher)
    found = detector.predict(images[:1], detector.encode_supports(images[:1]))
    assert float(found.score) < 1e-6 and bool(torch.isfinite(found.anomaly_map).all())


@pytest.mark.parametrize("score", ["max", "mean", "top"])
@pytest.mark.parametrize("kind", [NearestPatchDetector, MeanFeatureDetector])
def test_a_detector_and_its_scorer_give_the_same_numbers(teacher, images, kind, score: str) -> None:
    detector = kind(CONFIG.replace(image_score=score, top_share=0.3), teacher)
    scorer = as_scorer(detector)
    batch = scorer.score(images[4:], scorer.prepare(images[:4], np.array([[0, 1, 2, 3], [3, 1, 1, 0]])))
    for draw, rows in enumerate(([0, 1, 2, 3], [3, 1, 1, 0])):
        alone = detector.predict(images[4:], detector.encode_supports(images[rows]))
        np.testing.assert_allclose(batch.scores[draw], alone.score, rtol=1e-4)
        if batch.maps is not None:
            np.testing.assert_allclose(batch.maps[draw], alone.anomaly_map, atol=1e-4)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("method", ["d24fad", "nearest-patch", "mirrored-patch", "mean-feature"])
def test_images_of_any_float_format_score_as_in_float32(images, method: str, normalize: bool) -> None:
    detector = create_detector(method, CONFIG.replace(normalize=normalize))
    for given in (torch.float64, torch.float16, torch.bfloat16):
        supports, queries = images[:3].to(given), images[3:].to(given)
        found = detector.predict(queries, detector.encode_supports(supports))
        expected = detector.predict(queries.float(), detector.encode_supports(supports.float()))
        assert torch.equal(found.score, expected.score) and torch.equal(found.anomaly_map, expected.anomaly_map)
        scorer, draws = as_scorer(detector), np.arange(3)[None]
        scored = scorer.score(queries, scorer.prepare(supports, draws)).scores
        again = scorer.score(queries.float(), scorer.prepare(supports.float(), draws)).scores
        assert scored.dtype == np.float32 and np.array_equal(scored, again)


@pytest.mark.parametrize("method", NAMED_METHODS)
@pytest.mark.parametrize("weights", ["embedded", "random"])
def test_every_method_is_made_saved_loaded_and_predicts_the_same(method: str, weights: str, tmp_path, images) -> None:
    config = CONFIG if weights == "random" else d2.D24FADConfig(image_size=48)
    detector = create_detector(method, config).eval()
    assert isinstance(detector, Detector)
    path = detector.save(tmp_path / "model.safetensors", trained_on=["A"])
    again = load_detector(path)
    assert type(again) is type(detector) and again.fingerprint() == detector.fingerprint()
    before, after = (one.predict(images[3:], one.encode_supports(images[:3])) for one in (detector, again))
    assert torch.equal(before.score, after.score) and torch.equal(before.anomaly_map, after.anomaly_map)
    assert before.anomaly_map.shape == (4, 48, 48) and before.weights.shape[0::2] == (4, 3)
    torch.testing.assert_close(before.weights.sum(dim=2), torch.ones(before.weights.shape[:2]))


def test_a_file_of_one_method_is_not_read_as_another(tmp_path) -> None:
    patch = create_detector("nearest-patch", CONFIG).save(tmp_path / "patch.safetensors")
    with pytest.raises(CheckpointError, match=r"method 'nearest-patch', expected 'd24fad'; d2\.load_detector"):
        d2.D24FAD.load(patch)
    with pytest.raises(CheckpointError, match="expected 'mean-feature'"):
        MeanFeatureDetector.load(patch)


def test_options_of_a_baseline_are_kept_in_its_file_and_change_its_fingerprint(tmp_path, teacher) -> None:
    one, two = (create_detector("nearest-patch", CONFIG, teacher, levels=levels) for levels in ([0], [0, 2]))
    assert one.fingerprint() != two.fingerprint()
    again = load_detector(two.save(tmp_path / "two.safetensors"))
    assert isinstance(again, BaselineDetector) and again.levels == [0, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": [1], "bogus": 1}, "options \\['bogus'\\]"),
        ({"config": 1}, "options \\['config'\\]"),
        ({"self": 1}, "options \\['self'\\]"),
        *(({"levels": levels}, "levels=") for levels in ("abc", 3, [0.5], [[1]], {"1": 2}, [10**30], [-1], [])),
    ],
)
def test_options_in_a_file_of_which_nothing_can_be_built_are_named(tmp_path, teacher, options, message) -> None:
    path = NearestPatchDetector(CONFIG, teacher).save(tmp_path / "n.safetensors")
    tensors, facts = read_tensors(path)
    write_tensors(path, tensors, {**facts, "options": options})
    with pytest.raises(CheckpointError, match=f"n.safetensors.*{message}"):
        load_detector(path)


def test_another_method_is_read_from_the_teacher_of_a_model(teacher, images) -> None:
    model = d2.D24FAD(CONFIG, teacher)
    patch = as_method(model, "nearest-patch")
    assert (
        patch.teacher is model.teacher and as_method(patch, "nearest-patch") is patch and as_method(model, "") is model
    )
    matched = as_method(model, "matched")
    assert isinstance(matched, d2.D24FAD) and matched.config.reading_name == "matched"
    tsd = create_detector("tsd-only", CONFIG, teacher)
    assert as_method(tsd, "tsd-only") is tsd
    with pytest.raises(ValueError, match="--method 'tsd-only' is trained"):
        as_method(model, "tsd-only", "--method")
    with pytest.raises(ValueError, match="did you mean 'nearest-patch'"):
        as_method(model, "nearest-patsh")


def test_the_benchmark_and_the_command_line_know_the_same_methods() -> None:
    assert set(NAMED_METHODS) == set(METHODS) - {SHORTCUTS}
    assert {name for name, one in NAMED_METHODS.items() if one.trained} == {n for n, m in METHODS.items() if m.trained}


def test_a_bank_of_vectors_is_selected_and_joined_like_a_bank_of_supports(teacher, images) -> None:
    for detector in (NearestPatchDetector(CONFIG, teacher), d2.D24FAD(CONFIG, teacher).eval()):
        bank = detector.encode_supports(images[:4])
        parts = type(bank).join([detector.encode_supports(images[:1]), detector.encode_supports(images[1:4])])
        one, two = (detector.predict(images[5:], some) for some in (bank.select([2, 0]), parts.select([2, 0])))
        torch.testing.assert_close(one.score, two.score)
        with pytest.raises(ValueError, match="no indices"):
            bank.select([])
        with pytest.raises(IndexError, match="supports 0 to 3"):
            bank.select([4])
        with pytest.raises(ValueError, match="at least one"):
            type(bank).join([])
    assert isinstance(bank, SupportBank)


def test_wrong_input_is_named(teacher, images) -> None:
    detector = NearestPatchDetector(CONFIG, teacher)
    with pytest.raises(ValueError, match="0 images; at least one"):
        detector.encode_supports(images[:0])
    with pytest.raises(ValueError, match="supports have shape"):
        detector.encode_supports(images[..., :40])
    with pytest.raises(ValueError, match="queries must lie in 0..1"):
        detector.predict(images * 255, detector.encode_supports(images[:2]))
    with pytest.raises(ValueError, match=r"levels=\[9\] must name"):
        NearestPatchDetector(CONFIG, teacher, [9])
    with pytest.raises(ValueError, match="takes images of 48 px, the settings say 64 px"):
        NearestPatchDetector(CONFIG.replace(image_size=64), teacher)
    with pytest.raises(ValueError, match=r"levels=\[0\] is for nearest-patch, mirrored-patch, mean-feature"):
        create_detector("matched", CONFIG, levels=[0])


def test_baselines_are_evaluated_and_calibrated_like_any_detector(task, teacher) -> None:
    small = d2.D24FADConfig(teacher=TEACHER, weights="random", image_size=32)
    detector = create_detector("nearest-patch", small)
    report = d2.evaluate(detector, task, shots=2, draws=2)
    again = d2.evaluate(d2.NearestPatch(detector.teacher), task, shots=2, draws=2)
    np.testing.assert_allclose(report.scores, again.scores, rtol=1e-5)
    supports, normals = task.train.images(32, [0, 1]), task.train.images(32, [2, 3, 4, 5])
    threshold = d2.calibrate(detector, supports, 0.25, normals)
    bank = detector.encode_supports(supports)
    np.testing.assert_allclose(threshold.scores, np.sort(detector.predict(normals, bank).score), rtol=1e-4)


def test_files_are_small_where_the_package_ships_the_teacher(tmp_path: Path) -> None:
    path = create_detector("mean-feature", d2.D24FADConfig(image_size=48)).save(tmp_path / "m.safetensors")
    assert path.stat().st_size < 20_000


def test_a_callers_own_facts_do_not_change_whose_file_it_is(tmp_path: Path, teacher) -> None:
    for detector in (d2.D24FAD(CONFIG, teacher), create_detector("nearest-patch", CONFIG, teacher)):
        path = detector.save(tmp_path / "model.safetensors", method="mine", options={"mine": 1}, note="kept")
        assert load_detector(path).fingerprint() == detector.fingerprint()
