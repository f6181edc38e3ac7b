"""The audit finds each planted leak, and raises no alarm on the honest scorer."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from d24fad_lite.data.benchmark import Task, open_benchmark
from d24fad_lite.data.images import load_image
from d24fad_lite.evaluation.audit.findings import AuditReport
from d24fad_lite.evaluation.audit.run import audit, support_function
from d24fad_lite.evaluation.evaluate import evaluate
from d24fad_lite.evaluation.metrics import image_auroc
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD

SIZE, GOOD, BAD, TRAIN = 32, 12, 12, 14
Score = Callable[[Tensor], np.ndarray]


def picture(seed: int, bad: bool, size: int = SIZE) -> np.ndarray:
    """Smooth random clouds uint8 [size, size, 3], no two alike; a bad one has a small bright spot."""
    rng = np.random.default_rng([seed, 5])
    clouds = gaussian_filter(rng.normal(size=(size, size, 3)), (size / 5, size / 5, 0))
    image = 110 + 40 * clouds / clouds.std()
    if bad:
        row, column = rng.integers(4, size - 8, 2)
        image[row : row + 5, column : column + 5] += 35
    return np.clip(image, 0, 255).astype(np.uint8)


def write_task(root: Path, bad_name: str = "{:03d}.png", bad_size: int = SIZE) -> Path:
    plan = (
        ("train/good", TRAIN, False, 0, "{:03d}.png", SIZE),
        ("test/good", GOOD, False, 100, "{:03d}.png", SIZE),
        ("test/bad", BAD, True, 200, bad_name, bad_size),
    )
    for folder, count, bad, offset, name, size in plan:
        (root / "Toy" / folder).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(picture(offset + i, bad, size)).save(root / "Toy" / folder / name.format(i))
    return root


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return open_benchmark(write_task(tmp_path_factory.mktemp("honest")))["Toy"]


def residual_maps(images: Tensor) -> np.ndarray:
    """An honest anomaly map [N, S, S]: distance of each pixel to the image's own blur."""
    smooth = nn.functional.avg_pool2d(images, 9, stride=1, padding=4)
    return (images - smooth).abs().mean(dim=1).numpy()


def honest(images: Tensor) -> np.ndarray:
    return np.array([gaussian_filter(m, 1).max() for m in residual_maps(images)])


def verdict(report: AuditReport, check: str) -> str:
    return report.finding(check).verdict


def epoch_scorers() -> list[Score]:
    """Scorers of a training run's epochs: the more noise, the worse."""

    def make(noise: float, scale: float) -> Score:
        return lambda images: scale * honest(images) + noise * images[:, 0, 3, 3].numpy()

    return [make(noise, scale) for noise, scale in ((0.5, 1.0), (0.0, 2.0), (0.2, 1.0), (1.0, 1.0))]


def best_on_test(given: Task) -> Score:
    """A procedure that cheats: of all epochs, the one of the highest AUROC on the test set."""
    images = given.test.images(SIZE)
    return max(epoch_scorers(), key=lambda score: image_auroc(given.test.labels, score(images)))


def last_epoch(_: Task) -> Score:
    """A procedure that does not look at the test set."""
    return epoch_scorers()[-1]


def test_the_honest_scorer_raises_no_alarm(task: Task) -> None:
    report = audit(honest, task, image_size=SIZE, procedure=lambda _: honest)
    assert report.clean, str(report)
    assert "no leak found" in report.summary()


def test_the_detector_itself_raises_no_alarm(task: Task) -> None:
    model = D24FAD(D24FADConfig(teacher="test_resnet", weights="random", image_size=SIZE))
    report = audit(model, task, shots=4)
    assert report.clean, str(report)


def test_leak_1_a_blur_across_the_batch_is_found(task: Task) -> None:
    def batch_blur(images: Tensor) -> np.ndarray:
        return gaussian_filter(residual_maps(images), (4, 1, 1)).max(axis=(1, 2))

    report = audit(batch_blur, task, image_size=SIZE)
    for check in ("batch size", "order", "companions", "padding"):
        assert verdict(report, check) == "LEAK"
    finding = report.finding("batch size")
    assert finding.auroc_tried > finding.auroc_reference  # class-sorted batches lend each image its mates' score


