"""Nothing that is meant to be shared tells where the data lie, what its files are called or who the patients are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nbformat
import numpy as np
import pytest
from hostile_names import MARKER, hostile_names
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image
from tally import SEED, cases, count

from d24fad_lite.cli import main
from d24fad_lite.csv_files import csv_text, read_csv
from d24fad_lite.evaluation.report import EvaluationReport
from d24fad_lite.model.config import D24FADConfig
from d24fad_lite.model.detector import D24FAD
from d24fad_lite.predicting.heatmap_names import heatmap_names
from d24fad_lite.private_names import KEY_FILE, PRIVATE, read_key
from d24fad_lite.runs.series import run_series

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


def test_the_results_of_a_folder_name_its_files_and_nothing_else_and_how_they_were_made_names_none(
    tmp_path: Path,
) -> None:
    names = hostile_names(SEED, len(cases(200)), MARKER)
    data, out = tmp_path / "place of data", tmp_path / "out"
    for place in [f"new/{name}" for name in names] + [f"normal/{number}_{MARKER}.png" for number in range(3)]:
        write_image(data / place)
    os.truncate(data / "new" / names[0], 300)
    model = D24FAD(D24FADConfig(teacher="test_resnet.r160_in1k", weights="random", image_size=32))
    model.save(tmp_path / "model.safetensors")
    command = ("predict", tmp_path / "model.safetensors", data / "new", "--supports", data / "normal", "--out", out)
    assert run(*command) == 1  # one file is cut short
    assert telling(out, str(tmp_path), "place of data") == []
    pictures = [f"heatmaps/{path}" for path in sorted(map(str, heatmap_names(names).values()))]
    pictures.remove(f"heatmaps/{heatmap_names(names)[names[0]]}")
    assert telling(out, MARKER) == ["failures.csv", "gallery.html", *pictures, KEY_FILE, "scores.csv"]
    scored = [row[0] for row in read_csv(out / "scores.csv")[1:]]
    assert sorted(scored) == sorted(names[1:]) and read_csv(out / "failures.csv")[1][0] == names[0]
    before = (out / "scores.csv").read_bytes()
    assert run(*command) == 1 and (out / "scores.csv").read_bytes() == before
    count("hostile file names predicted", len(names))


PARAMETERS = 'profile: str = ""\nseed: int = 0\nout: str = ""\nroot: str = ""'
TELLS_ALL = """
import os
import pandas as pd
from IPython.display import HTML, Image
import d24fad_lite as d2
from d24fad_lite.lessons import start_lesson
from html import escape

lesson = start_lesson("00_tells", globals())
task = d2.open_benchmark(lesson.data)["T"]
for name, path, group in zip(task.test.names, task.test.paths, task.test.groups):
    print(name, "|", path, "|", path.resolve(), "|", repr(path.name), "|", group, "|", escape(name))
    print("\x1b[31m" + path.name + "\x1b[0m", path.stem)
display(HTML("<b title='" + escape(task.test.names[0]) + "'>here</b>"))
display(Image(filename=task.test.paths[1], alt=task.test.names[1]))
display(pd.DataFrame({"file": task.test.names, "very long": ["x" * 40 + n for n in task.test.names]}))
print(os.path.abspath(out), os.getcwd(), d2.__file__)
lesson.finish({"headline": f"worst: {task.test.names[0]}", "tables": {"All": [{"name": n} for n in task.test.names]}})
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of two lessons: one tells all it knows of the data, the other fails over a file of them."""
    notebooks = tmp_path / f"checkout {MARKER}" / "notebooks"
    notebooks.mkdir(parents=True)
    opening = "import d24fad_lite as d2"
    fails = f'{opening}\ntask = d2.open_benchmark(root)["T"]\ntask.test.images(32)'
    for name, code in (("00_tells", TELLS_ALL), ("01_fails", fails)):
        cells = [new_markdown_cell(f"# {name}"), new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})]
        nbformat.write(new_notebook(cells=[*cells, new_code_cell(code)]), notebooks / f"{name}.ipynb")
    return notebooks.parent


def test_a_run_of_lessons_on_data_of_ones_own_names_no_file_no_patient_and_no_folder(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("D24FAD_CACHE", str(tmp_path / "cache"))
    data, out = tmp_path / f"home {MARKER}" / f"{MARKER} data", tmp_path / f"results {MARKER}" / "run"
    write_task(data / "T", [f"{MARKER}_{number} <b>.png" for number in range(8)])
    os.truncate(data / "T" / "test" / "good" / f"{MARKER}_0 <b>.png", 500)
    given = {"root": str(data)}
    assert run_series(out=out, parameters=given, profile="quick", root=checkout, jobs=1) == 1
    keys = [path.relative_to(out).as_posix() for path in out.rglob(KEY_FILE)]
    assert "00_tells/names.csv" in keys and set(telling(out, MARKER, str(tmp_path))) == set(keys)
    assert f"test/good/{MARKER}_0 <b>.png" in " ".join(read_key(out / "00_tells").values())
    report = (out / "report.html").read_text()
    assert "image 00" in report and "-p root=ROOT --jobs 1 --out OUT --resume" in report
    executed = nbformat.read(out / "00_tells.ipynb", as_version=4)
    assert 'root = "ROOT"' in executed.cells[2].source.splitlines()
    assert "group 0001" in str(executed.cells[3].outputs)

    before = (out / "00_tells.ipynb").read_bytes()
    assert run_series(["00"], out=out, parameters=given, profile="quick", root=checkout, resume=True) == 0
    assert json.loads((out / "summary.json").read_text())["notebooks"][0]["resumed"]
    assert (out / "00_tells.ipynb").read_bytes() == before  # a run that is sealed is still taken over
    count("executed notebooks searched for names", 2)


def test_names_stay_where_that_is_asked_for_but_folders_never_do(checkout: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "home folder" / "data", tmp_path / "run"
    write_task(data / "T", [f"{MARKER}_{number}.png" for number in range(8)])
    given = {"root": str(data)}
    assert run_series(["00"], out=out, parameters=given, profile="quick", root=checkout, show_names=True) == 0
    assert {"00_tells.ipynb", "00_tells/metrics.json", "report.html"} <= set(telling(out, MARKER))
    assert telling(out, str(tmp_path), "home folder") == [] and not list(out.rglob(KEY_FILE))
