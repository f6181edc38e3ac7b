from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

import d24fad_lite as d2
from d24fad_lite.cli.options import model_facts

TEACHER_CODE = """
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stages = nn.ModuleList(nn.Conv2d(3 if i == 0 else 4, 4, 3, 4 if i == 0 else 2, 1) for i in range(4))
    def forward(self, x):
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

def tiny():
    return Tiny()

def wrong():
    return 3
"""


def test_fit_saves_the_model_its_facts_and_the_history(run_folder: Path) -> None:
    assert list(pd.read_csv(run_folder / "history.csv")["epoch"]) == [1, 2]
    facts = model_facts(run_folder / "model.safetensors")
    assert facts["trained_on"] == ["Blobs"] and facts["left_out"] == ["Stripes"]
    assert facts["config"]["image_size"] == 32


def test_a_stopped_fit_goes_on_to_the_same_weights(d24fad, fit_options, run_folder, tmp_path, monkeypatch) -> None:
    from d24fad_lite.training.run import TrainingRun

    train_epoch = TrainingRun._epoch

    def stop_in_second(self, epoch, bar):
        if epoch == 1:
            raise KeyboardInterrupt
        return train_epoch(self, epoch, bar)

    command = [*fit_options, "--epochs", 2, "--out", tmp_path / "run"]
    with monkeypatch.context() as patch:
        patch.setattr(TrainingRun, "_epoch", stop_in_second)
        stopped = d24fad(*command)
    assert stopped.code == 130
    assert stopped.err.splitlines()[-1] == "stopped; the same command goes on from the last full epoch"
    assert not (tmp_path / "run/model.safetensors").exists()
    trained = []
    monkeypatch.setattr(TrainingRun, "_epoch", lambda *a: trained.append(a[1]) or train_epoch(*a))
    assert d24fad(*command).code == 0 and trained == [1]
    assert (tmp_path / "run/model.safetensors").read_bytes() == (run_folder / "model.safetensors").read_bytes()


def test_a_folder_of_other_settings_is_not_overwritten(d24fad, fit_options, run_folder) -> None:
    before = (run_folder / "model.safetensors").read_bytes()
    result = d24fad(*fit_options, "--epochs", 2, "--seed", 5, "--out", run_folder)
    assert result.code == 2 and "other settings" in result.err and "seed: stored 0, asked for 5" in result.err
    assert (run_folder / "model.safetensors").read_bytes() == before


def test_switches_reach_the_configuration(d24fad, fit_options, tmp_path: Path) -> None:
    result = d24fad(
        *fit_options,
        "--preset",
        "paper",
        "--set",
        "distance=flattened",
        "--set",
        "blur_sigma=2",
        "--epochs",
        1,
        "--validation",
        0.3,
        "--patience",
        1,
        "--out",
        tmp_path,
    )
    assert result.code == 0, result.err
    config = model_facts(tmp_path / "model.safetensors")["config"]
    assert (config["distance"], config["fusion"], config["blur_sigma"]) == ("flattened", "distances", 2.0)
    assert pd.read_csv(tmp_path / "history.csv")["val_loss"].notna().all()


@pytest.mark.parametrize(
    ("options", "reading", "fusion", "normalize"),
    [
        (("--preset", "matched"), "matched", "features", True),
        (("--reading", "matched"), "matched", "features", True),
        (("--preset", "official", "--reading", "paper"), "paper", "distances", False),
        (("--preset", "matched", "--set", "top_share=0.02"), None, "features", True),
    ],
)
def test_saved_detector_is_read_as_asked(d24fad, fit_options, tmp_path, options, reading, fusion, normalize) -> None:
    result = d24fad(*fit_options, *options, "--epochs", 1, "--out", tmp_path)
    assert result.code == 0, result.err
    config = d2.D24FAD.load(tmp_path / "model.safetensors").config
    assert (config.reading_name, config.fusion, config.normalize) == (reading, fusion, normalize)


