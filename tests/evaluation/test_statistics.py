"""Paired tests against their definitions and against each other; the lottery and the manifest of draws."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from d24fad_lite.data.benchmark import Task, open_benchmark
from d24fad_lite.evaluation.baselines import MeanFeature
from d24fad_lite.evaluation.evaluate import evaluate
from d24fad_lite.evaluation.lottery import SupportLottery, effect_of_shots, support_lottery
from d24fad_lite.evaluation.manifest import DrawsManifest, ManifestError
from d24fad_lite.evaluation.metrics import image_auroc
from d24fad_lite.evaluation.report import EvaluationReport
from d24fad_lite.evaluation.statistics import compare_paired, delong_covariance, delong_test
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD


def toy_report(method: str, scores: np.ndarray, labels: np.ndarray, groups: list[str | None] | None = None,
               hashes: str = "h") -> EvaluationReport:
    draws, count = scores.shape
    return EvaluationReport("T", method, "per-image", 2, 0, labels, [f"{i}.png" for i in range(count)],
                            groups or [None] * count, scores, np.zeros((draws, 2), int),
                            [[f"{hashes}{d}a", f"{hashes}{d}b"] for d in range(draws)])


def toy_scores(seed: int, draws: int = 3, count: int = 60, gain: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Two correlated scorings [2, D, N], the first better by `gain`."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    common = rng.normal(size=count) + labels
    first = common + (gain + 0.0) * labels + rng.normal(scale=0.7, size=(draws, count))
    second = common + rng.normal(scale=0.7, size=(draws, count))
    return np.stack([first, second]), labels


def naive_delong(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The structural components of 1988, pair by pair."""
    def kernel(x: float, y: float) -> float:
        return 1.0 if x > y else 0.5 if x == y else 0.0

    v10, v01 = [], []
    for row in scores:
        x, y = row[labels == 1], row[labels == 0]
        v10.append([np.mean([kernel(a, b) for b in y]) for a in x])
        v01.append([np.mean([kernel(a, b) for a in x]) for b in y])
    a, b = np.array(v10), np.array(v01)
    return a.mean(axis=1), np.cov(a) / a.shape[1] + np.cov(b) / b.shape[1]


@pytest.mark.parametrize("decimals", [0, 6])
def test_fast_delong_is_the_pairwise_definition_also_with_ties(decimals: int) -> None:
    rng = np.random.default_rng(2)
    labels = (rng.random(35) < 0.4).astype(int)
    scores = (rng.normal(size=(3, 35)) + labels).round(decimals)
    aurocs, covariance = delong_covariance(labels, scores)
    expected_aurocs, expected_covariance = naive_delong(labels, scores)
    np.testing.assert_allclose(aurocs, expected_aurocs, atol=1e-12)
    np.testing.assert_allclose(covariance, expected_covariance, atol=1e-12)
    assert aurocs[0] == pytest.approx(image_auroc(labels, scores[0]))


def test_delong_and_the_bootstrap_of_images_agree_on_the_standard_error() -> None:
    both, labels = toy_scores(4, draws=1, count=300, gain=0.3)
    _, error, p = delong_test(labels, both[0, 0], both[1, 0])
    pair = compare_paired(toy_report("a", both[0], labels), toy_report("b", both[1], labels))
    assert (pair.high - pair.low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.1)
    assert pair.delong_p == pytest.approx(p)
    assert abs(np.log(pair.p / p)) < 1.5 or max(pair.p, p) < 2e-3  # the bootstrap cannot tell smaller ones apart


def test_no_difference_is_found_where_there_is_none_at_the_promised_rate() -> None:
    rng, rejected = np.random.default_rng(0), 0
    labels = np.arange(80) % 2
    for _ in range(300):
        common = rng.normal(size=80) + labels
        rejected += delong_test(labels, common + rng.normal(size=80), common + rng.normal(size=80))[2] < 0.05
    assert 3 <= rejected <= 30  # 15 expected


def test_a_method_against_itself_differs_by_nothing_and_a_better_one_by_something() -> None:
    both, labels = toy_scores(1, gain=1.5)
    same = compare_paired(toy_report("a", both[0], labels), toy_report("a again", both[0], labels))
    assert (same.difference, same.low, same.high, same.p, same.delong_p) == (0, 0, 0, 1, 1)
    pair = compare_paired(toy_report("a", both[0], labels), toy_report("b", both[1], labels))
    means = [np.mean([image_auroc(labels, row) for row in part]) for part in both]
    assert pair.difference == pytest.approx(means[0] - means[1])
    assert 0 < pair.low < pair.difference < pair.high and pair.p < 0.01 and "a - b: +" in pair.summary()


def test_images_of_one_patient_count_as_one_and_widen_the_interval() -> None:
    both, labels = toy_scores(5, draws=1, count=40, gain=0.6)
    repeated, more = np.repeat(both, 6, axis=2), np.repeat(labels, 6)  # six equal images of each of 40 patients
    patients = [f"p{i // 6}" for i in range(240)]
    naive = compare_paired(toy_report("a", repeated[0], more), toy_report("b", repeated[1], more))
    clustered = compare_paired(*(toy_report(n, s, more, patients) for n, s in zip("ab", repeated, strict=True)))
    single = compare_paired(toy_report("a", both[0], labels), toy_report("b", both[1], labels))
    assert clustered.delong_p is None and clustered.clusters == 40 and naive.clusters == 240
    assert (clustered.high - clustered.low) > 1.8 * (naive.high - naive.low)
    assert (clustered.high - clustered.low) == pytest.approx(single.high - single.low, rel=0.25)


