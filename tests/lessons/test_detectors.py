"""One training for each held-out task: kept by content, shared, resumed, and never trained on what is held out."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

import d24fad_lite as d2
from d24fad_lite.lessons import detectors
from d24fad_lite.lessons.detectors import STORED, TRAINING, DetectorRecipe, digest_of, trained_detector
from d24fad_lite.lessons.lesson import Lesson, start_lesson
from d24fad_lite.model.checkpoint import read_tensors
from d24fad_lite.training.identity import PACKAGE, SOURCES, source_files

CONFIG = d2.D24FADConfig(teacher="test_resnet", weights="random", image_size=32)
RECIPE = DetectorRecipe(shots=2, epochs=2, batch_size=8, lr=1e-3, lr_schedule="cosine", episodes="in-batch")
Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def bench(tiny_root: Path) -> d2.Benchmark:
    return d2.open_benchmark(tiny_root)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("D24FAD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "detectors"


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The tasks of each call of `fit`."""
    calls, fit = [], detectors.fit

    def watched(model: d2.D24FAD, tasks: Any, **options: Any) -> d2.History:
        calls.append(list(tasks))
        return fit(model, tasks, **options)

    monkeypatch.setattr(detectors, "fit", watched)
    return calls


def weights(model: d2.D24FAD) -> Weights:
    return {name: tensor.clone() for name, tensor in model.trainable_state_dict().items()}


def equal(a: Weights, b: Weights) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def by_hand(tasks: d2.Benchmark) -> Weights:
    model = d2.D24FAD(CONFIG)
    d2.fit(
        model,
        tasks,
        shots=2,
        epochs=2,
        batch_size=8,
        lr=1e-3,
        lr_schedule="cosine",
        episodes="in-batch",
        device="cpu",
        progress=False,
    )
    return weights(model)


def test_what_is_kept_is_what_fit_gives_and_is_trained_once(bench: d2.Benchmark, trainings: list) -> None:
    rest = bench.without("Stripes")
    first, history = trained_detector(CONFIG, rest, RECIPE)
    again, kept_history = trained_detector(CONFIG, rest, RECIPE)
    assert trainings == [["Blobs"]]
    assert equal(weights(first), by_hand(rest)) and equal(weights(again), weights(first))
    assert kept_history.rows == history.rows and len(history) == 2 and not again.training


def test_only_the_result_is_kept(bench: d2.Benchmark, own_cache: Path) -> None:
    trained_detector(CONFIG, bench, RECIPE)
    (home,) = (path for path in own_cache.iterdir() if not path.name.startswith("."))
    assert [path.name for path in home.iterdir()] == [STORED]


def test_readings_share_one_training_and_each_detector_is_read_as_asked(bench: d2.Benchmark, trainings: list) -> None:
    for reading in ("released", "matched"):
        model, _ = trained_detector(CONFIG.read_as(reading), bench, RECIPE)
        assert model.config == CONFIG.read_as(reading)
    assert len(trainings) == 1


@pytest.mark.parametrize(
    ("config", "recipe"),
    [
        (CONFIG.replace(lambda_tsd=1.0), RECIPE),
        (CONFIG.replace(fusion="distances"), RECIPE),
        (CONFIG.replace(seed=1), RECIPE),
        (CONFIG.replace(stop_gradient=True), RECIPE),
        (CONFIG, replace(RECIPE, epochs=1)),
        (CONFIG, replace(RECIPE, lr=2e-3)),
        (CONFIG, replace(RECIPE, styled_tasks=1)),
    ],
)
def test_all_that_decides_the_weights_is_in_the_digest(
    bench: d2.Benchmark, config: d2.D24FADConfig, recipe: DetectorRecipe
) -> None:
    digest = digest_of(d2.D24FAD(CONFIG), bench, RECIPE, "cpu")
    assert digest != digest_of(d2.D24FAD(config), bench, recipe, "cpu")
    assert digest == digest_of(d2.D24FAD(CONFIG), bench, replace(RECIPE), "cpu")
    assert digest != digest_of(d2.D24FAD(CONFIG), bench.without("Blobs"), RECIPE, "cpu")


def test_changed_code_trains_anew(bench: d2.Benchmark, trainings: list, monkeypatch: pytest.MonkeyPatch) -> None:
    trained_detector(CONFIG, bench, RECIPE)
    monkeypatch.setattr(detectors, "code_digest", lambda: "another")
    trained_detector(CONFIG, bench, RECIPE)
    assert len(trainings) == 2