def test_averaged_weights_are_asked_for_by_name(d24fad, fit_options, tmp_path: Path) -> None:
    for decay in (0, 0.9):
        assert d24fad(*fit_options, "--epochs", 1, "--ema", decay, "--out", tmp_path / str(decay)).code == 0
    last, averaged = (d2.D24FAD.load(tmp_path / f"{decay}/model.safetensors") for decay in (0, 0.9))
    assert not torch.equal(next(last.student.parameters()), next(averaged.student.parameters()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--leave-out", "Stripe"), "no task 'Stripe'"),
        (("--leave-out", "Blobs"), "nothing is left to train on"),
        (("--teacher", "resnet81"), "teacher 'resnet81' is not a timm model (did you mean"),
        (("--shots", 0), "shots"),
        (("--shots", 10), "Blobs"),
        (("--epochs", 0), "epochs=0 must be a whole number, at least 1"),
        (("--patience", 2), "patience needs a validation loss"),
        (
            ("--lr-schedule", "cosin"),
            "lr_schedule='cosin' is not known; choose one of 'constant', 'cosine' (did you mean",
        ),
        (("--ema", 1.0), "ema=1.0 must be at least 0 (off) and below 1"),
        (("--precision", "fp8"), "precision='fp8' is not known; choose one of 'fp32'"),
        (("--episodes", "daily"), "daily"),
        (("--device", "gpu"), "--device 'gpu' is not there; this computer has cpu"),
        (("--device", "tpu"), "--device 'tpu' is not there; this computer has cpu"),
        (("--preset", "mine"), "--preset='mine' is not known; choose one of 'kit', 'official', 'paper', 'matched'"),
        (
            ("--preset", "machted"),
            "--preset='machted' is not known; choose one of 'kit', 'official', 'paper', 'matched' (did you",
        ),
        (
            ("--reading", "papper"),
            "reading='papper' is not known; choose one of 'released', 'paper', 'matched' (did you",
        ),
        (("--set", "distanse=flattened"), "unknown parameter 'distanse' (did you mean 'distance'?)"),
        (("--set", "distance=far"), "distance='far' is not known"),
        (("--set", "distance"), "--set 'distance' must be written NAME=VALUE"),
        (("--weights", "nowhere.pth"), "weights='nowhere.pth' is neither"),
        (("--teacher-module", "nets"), "must be written PACKAGE.MODULE:FUNCTION"),
        (("--teacher-module", "no_such_nets:tiny"), "failed with ModuleNotFoundError"),
    ],
)
def test_bad_arguments_are_named_in_one_line(d24fad, fit_options, tmp_path: Path, options, message: str) -> None:
    result = d24fad(*fit_options, "--out", tmp_path / "run", *options)
    errors = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert result.code == 2 and len(errors) == 1 and message in errors[0], result.err
    assert not (tmp_path / "run/model.safetensors").exists()


def test_the_card_that_is_named_is_the_one_that_trains(d24fad, fit_options, tmp_path, monkeypatch) -> None:
    from d24fad_lite.training import fit as training

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    asked: list[str | None] = []

    def noted(_: str, device: str | None) -> None:
        asked.append(device)
        raise ValueError("nothing can be computed there")

    monkeypatch.setattr(training, "new_accelerator", noted)
    result = d24fad(*fit_options, "--device", "cuda:1", "--out", tmp_path / "run")
    assert result.code == 2 and "nothing can be computed there" in result.err and asked == ["cuda:1"]


