"""Nothing that is meant to be shared tells where the data lie, what its files are called or who the patients are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hostile_names import MARKER, hostile_names
from PIL import Image
from tally import SEED, cases, count

from d24fad_lite.cli import main
from d24fad_lite.csv_files import csv_text
from d24fad_lite.evaluation.report import EvaluationReport
from d24fad_lite.private_names import KEY_FILE, PRIVATE

TINY = ("--untrained", "--teacher", "test_resnet.r160_in1k", "--weights", "random", "--image-size", 32)
QUICK = ("--task", "T", "--shots", 2, "--draws", 2, "--device", "cpu")
DRAW = np.random.default_rng(SEED)


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(DRAW.integers(0, 255, (32, 32), dtype=np.uint8)).save(path, format="PNG")


def write_task(folder: Path, names: list[str]) -> None:
    """A task whose test images have these names, half of them anomalous; the patients' names are marked too."""
    for number in range(4):
        write_image(folder / "train" / "good" / f"{number}_{MARKER}.png")
    places = [f"test/{'bad' if number % 2 else 'good'}/{name}" for number, name in enumerate(names)]
    for place in places:
        write_image(folder / place)
    (folder / "test" / "bad" / f"{MARKER}.txt").touch()  # a file that is left out
    patients = [(place, f"{MARKER} patient {n // 2}") for n, place in enumerate(places) if place.isprintable()]
    (folder / "groups.csv").write_text(csv_text([("file", "group"), *patients]), encoding="utf-8")


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def telling(folder: Path, *signs: str) -> list[str]:
    """Files below `folder` whose name or bytes hold one of the signs."""
    found = []
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        content = path.read_bytes() if path.is_file() else b""
        if any(sign in str(inner) or os.fsencode(sign) in content for sign in signs):
            found.append(inner.as_posix())
    return found


def test_a_report_is_saved_whatever_its_images_are_called_and_names_none(
    tmp_path: Path,
) -> None:
    names = hostile_names(SEED, len(cases(200)), MARKER)
    data = tmp_path / f"home {MARKER}" / "data"
    write_task(data / "T", names)
    assert run("evaluate", *TINY, "--data", data, *QUICK, "--out", tmp_path / "out") == 0
    assert telling(tmp_path / "out", MARKER, str(tmp_path)) == [f"T_K2/{KEY_FILE}"]
    assert PRIVATE in (tmp_path / "out" / "T_K2" / KEY_FILE).read_text(errors="surrogateescape").splitlines()[0]

    report = EvaluationReport.load(tmp_path / "out" / "T_K2")
    assert sorted(Path(name).name for name in report.names) == sorted(names)
    assert {str(group)[: len(MARKER)] for group in report.groups} == {MARKER, "None"}
    assert MARKER in report.facts["left_out"][0] and report.facts["files_left_out"] == 1
    key = tmp_path / "out" / "T_K2" / KEY_FILE
    key.unlink()
    shared = EvaluationReport.load(key.parent)
    assert shared.names[0].startswith("image 0") and set(shared.groups) <= {
        None,
        *(f"group {n:04d}" for n in range(200)),
    }
    assert shared.ci == report.ci and shared.auroc == report.auroc

    assert run("evaluate", *TINY, "--data", data, *QUICK, "--out", tmp_path / "named", "--names") == 0
    named = EvaluationReport.load(tmp_path / "named" / "T_K2")
    assert named.names == report.names and named.groups == report.groups
    assert not (tmp_path / "named" / "T_K2" / KEY_FILE).exists()
    count("hostile file names evaluated", len(names))
