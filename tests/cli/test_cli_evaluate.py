from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from d24fad_lite.data.benchmark import open_benchmark
from d24fad_lite.evaluation.evaluate import evaluate
from d24fad_lite.evaluation.report import EvaluationReport
from d24fad_lite.model.detector import D24FAD

QUICK = ("--shots", "2,4", "--draws", 3, "--device", "cpu")


def test_evaluate_prints_and_saves_what_the_package_measures(d24fad, run_folder, tiny_root, tmp_path: Path) -> None:
    model = run_folder / "model.safetensors"
    result = d24fad("evaluate", model, "--data", tiny_root, "--task", "stripes", *QUICK, "--out", tmp_path)
    assert result.code == 0 and result.err == ""
    expected = evaluate(D24FAD.load(model), open_benchmark(tiny_root)["Stripes"], shots=2, draws=3, seed=0)
    header, first, second, meaning = result.out.splitlines()[:4]  # each number once
    assert header.split()[:3] == ["task", "K", "AUROC"] and "95 % interval" in meaning
    low, high = expected.ci
    assert first.split()[:5] == ["Stripes", "2", f"{expected.auroc:.3f}", f"{low:.3f}", f"{high:.3f}"]
    assert second.split()[:2] == ["Stripes", "4"] and len({len(line) for line in (header, first, second)}) == 1
    assert EvaluationReport.load(tmp_path / "Stripes_K2").scores.tolist() == expected.scores.tolist()
    table = pd.read_csv(tmp_path / "summary.csv")
    assert table["K"].tolist() == [2, 4] and table["AUROC"][0] == pytest.approx(expected.auroc)


def test_several_readings_of_one_detector_stand_in_one_table(d24fad, run_folder, tiny_root, tmp_path: Path) -> None:
    model = run_folder / "model.safetensors"
    result = d24fad(
        "evaluate",
        model,
        "--data",
        tiny_root,
        "--task",
        "Stripes",
        *QUICK,
        "--out",
        tmp_path,
        "--reading",
        "released,matched",
        "--reading",
        "paper",
    )
    assert result.code == 0 and result.err == "", result.err
    table = pd.read_csv(tmp_path / "summary.csv")
    assert table["reading"].tolist() == 2 * ["released", "matched", "paper"]
    expected = evaluate(D24FAD.load(model), open_benchmark(tiny_root)["Stripes"], shots=4, draws=3, reading="matched")
    stored = EvaluationReport.load(tmp_path / "Stripes_K4_matched")
    np.testing.assert_allclose(stored.scores, expected.scores, rtol=1e-5)
    assert stored.method == expected.method == "D²4FAD, matched" and stored.facts["reading"] == "matched"


def test_a_task_of_the_training_is_warned_of(d24fad, run_folder, tiny_root) -> None:
    result = d24fad("evaluate", run_folder / "model.safetensors", "--data", tiny_root, "--task", "Blobs", *QUICK)
    assert result.code == 0
    assert "was trained on the normal images of Blobs too; this is no leave-one-task-out result" in result.err


def test_an_untrained_detector_is_a_baseline_for_several_tasks(d24fad, tiny_root) -> None:
    result = d24fad(
        "evaluate",
        "--untrained",
        "--teacher",
        "test_resnet.r160_in1k",
        "--weights",
        "random",
        "--image-size",
        32,
        "--data",
        tiny_root,
        "--task",
        "Blobs,Stripes",
        *QUICK,
    )
    assert result.code == 0, result.err
    assert [line.split()[0] for line in result.out.splitlines()[1:5]] == ["Blobs", "Blobs", "Stripes", "Stripes"]


def test_the_leaking_protocol_is_marked(d24fad, run_folder, tiny_root, tmp_path: Path) -> None:
    shutil.copytree(tiny_root / "Stripes", tmp_path / "Stripes", ignore=shutil.ignore_patterns("mask"))
    for image in [*tmp_path.glob("Stripes/test/*/*.png")]:  # that protocol wants whole batches of 16
        shutil.copy(image, image.with_name(f"again_{image.name}"))
    result = d24fad(
        "evaluate",
        run_folder / "model.safetensors",
        "--data",
        tmp_path,
        "--task",
        "Stripes",
        *QUICK,
        "--protocol",
        "official",
    )
    assert result.code == 0, result.err
    assert "LEAKY protocol" in result.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--task", "Strips"), "no task 'Strips'"),
        (("--shots", "2,two"), "--shots '2,two' must be different whole numbers"),
        (("--shots", "0"), "--shots '0' must be"),
        (("--shots", "64"), "10 normal training images"),
        (("--draws", 0), "draws"),
        (("--protocol", "fair"), "protocol='fair' is not known"),
        (("--batch-size", 0), "batch_size=0 must be at least 1"),
        (("--untrained",), "not both"),
        (
            ("--reading", "relaesed"),
            "reading='relaesed' is not known; choose one of 'released', 'paper', 'matched' (did",
        ),
    ],
)
def test_bad_arguments_are_named_in_one_line(d24fad, run_folder, tiny_root, options: tuple, message: str) -> None:
    given = [] if "--task" in options else ["--task", "Stripes"]
    result = d24fad("evaluate", run_folder / "model.safetensors", "--data", tiny_root, *given, *options)
    assert result.code == 2 and message in result.err and result.err.count("\n") == 1, result.err