@pytest.mark.slow
def test_code_that_a_training_runs_through_is_in_the_digest(tiny_root: Path, tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
import d24fad_lite as d2
from d24fad_lite.training.fit import fit
model = d2.D24FAD(d2.D24FADConfig(teacher="test_resnet", weights="random", image_size=32))
fit(model, d2.open_benchmark({str(tiny_root)!r}), shots=2, epochs=1, device="cpu", progress=False)
print(*(m.__file__ for n, m in sys.modules.items() if n.startswith("d24fad_lite") and m.__file__), sep="\\n")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=250, check=True)
    package = PACKAGE
    used = {Path(line).resolve().relative_to(package).as_posix() for line in done.stdout.split()}
    covered = {path.relative_to(package).as_posix() for path in source_files()}
    # Which files a task holds is in the digest by their content; how files are written changes no weight.
    harmless = {
        "__init__.py",
        "csv_files.py",
        "files.py",
        "lazy.py",
        "messages.py",
        "sole_writer.py",
        *(name for name in used if name.startswith("data/layouts/")),
    }
    assert used - covered == harmless & used and {"training/run.py", "training/learner.py", "data/images.py"} <= covered
    assert all(any(package.glob(pattern)) for pattern in SOURCES)


def test_styled_tasks_are_added_to_the_training_tasks(bench: d2.Benchmark, trainings: list) -> None:
    trained_detector(CONFIG, bench.without("Blobs"), replace(RECIPE, epochs=1, styled_tasks=2))
    assert trainings == [["Stripes", "Stripes, style 1", "Stripes, style 2"]]