def test_leak_2_batch_norm_in_train_mode_is_found(task: Task) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, affine=False), nn.ReLU()).train()

    def forgot_eval(images: Tensor) -> np.ndarray:
        with torch.no_grad():
            return net(images).amax(dim=(1, 2, 3)).numpy()

    report = audit(forgot_eval, task, image_size=SIZE)
    assert verdict(report, "companions") == "LEAK"


def test_leak_3_min_max_over_the_batch_is_found(task: Task) -> None:
    def scaled(images: Tensor) -> np.ndarray:
        scores = honest(images)
        return (scores - scores.min()) / max(np.ptp(scores), 1e-12)

    report = audit(scaled, task, image_size=SIZE)
    assert verdict(report, "batch size") == "LEAK"
    assert verdict(report, "companions") == "LEAK"


def test_leak_4_min_max_over_the_test_set_used_for_selection_is_found(task: Task) -> None:
    def widest_after_scaling(given: Task) -> Score:
        def gap(score: Score) -> float:
            values = score(given.test.images(SIZE))
            scaled = (values - values.min()) / np.ptp(values)
            return scaled[given.test.labels == 1].mean() - scaled[given.test.labels == 0].mean()

        return max(epoch_scorers(), key=gap)

    report = audit(honest, task, image_size=SIZE, procedure=widest_after_scaling)
    assert {"test labels choose", "test images choose"} & {f.check for f in report.leaks}