def test_a_missing_model_and_an_unwritable_folder_are_named(d24fad, run_folder, tiny_root, tmp_path) -> None:
    neither = d24fad("evaluate", "--data", tiny_root, "--task", "Stripes")
    assert neither.code == 2 and "give either a MODEL" in neither.err
    absent = d24fad("evaluate", tmp_path / "no.safetensors", "--data", tiny_root, "--task", "Stripes")
    assert absent.code == 2 and "no.safetensors does not exist" in absent.err
    (tmp_path / "file").write_text("in the way")
    blocked = d24fad(
        "evaluate",
        run_folder / "model.safetensors",
        "--data",
        tiny_root,
        "--task",
        "Stripes",
        *QUICK,
        "--out",
        tmp_path / "file",
    )
    assert blocked.code == 2 and "error: cannot write into --out" in blocked.err


@pytest.fixture
def own_root(tiny_root: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(tiny_root, tmp_path / "data"))


def test_what_the_task_leaves_out_is_told_and_kept_in_the_report(d24fad, run_folder, own_root, tmp_path) -> None:
    (own_root / "Stripes/test/bad/scan.webp").touch()
    shutil.copytree(own_root / "Stripes/test/bad", own_root / "Stripes/test/bad_extra")
    (own_root / "weights").mkdir()
    (own_root / "weights/a.bin").touch()
    result = d24fad(
        "evaluate",
        run_folder / "model.safetensors",
        "--data",
        own_root,
        "--task",
        "Stripes",
        "--shots",
        2,
        "--draws",
        1,
        "--out",
        tmp_path / "out",
    )
    assert result.code == 0 and result.err.count("warning: ") == 2
    assert "task 'Stripes': 7 file(s) ignored: test/bad/scan.webp (no PNG" in result.err
    assert "6 file(s) in test/bad_extra, first: 000.png" in result.err and "in weights, first: a.bin" in result.err
    assert len(EvaluationReport.load(tmp_path / "out/Stripes_K2").facts["left_out"]) == 2


@pytest.mark.parametrize(
    ("missing", "message"),
    [("bad", "5 normal test images and no anomalous one"), ("good", "5 anomalous test images and no normal one")],
)
def test_a_test_set_of_one_class_is_refused_before_any_task_is_scored(
    d24fad, run_folder, own_root, missing, message
) -> None:
    shutil.rmtree(own_root / "Stripes/test" / missing)
    shutil.rmtree(own_root / "Stripes/test/mask")
    options = ["evaluate", run_folder / "model.safetensors", "--data", own_root, "--task", "Blobs,Stripes", *QUICK]
    result = d24fad(*options)
    assert result.code == 2 and result.out == ""
    assert f"task 'Stripes' has {message}" in result.err and f"under Stripes/test/{missing}" in result.err
    with pytest.raises(ValueError, match=message):
        evaluate(D24FAD.load(run_folder / "model.safetensors"), open_benchmark(own_root)["Stripes"], shots=2, draws=1)


@pytest.mark.parametrize("given", [("--task", "Chest, PA", "--task", "Blobs"), ("--task", '"Chest, PA",Blobs')])
def test_a_task_whose_name_holds_a_comma_is_given_alone_or_in_quotes(d24fad, run_folder, own_root, given) -> None:
    (own_root / "Stripes").rename(own_root / "Chest, PA")
    result = d24fad("evaluate", run_folder / "model.safetensors", "--data", own_root, *given, *QUICK)
    assert result.code == 0, result.err
    assert [line[:9].strip() for line in result.out.splitlines()[1:5:2]] == ["Chest, PA", "Blobs"]


def test_another_method_is_measured_and_not_mixed_with_a_reading(d24fad, run_folder, tiny_root) -> None:
    command = ["evaluate", run_folder / "model.safetensors", "--data", tiny_root, "--task", "Stripes", *QUICK]
    patch = d24fad(*command, "--method", "nearest-patch")
    assert patch.code == 0 and patch.out.splitlines()[1].split()[0] == "Stripes", patch.err
    assert patch.out != d24fad(*command).out
    mixed = d24fad(*command, "--method", "matched", "--reading", "paper")
    assert mixed.code == 2 and "leave one out" in mixed.err
    unread = d24fad(*command, "--method", "mean-feature", "--reading", "paper")
    assert unread.code == 2 and "'mean-feature' reads in its own way" in unread.err