def test_reports_that_do_not_belong_together_are_refused() -> None:
    both, labels = toy_scores(1)
    first = toy_report("a", both[0], labels)
    with pytest.raises(ValueError, match="different supports"):
        compare_paired(first, toy_report("b", both[1], labels, hashes="other"))
    with pytest.raises(ValueError, match="differ in names"):
        compare_paired(first, toy_report("b", both[1][:, :40], labels[:40]))
    with pytest.raises(ValueError, match="at least 2 images of each class"):
        delong_covariance(np.array([0, 1, 1]), np.random.rand(2, 3))


@pytest.fixture(scope="module")
def task(tiny_root: Path) -> Task:
    return open_benchmark(tiny_root)["Stripes"]


@pytest.fixture(scope="module")
def scorer() -> MeanFeature:
    return MeanFeature(D24FAD(D24FADConfig(teacher="test_resnet", weights="random", image_size=32)))


@pytest.fixture(scope="module")
def lottery(scorer: MeanFeature, task: Task) -> SupportLottery:
    return support_lottery(scorer, task, shots=2, draws=60, seed=3)


def test_the_lottery_is_an_evaluation_with_many_draws_sorted(lottery: SupportLottery, scorer: MeanFeature,
                                                             task: Task) -> None:
    plain = evaluate(scorer, task, 2, 60, 3, pixel=False)
    np.testing.assert_allclose(lottery.report.scores, plain.scores, atol=1e-5)
    best = evaluate(scorer, task, supports=lottery.best(1)).auroc
    assert best == max(plain.aurocs) == lottery.spread["best"] == lottery.to_frame()["auroc"][0]
    assert evaluate(scorer, task, supports=lottery.worst(1)).auroc == min(plain.aurocs)
    figure = lottery.figure(task, count=2)
    assert len(figure.axes) == 1 + 4 * 2 and "60 support sets" in lottery.summary()


def test_luck_is_told_from_a_property_of_the_set() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    lucky = SupportLottery(toy_report("m", rng.normal(size=(100, 80)) + labels, labels)).luck()
    assert lucky["chosen"] - lucky["mean"] > 0.08 and abs(lucky["held out"] - lucky["mean"]) < 0.04
    good = rng.normal(size=(100, 80)) + labels
    good[7] += 3 * labels  # one set is truly better
    real = SupportLottery(toy_report("m", good, labels)).luck()
    assert real["held out"] - real["mean"] > 0.15


def test_the_effect_of_a_support_is_the_difference_of_means(lottery: SupportLottery) -> None:
    row = lottery.support_effects().iloc[0]
    drawn = [row["support"] in s for s in lottery.report.supports]
    with_it = [a for a, d in zip(lottery.report.aurocs, drawn, strict=True) if d]
    without = [a for a, d in zip(lottery.report.aurocs, drawn, strict=True) if not d]
    assert row["effect"] == pytest.approx(np.mean(with_it) - np.mean(without)) and row["draws"] == len(with_it)


def test_more_shots_are_compared_on_nested_draws(scorer: MeanFeature, task: Task) -> None:
    frame = effect_of_shots(scorer, task, shots=(4, 2), draws=3)
    assert frame["K"].tolist() == [2, 4] and np.isnan(frame["gain"][0])
    assert frame["gain"][1] == pytest.approx(frame["AUROC"][1] - frame["AUROC"][0])
    with pytest.raises(ValueError, match="11 shots need at least 11"):
        effect_of_shots(scorer, task, shots=(2, 11))


@pytest.fixture
def copied(tiny_root: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_root / "Stripes", tmp_path / "Stripes")


def test_a_manifest_replays_the_same_draws_also_after_renaming(task: Task, copied: Path, tmp_path: Path) -> None:
    manifest = DrawsManifest.draw(task, shots=3, draws=4, seed=1)
    loaded = DrawsManifest.load(manifest.save(tmp_path / "draws" / "m.json"))
    assert loaded == manifest
    np.testing.assert_array_equal(loaded.replay(task), evaluate_positions(task))
    np.testing.assert_array_equal(loaded.replay(task, shots=2), evaluate_positions(task)[:, :2])
    for path in sorted((copied / "train/good").glob("*.png")):
        path.rename(path.with_name(f"{99 - int(path.stem):03d}.png"))  # order turned round
    other = open_benchmark(copied)["Stripes"]
    replayed = loaded.replay(other)
    hashes = other.train.hashes()
    assert [[hashes[i] for i in row] for row in replayed.tolist()] == [list(s) for s in manifest.supports]
    assert not np.array_equal(replayed, evaluate_positions(task))


def evaluate_positions(task: Task) -> np.ndarray:
    from d24fad_lite.data.episodes import draw_supports

    return draw_supports(len(task.train), 3, 4, 1)


def test_a_manifest_names_what_is_missing_or_has_changed(task: Task, copied: Path) -> None:
    manifest = DrawsManifest.draw(task, shots=5, draws=10)
    (copied / "train/good/003.png").unlink()
    for name in ("train/good/004.png", "test/good/001.png"):
        Image.fromarray(255 - np.asarray(Image.open(copied / name))).save(copied / name)
    shutil.copy(copied / "test/good/001.png", copied / "test/good/new.png")
    with pytest.raises(ManifestError) as caught:
        manifest.replay(open_benchmark(copied)["Stripes"])
    for part in ("003.png is missing", "train/good/004.png has changed", "test/good/001.png has changed",
                 "new.png is new"):
        assert part in str(caught.value)
    for name in ("003.png", "004.png"):
        shutil.copy(Path(task.root) / "train/good" / name, copied / "train/good" / name)
    assert manifest.replay(open_benchmark(copied)["Stripes"], check_test=False).shape == (10, 5)


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 9}', '{"schema": 1, "task": "T"}'])
def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(ManifestError, match="manifest"):
        DrawsManifest.load(tmp_path / "m.json")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        DrawsManifest.load(tmp_path / "absent.json")