def test_interrupted_training_goes_on_to_the_same_weights(
    bench: d2.Benchmark, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from d24fad_lite.training.run import TrainingRun

    epoch_of, epochs = TrainingRun._epoch, []

    def stop(self: Any, epoch: int, bar: Any) -> Any:
        epochs.append(epoch)
        if len(epochs) == 2:
            raise KeyboardInterrupt
        return epoch_of(self, epoch, bar)

    monkeypatch.setattr(TrainingRun, "_epoch", stop)
    with pytest.raises(KeyboardInterrupt):
        trained_detector(CONFIG, bench, RECIPE)
    model, _ = trained_detector(CONFIG, bench, RECIPE)
    assert epochs == [0, 1, 1] and equal(weights(model), by_hand(bench))


def damage_bytes(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def damage_one_number(path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        texts = file.metadata()
    tensors, _ = read_tensors(path)
    name = next(name for name in tensors if name.endswith("conv1.weight"))
    tensors[name].view(-1)[0] += 1
    save_file(tensors, path, metadata=texts)


@pytest.mark.parametrize("damage", [damage_bytes, damage_one_number])
def test_damaged_content_is_trained_anew_with_one_notice(
    bench: d2.Benchmark,
    own_cache: Path,
    trainings: list,
    damage: Callable[[Path], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, _ = trained_detector(CONFIG, bench, RECIPE)
    expected = weights(first)
    damage(next(own_cache.glob(f"*/{STORED}")))
    capsys.readouterr()
    again, _ = trained_detector(CONFIG, bench, RECIPE)
    assert capsys.readouterr().out.count("notice: the detector kept for this lesson is damaged") == 1
    assert len(trainings) == 2 and equal(weights(again), expected)


def test_damaged_state_of_an_interrupted_training_begins_anew(
    bench: d2.Benchmark, own_cache: Path, trainings: list, capsys: pytest.CaptureFixture[str]
) -> None:
    home = own_cache / digest_of(d2.D24FAD(CONFIG), bench, RECIPE, "cpu")
    (home / TRAINING).mkdir(parents=True)
    (home / TRAINING / "training_state.safetensors").write_text("half")
    model, _ = trained_detector(CONFIG, bench, RECIPE)
    assert "notice: a training that was interrupted cannot go on" in capsys.readouterr().out
    assert equal(weights(model), by_hand(bench))


@pytest.mark.slow
def test_two_at_a_time_train_once(
    bench: d2.Benchmark, own_cache: Path, trainings: list, capsys: pytest.CaptureFixture[str]
) -> None:
    home = own_cache / digest_of(d2.D24FAD(CONFIG), bench, RECIPE, "cpu")
    trained_detector(CONFIG, bench, RECIPE)
    kept = (home / STORED).read_bytes()
    (home / STORED).unlink()
    waiting = threading.Thread(target=trained_detector, args=(CONFIG, bench, RECIPE))
    with detectors._one_at_a_time(home):  # as another process that trains it
        waiting.start()
        time.sleep(1.0)
        assert waiting.is_alive()
        (home / STORED).write_bytes(kept)
    waiting.join(timeout=60)
    assert not waiting.is_alive() and len(trainings) == 1
    assert "another process trains this detector; waiting for it" in capsys.readouterr().out


def test_folder_keeps_within_its_bound_and_drops_what_was_opened_longest_ago(
    bench: d2.Benchmark, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes = []
    for seed in range(2):
        trained_detector(CONFIG, bench, replace(RECIPE, epochs=1, seed=seed))
        (home,) = {path for path in own_cache.iterdir() if not path.name.startswith(".")} - set(homes)
        homes.append(home)
        os.utime(home, (1e9 + seed, 1e9 + seed))
    size = sum(path.stat().st_size for path in homes[0].iterdir())
    monkeypatch.setattr(detectors, "LIMIT", int(5.5 * size))  # a new training asks for four times its student
    trained_detector(CONFIG, bench, replace(RECIPE, epochs=1, seed=2))
    assert [home.exists() for home in homes] == [False, True]


def test_cache_that_cannot_be_written_is_told_and_the_lesson_goes_on(
    bench: d2.Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("D24FAD_CACHE", str(tmp_path / "file"))
    model, history = trained_detector(CONFIG, bench, RECIPE)
    assert len(history) == 2 and equal(weights(model), by_hand(bench))
    assert "notice: detectors cannot be kept" in capsys.readouterr().out


# -- what a lesson calls --------------------------------------------------------------------------------------------


@pytest.fixture
def lesson(tmp_path: Path) -> Lesson:
    lesson = start_lesson("04_x", {"out": str(tmp_path / "out"), "seed": 3})
    lesson.profile = replace(
        lesson.profile, teacher="test_resnet", weights="random", image_size=32, epochs=2, batch_size=8, train_shots=2
    )
    return lesson


def test_held_out_task_is_never_trained_on(lesson: Lesson, bench: d2.Benchmark, trainings: list) -> None:
    for task in ("Stripes", bench["Stripes"], "stripes"):
        lesson.detector(bench, task)
    assert trainings == [["Blobs"]]
    lesson.detector(bench, None)
    assert trainings[1:] == [["Blobs", "Stripes"]] or trainings[1:] == [["Stripes", "Blobs"]]


def test_lesson_trains_as_its_profile_says(lesson: Lesson, bench: d2.Benchmark) -> None:
    model, history = lesson.detector(bench, "Blobs")
    p = lesson.profile
    assert model.config == lesson.config() and (model.config.lambda_tsd, model.config.seed) == (p.lambda_tsd, 3)
    by_hand = d2.D24FAD(lesson.config())
    d2.fit(
        by_hand,
        bench.without("Blobs"),
        shots=2,
        epochs=2,
        seed=3,
        batch_size=8,
        lr=p.lr,
        progress=False,
        lr_schedule=p.lr_schedule,
        episodes=p.episodes,
        device="cpu",
    )
    assert equal(weights(model), weights(by_hand)) and len(history) == 2


def test_readings_of_a_lesson_share_its_training_but_a_change_of_fusion_does_not(
    lesson: Lesson, bench: d2.Benchmark, trainings: list
) -> None:
    lesson.detector(bench, "Blobs")
    lesson.profile = replace(lesson.profile, reading="paper")
    model, _ = lesson.detector(bench, "Blobs")
    assert model.config.reading_name == "paper" and len(trainings) == 1
    lesson.detector(bench, "Blobs", fusion="distances")
    lesson.detector(bench, "Blobs", epochs=1, distance="pointwise")
    assert len(trainings) == 3


@pytest.mark.slow
def test_seed_of_a_detector_is_that_of_its_weights_and_episodes(lesson: Lesson, bench: d2.Benchmark) -> None:
    first, second = (
        lesson.detector(bench, "Blobs", seed=seed, weights="embedded", teacher="resnet18", epochs=1)[0]
        for seed in (0, 1)
    )
    assert (first.config.seed, second.config.seed) == (0, 1) and first.teacher is second.teacher
    assert not equal(weights(first), weights(second))


def test_untrained_twin_has_the_weights_that_training_began_with(lesson: Lesson, bench: d2.Benchmark) -> None:
    trained, _ = lesson.detector(bench, "Blobs")
    twin = lesson.untrained()
    assert twin.config == trained.config and twin.teacher is trained.teacher and not twin.training
    assert equal(weights(twin), weights(d2.D24FAD(lesson.config()))) and not equal(weights(twin), weights(trained))


def test_shared_teacher_encodes_an_image_once_for_all_detectors_of_a_lesson(
    lesson: Lesson, bench: d2.Benchmark
) -> None:
    trained, untrained = lesson.detector(bench, "Blobs")[0], lesson.untrained()
    shared = lesson.shared_teacher(trained)
    assert lesson.shared_teacher(untrained) is shared
    images = bench["Blobs"].test.images(32)
    shared(images), lesson.shared_teacher(untrained.read_as("matched"))(images)
    assert shared.encoded == len(images)


def test_teacher_of_ones_own_is_trained_with_but_not_kept(lesson: Lesson, bench: d2.Benchmark, trainings: list) -> None:
    from timm import create_model

    own = create_model("test_resnet", features_only=True)
    for _ in range(2):
        lesson.detector(bench, "Blobs", teacher=own, epochs=1)
    assert len(trainings) == 2


def test_given_teacher_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="the given teacher takes images of 32 px .* the settings say 64 px"):
        d2.D24FAD(CONFIG.replace(image_size=64), d2.D24FAD(CONFIG).teacher)
