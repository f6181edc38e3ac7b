"""What is taken over from an earlier run: the same run, with its results as they were written. Nothing else."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from d24fad_lite.runs.execute import NotebookResult, declared_parameters, read_notebook
from d24fad_lite.runs.grid import run_grid
from d24fad_lite.runs.identity import run_key
from d24fad_lite.runs.series import run_series
from d24fad_lite.sole_writer import FolderInUse, sole_writer

PARAMETERS = 'profile: str = "quick"\nroot: str = ""\nout: str = ""\nextra: str = ""\nseed: int = 0'
FINISH = """import json, os
os.makedirs(out, exist_ok=True)
open(f"{out}/map.png", "wb").write(b"a picture")
json.dump({"seed": seed}, open(f"{out}/metrics.json", "w"))"""


@pytest.fixture
def checkout(tmp_path: Path, tiny_root: Path) -> Path:
    """A checkout of one lesson, with a folder of data beside it."""
    (tmp_path / "notebooks").mkdir()
    shutil.copytree(tiny_root, tmp_path / "data")
    cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), new_code_cell(FINISH)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / "00_first.ipynb")
    return tmp_path


def key_of(checkout: Path, **values: object) -> str:
    source = checkout / "notebooks" / "00_first.ipynb"
    notebook = read_notebook(source)
    return run_key(source, notebook, declared_parameters(notebook, "00"), values, source.parent)


def _replace_an_image(checkout: Path) -> None:
    first, second, *_ = sorted((checkout / "data" / "Blobs" / "train" / "good").iterdir())
    first.write_bytes(second.read_bytes())


def test_the_key_knows_the_content_of_the_data_and_of_every_named_file(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"root": "../data", "extra": "../model.file"}
    keys = [key_of(checkout, **values)]
    assert keys == [key_of(checkout, **values)]
    assert keys == [key_of(checkout, **values, out="elsewhere")]
    _replace_an_image(checkout)
    keys.append(key_of(checkout, **values))
    (checkout / "model.file").write_bytes(b"weights")
    keys.append(key_of(checkout, **values))
    (checkout / "model.file").write_bytes(b"Weights")
    keys.append(key_of(checkout, **values))
    keys += [key_of(checkout, **values, seed=1), key_of(checkout, root="../data", extra="")]
    monkeypatch.setenv("D24FAD_DEVICE", "cpu")
    keys.append(key_of(checkout, **values))
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("prefix", ["hf:", "local-dir:"])
def test_the_key_knows_the_content_of_an_encoders_folder(checkout: Path, prefix: str) -> None:
    (checkout / "encoder").mkdir()
    keys = set()
    for content in ("one", "two"):
        (checkout / "encoder" / "model.safetensors").write_text(content)
        keys.add(key_of(checkout, extra=f"{prefix}../encoder"))
    assert len(keys) == 2


def test_the_key_knows_the_data_that_the_environment_names(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("D24FAD_DATA", str(checkout / "data"))
    before = key_of(checkout, profile="standard", root="")
    _replace_an_image(checkout)
    assert key_of(checkout, profile="standard", root="") != before


def test_a_value_that_is_no_path_is_no_fault(checkout: Path) -> None:
    assert key_of(checkout, extra="x" * 5000) != key_of(checkout, extra="~nobody\0/x")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a truncated notebook": lambda run: _truncate(run / "00_first.ipynb"),
    "a deleted notebook": lambda run: (run / "00_first.ipynb").unlink(),
    "deleted metrics": lambda run: (run / "00_first" / "metrics.json").unlink(),
    "truncated metrics": lambda run: _truncate(run / "00_first" / "metrics.json"),
    "other metrics": lambda run: (run / "00_first" / "metrics.json").write_text('{"seed": 9}'),
    "a deleted figure": lambda run: (run / "00_first" / "map.png").unlink(),
    "a summary that is no JSON": lambda run: (run / "summary.json").write_text("{"),
    "a summary of another kind": lambda run: (run / "summary.json").write_text('{"notebooks": 3}'),
    "a summary of odd results": lambda run: (run / "summary.json").write_text('{"notebooks": [{"cell": 5}, null]}'),
    "a summary without hashes": lambda run: _without_hashes(run / "summary.json"),
    "replaced data": lambda run: _replace_an_image(run.parent),
}


def _without_hashes(path: Path) -> None:
    summary = json.loads(path.read_text())
    for result in summary["notebooks"]:
        result["files"] = {}
    path.write_text(json.dumps(summary))


def test_a_series_believes_only_what_it_wrote(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, parameters = checkout / "run", {"root": "../data"}
    assert run_series(out=run, parameters=parameters, root=checkout) == 0
    kept, told = shutil.copytree(run, checkout / "kept"), []
    assert run_series(out=run, parameters=parameters, root=checkout, resume=True) == 0
    assert "completed in an earlier run" in capsys.readouterr().out
    for name, damage in DAMAGES.items():
        shutil.rmtree(run)
        shutil.copytree(kept, run)
        damage(run)
        assert run_series(out=run, parameters=parameters, root=checkout, resume=True) == 0, name
        printed = capsys.readouterr().out
        if "completed in an earlier run" in printed or "notice: " not in printed:
            told.append(f"{name}: {printed}")
        assert json.loads((run / "00_first" / "metrics.json").read_text()) == {"seed": 0}, name
    assert not told


def test_a_page_that_is_gone_is_written_again(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = checkout / "run"
    run_series(out=run, root=checkout)
    (run / "pages" / "00_first.html").unlink()
    run_series(out=run, root=checkout, resume=True)
    assert (run / "pages" / "00_first.html").is_file() and "completed in an earlier" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["{", "null", "[1]", '{"status": "completed"}', '{"name": 1, "files": 3}', "kept"])
def test_a_grid_believes_only_what_it_wrote(checkout: Path, content: str) -> None:
    points = [{"root": "../data"}]
    (cell,) = run_grid(checkout / "notebooks" / "00_first.ipynb", points, checkout / "grid")
    folder = checkout / "grid" / cell.label
    if content == "kept":
        (folder / "cell" / "metrics.json").write_text('{"seed": 9}')
    else:
        (folder / "result.json").write_text(content)
    (again,) = run_grid(checkout / "notebooks" / "00_first.ipynb", points, checkout / "grid")
    assert not again.result.resumed and again.metrics == {"seed": 0}


def test_a_series_and_a_grid_in_a_folder_in_use_are_refused_before_anything_runs(checkout: Path) -> None:
    source = checkout / "notebooks" / "00_first.ipynb"
    errors: list[BaseException] = []

    def second(call: Callable[[], object]) -> None:
        try:
            call()
        except FolderInUse as error:
            errors.append(error)

    with sole_writer(checkout / "run", "a long work"):
        for call in (
            lambda: run_series(out=checkout / "run", root=checkout),
            lambda: run_grid(source, [{}], checkout / "run"),
        ):
            thread = threading.Thread(target=second, args=(call,))
            thread.start()
            thread.join()
    assert len(errors) == 2 and all("a long work" in str(error) for error in errors)
    assert not list((checkout / "run").glob("*.ipynb"))


@pytest.mark.parametrize("values", [None, 3, [], {"name": 1}, {"name": "a", "cell": 2}, {"name": "a", "files": [1]}])
def test_what_is_no_result_is_refused(values: object) -> None:
    with pytest.raises(ValueError, match="not the result of a notebook"):
        NotebookResult.from_dict(values)  # type: ignore[arg-type]