def test_an_unwritable_folder_is_said_before_training(d24fad, fit_options, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = d24fad(*fit_options, "--out", tmp_path / "file/run")
    assert result.code == 2 and "error: cannot write into --out" in result.err and "can be written" in result.err


def test_a_teacher_of_ones_own_goes_through_fit_evaluate_and_predict(d24fad, tiny_root, tmp_path, monkeypatch) -> None:
    (tmp_path / "tiny_nets.py").write_text(TEACHER_CODE)
    monkeypatch.chdir(tmp_path)
    own = ["--teacher-module", "tiny_nets:tiny"]
    fit = ["fit", "--data", tiny_root, "--leave-out", "Stripes", "--image-size", 64, "--epochs", 1, "--out", "run"]
    result = d24fad(*fit, *own)
    assert result.code == 0, result.err
    test = ["evaluate", "run/model.safetensors", "--data", tiny_root, "--task", "Stripes", "--shots", 2, "--draws", 2]
    assert d24fad(*test, *own).code == 0
    supports = tiny_root / "Stripes/train/good"
    predict = ["predict", "run/model.safetensors", tiny_root / "Stripes/test/good", "--supports", supports]
    assert d24fad(*predict, "--out", "results", *own).code == 0
    missing = d24fad(*test)
    assert missing.code == 2 and "a teacher of your own (Tiny); give it again with --teacher-module" in missing.err
    wrong = d24fad(*fit, "--teacher-module", "tiny_nets:wrong")
    assert wrong.code == 2 and "returned int, expected a torch nn.Module" in wrong.err


def test_pretrain_hands_the_recipe_on(d24fad, tmp_path: Path, monkeypatch) -> None:
    from d24fad_lite.training.pretrain import recipe

    calls = []
    monkeypatch.setattr(recipe, "pretrain", lambda *a, **k: calls.append((a, k)) or tmp_path / "teacher.safetensors")
    result = d24fad("pretrain", "--out", tmp_path, "--steps", 5, "--seed", 3, "--device", "cpu", "--no-resume")
    assert result.out == f"saved {tmp_path / 'teacher.safetensors'}\n"
    (out, made), options = calls[0]
    assert (out, made.steps, made.seed, made.architecture) == (tmp_path, 5, 3, "resnet18")
    assert options["device"] == "cpu" and options["resume"] is False


def test_what_the_tasks_leave_out_is_told_once(d24fad, fit_options, tiny_root, tmp_path: Path) -> None:
    data = Path(shutil.copytree(tiny_root, tmp_path / "data"))
    (data / "Blobs/train/good/scan.webp").touch()
    result = d24fad(
        *[data if option == tiny_root else option for option in fit_options], "--epochs", 1, "--out", tmp_path / "run"
    )
    assert result.code == 0
    assert result.err.count("task 'Blobs': 1 file(s) ignored: train/good/scan.webp (no PNG") == 1


def test_a_method_that_is_not_trained_is_saved_at_once_and_another_asks_for_data(d24fad, tmp_path) -> None:
    tiny = ["--teacher", "test_resnet.r160_in1k", "--weights", "random", "--image-size", 32, "--out", tmp_path / "run"]
    saved = d24fad("fit", "--method", "nearest-patch", *tiny)
    assert saved.code == 0 and "nearest-patch is not trained; saved" in saved.out, saved.err
    assert d2.load_detector(tmp_path / "run/model.safetensors").method == "nearest-patch"
    told = d24fad("fit", "--method", "nearest-patch", *tiny, "--epochs", 3, "--lr-schedule", "cosine")
    assert told.code == 0 and "not trained, so --epochs, --lr-schedule changed nothing" in told.out, told.err
    asked = d24fad("fit", *tiny)
    assert asked.code == 2 and "--data ROOT is missing" in asked.err
    unknown = d24fad("fit", "--method", "nearest", *tiny)
    assert unknown.code == 2 and "nearest-patch" in unknown.err


def test_a_piped_training_says_a_line_for_each_epoch(d24fad, fit_options, tmp_path) -> None:
    result = d24fad(*fit_options, "--epochs", 2, "--out", tmp_path / "lines")
    lines = [line for line in result.err.splitlines() if line.startswith("epoch ")]
    assert [line[:18] for line in lines] == ["epoch 1 of 2: loss", "epoch 2 of 2: loss"] and "0 s left" in lines[-1]