def test_leak_5_a_dropped_last_batch_is_found(task: Task) -> None:
    def drop_last(images: Tensor) -> np.ndarray:
        return honest(images)[: max(len(images) // 16 * 16, 1)]

    assert verdict(audit(drop_last, task, image_size=SIZE), "count") == "LEAK"


def test_leak_6_a_label_in_the_file_name_is_found(tmp_path: Path) -> None:
    leaky = open_benchmark(write_task(tmp_path, bad_name="lesion_{:03d}.png"))["Toy"]

    def reads_names(paths: list[Path]) -> np.ndarray:
        return np.array([float(bool(re.search("lesion", p.name))) + 0.01 * load_image(p, SIZE).mean() for p in paths])

    report = audit(reads_names, leaky, takes="files", image_size=SIZE)
    assert verdict(report, "label in file names") == "LEAK"
    assert verdict(report, "file names and times") == "LEAK"
    finding = report.finding("file names and times")
    assert (finding.auroc_reference, finding.auroc_tried < 0.9) == (1.0, True)  # as they are; without names


def test_leak_7_a_label_in_the_image_size_is_found(tmp_path: Path) -> None:
    leaky = open_benchmark(write_task(tmp_path, bad_size=48))["Toy"]

    def reads_size(paths: list[Path]) -> np.ndarray:
        return np.array([Image.open(p).width + float(load_image(p, SIZE).mean()) for p in paths])

    report = audit(reads_size, leaky, takes="files", image_size=SIZE)
    assert verdict(report, "label in image size") == "LEAK"
    assert verdict(report, "image size and format") == "LEAK"


def test_leak_8_a_resaved_copy_of_a_support_in_the_test_set_is_found(tmp_path: Path) -> None:
    root = write_task(tmp_path)
    with Image.open(root / "Toy/train/good/000.png") as image:
        brighter = Image.fromarray(np.clip(np.asarray(image) * 0.97 + 4, 0, 255).astype(np.uint8))
        brighter.save(root / "Toy/test/good/copy.jpg", quality=85)
    report = audit(honest, open_benchmark(root)["Toy"], image_size=SIZE)
    assert verdict(report, "near copy") == "LEAK"
    assert "copy.jpg" in report.finding("near copy").detail and "000.png" in report.finding("near copy").detail


def test_leak_9_a_patient_on_both_sides_is_found(tmp_path: Path) -> None:
    root = write_task(tmp_path)
    lines = [f"train/good/{i:03d}.png,p{i}" for i in range(TRAIN)]
    lines += [f"test/good/{i:03d}.png,p{i + 13}" for i in range(GOOD)]  # p13 is also the last of the training images
    lines += [f"test/bad/{i:03d}.png,q{i}" for i in range(BAD)]
    (root / "Toy/groups.csv").write_text("file,group\n" + "\n".join(lines) + "\n")
    report = audit(honest, open_benchmark(root)["Toy"], image_size=SIZE)
    assert verdict(report, "same patient") == "LEAK"
    assert "p13" in report.finding("same patient").detail


def test_leak_10_the_best_epoch_on_the_test_set_is_found(task: Task) -> None:
    report = audit(honest, task, image_size=SIZE, procedure=best_on_test)
    assert verdict(report, "test labels choose") == "LEAK"


def test_the_aurocs_of_a_cheating_procedure_stand_in_the_columns_that_the_sentence_says(task: Task) -> None:
    images, labels = task.test.images(SIZE), task.test.labels
    by_epoch = [image_auroc(labels, score(images)) for score in epoch_scorers()]
    report = audit(honest, task, image_size=SIZE, procedure=best_on_test)
    row = report.to_frame().set_index("check").loc["test labels choose"]
    assert row["tried"] == "the procedure again, with the test labels exchanged"
    # With exchanged labels the best epoch is the one that is worst in truth: that is what "as tried" must show.
    assert (row["AUROC reference"], row["AUROC as tried"]) == (max(by_epoch), min(by_epoch))
    assert max(by_epoch) > min(by_epoch) + 0.04 and row["verdict"] == "LEAK" and row["largest change"] > 0
    figures = f"AUROC {max(by_epoch):.3f} → {min(by_epoch):.3f}"
    line = next(line for line in str(report).splitlines()[1:] if "test labels choose" in line)
    assert figures in line and "the test set chose something" in line
    page = report._repr_html_()
    assert "AUROC reference → as tried" in page and f"{max(by_epoch):.3f} → {min(by_epoch):.3f}" in page


def test_the_aurocs_of_an_honest_procedure_are_the_same_in_both_columns(task: Task) -> None:
    auroc = image_auroc(task.test.labels, last_epoch(task)(task.test.images(SIZE)))
    frame = audit(honest, task, image_size=SIZE, procedure=last_epoch).to_frame().set_index("check")
    for check in ("test labels choose", "test images choose"):
        row = frame.loc[check]
        assert (row["AUROC reference"], row["AUROC as tried"], row["largest change"]) == (auroc, auroc, 0)
        assert (row["verdict"], row["detail"]) == ("clean", "")


def test_a_procedure_that_takes_the_last_epoch_is_clean(task: Task) -> None:
    report = audit(honest, task, image_size=SIZE, procedure=last_epoch)
    assert report.clean, str(report)


def test_a_scorer_that_cannot_score_one_image_is_named(task: Task) -> None:
    def needs_two(images: Tensor) -> np.ndarray:
        if len(images) < 2:
            raise RuntimeError("expected more than one value per channel")
        return honest(images)

    finding = audit(needs_two, task, image_size=SIZE).finding("scored alone")
    assert finding.verdict == "LEAK" and "more than one value" in finding.detail


def test_an_honest_scorer_of_files_is_clean(task: Task) -> None:
    def from_files(paths: list[Path]) -> np.ndarray:
        return np.concatenate([honest(load_image(p, SIZE)[None]) for p in paths])

    report = audit(from_files, task, takes="files", image_size=SIZE)
    assert report.clean, str(report)


def test_a_scorer_that_draws_lots_is_found(task: Task) -> None:
    rng = np.random.default_rng(0)
    report = audit(lambda images: honest(images) + rng.normal(size=len(images)), task, image_size=SIZE)
    assert verdict(report, "repetition") == "LEAK"


def test_the_table_says_what_was_tried_in_words_and_signs(task: Task) -> None:
    report = audit(honest, task, image_size=SIZE)
    assert "not tried" in str(report) and "✓" in str(report)
    page = report._repr_html_()
    assert page.count("<tr>") == len(report.findings) + 1
    assert set(report.to_frame()["verdict"]) <= {"clean", "warning", "LEAK", "not tried"}


def test_fixed_supports_as_a_function_give_the_scores_of_evaluate(task: Task) -> None:
    model = D24FAD(D24FADConfig(teacher="test_resnet", weights="random", image_size=SIZE))
    report = evaluate(model, task, shots=2, draws=1, seed=3)
    score = support_function(model, task, report.supports[0])
    np.testing.assert_allclose(score(task.test.images(SIZE)), report.scores[0], rtol=1e-5)


def test_an_unknown_way_of_taking_images_is_an_error(task: Task) -> None:
    with pytest.raises(ValueError, match="takes='arrays' is not known"):
        audit(honest, task, takes="arrays")
