"""The optimism report reads one training run in every way, and says which ways are honest."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from d24fad_lite.data.benchmark import open_benchmark
from d24fad_lite.evaluation.audit.optimism import OptimismReport, optimism_report
from d24fad_lite.evaluation.evaluate import evaluate
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.training.fit import fit

EPOCHS = 3


def detector() -> D24FAD:
    return D24FAD(D24FADConfig(teacher="test_resnet", weights="random", image_size=32))


@pytest.fixture(scope="module")
def root(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny tasks with 9 + 9 test images: the official protocol needs 16."""
    folder = shutil.copytree(tiny_root, tmp_path_factory.mktemp("optimism") / "root")
    for kind in ("good", "bad"):
        for i in range(4):
            source = sorted((folder / "Blobs/test" / kind).glob("*.png"))[i]
            pixels = np.asarray(Image.open(source))[:, ::-1]
            Image.fromarray(pixels).save(source.with_name(f"mirrored{i}.png"))
    return folder


@pytest.fixture(scope="module")
def report(root: Path) -> OptimismReport:
    bench = open_benchmark(root)
    return optimism_report(
        detector(),
        bench.without("Blobs"),
        bench["Blobs"],
        fit,
        shots=2,
        epochs=EPOCHS,
        draws=2,
        batch_size=4,
        progress=False,
        device="cpu",
    )


def test_the_first_reading_is_the_plain_evaluation_of_the_last_epoch(root: Path, report: OptimismReport) -> None:
    bench = open_benchmark(root)
    model = detector()
    fit(
        model,
        bench.without("Blobs"),
        shots=2,
        epochs=EPOCHS,
        seed=0,
        validation=0.2,
        batch_size=4,
        progress=False,
        device="cpu",
    )
    plain = evaluate(model, bench["Blobs"], shots=2, draws=2, seed=0)
    assert report.readings[0].epoch == EPOCHS
    np.testing.assert_array_equal(report.readings[0].report.scores, plain.scores)


def test_the_oracle_is_the_best_epoch_and_never_below_an_honest_reading(report: OptimismReport) -> None:
    oracle = report.readings[2].report.auroc
    assert oracle == max(row["per image"] for row in report.curve)
    assert all(oracle >= reading.report.auroc for reading in report.readings[:2])


def test_only_the_first_two_readings_are_called_honest(report: OptimismReport) -> None:
    assert [r.honest for r in report.readings] == [True, True, False, False, False]
    assert (report.to_frame()["honest"] == "yes").sum() == 2
    assert report.readings[3].report.protocol == "official"


@pytest.mark.parametrize(
    ("reading", "of_a_map"),
    [("released", lambda values: values[-1]), ("paper", np.mean), ("matched", lambda values: np.mean(values[-102:]))],
)
def test_the_leaking_protocol_scores_every_reading_by_its_own_image_score(
    root: Path, reading: str, of_a_map: Callable[[np.ndarray], float]
) -> None:
    task = open_benchmark(root)["Blobs"]
    report = evaluate(detector(), task, shots=2, draws=1, reading=reading, protocol="official")
    view, by_class = detector().read_as(reading), np.argsort(task.test.labels, kind="stable")[:16]
    bank = view.encode_supports(task.train.images(32, report.supports[0]))
    blurred = gaussian_filter(view.raw_map(task.test.images(32, by_class), bank).numpy(), view.config.blur_sigma)
    scores = np.array([of_a_map(np.sort(picture.ravel())) for picture in blurred])  # 102 of 1024 pixels: a tenth
    expected = (scores - scores.min()) / (scores.max() - scores.min())
    np.testing.assert_allclose(report.scores[0], expected, atol=1e-4)


def test_validation_chooses_the_epoch_of_its_lowest_loss(report: OptimismReport) -> None:
    losses = [row["validation loss"] for row in report.curve]
    assert report.readings[1].epoch == int(np.argmin(losses)) + 1


def test_a_run_without_validation_is_refused(root: Path) -> None:
    bench = open_benchmark(root)
    with pytest.raises(ValueError, match="validation=0 must be above 0"):
        optimism_report(detector(), bench.without("Blobs"), bench["Blobs"], fit, validation=0)
