"""nbval can fail here: on a changed number of a run, and in each notebook the sanitiser leaves the numbers alone.

All notebooks are run against their stored outputs by `make test`:

    python -m pytest --nbval-lax --nbval-current-env --nbval-sanitize-with tests/notebooks/nbval_sanitize.cfg \
        notebooks/*.ipynb notebooks/exercises/*.ipynb
"""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from d24fad_lite.lessons.numbering import lesson_files

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Path(__file__).with_name("nbval_sanitize.cfg")
NOTEBOOKS = lesson_files(ROOT / "notebooks")


def sanitize(text: str) -> str:
    """As nbval does with the configuration of `make test`."""
    config = configparser.RawConfigParser()
    config.read(CONFIG, encoding="utf-8")
    for section in config.sections():
        text = re.sub(config.get(section, "regex"), config.get(section, "replace"), text)
    return text


def outputs(notebook: nbformat.NotebookNode) -> list[str]:
    """The printed text of each cell that nbval compares."""
    cells = [cell for cell in notebook.cells if "nbval-check-output" in cell.metadata.get("tags", [])]
    return ["".join(o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs) for cell in cells]


def test_nbval_passes_the_right_number_and_fails_on_a_changed_one(tmp_path: Path) -> None:
    tags = {"tags": ["nbval-check-output"]}
    for name, stored in (("right", "AUROC 0.8125 after 3.1 s\n"), ("changed", "AUROC 0.8126 after 3.1 s\n")):
        cell = new_code_cell('print("AUROC 0.8125 after 9.9 s")', metadata=tags, execution_count=1)
        cell.outputs = [new_output("stream", name="stdout", text=stored)]
        spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(new_notebook(cells=[cell], metadata={"kernelspec": spec}), tmp_path / f"{name}.ipynb")
    options = ["--nbval-lax", "--nbval-current-env", "--nbval-sanitize-with", str(CONFIG), "-p", "no:cacheprovider"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        *options,
        "--rootdir",
        str(tmp_path),
        "-c",
        os.devnull,
        "-rA",
        str(tmp_path),
    ]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert run.returncode == 1, run.stdout
    assert "1 failed, 1 passed" in run.stdout
    assert re.search(r"^PASSED .*right.ipynb::Cell 0", run.stdout, re.MULTILINE)
    assert re.search(r"^FAILED .*changed.ipynb::Cell 0", run.stdout, re.MULTILINE)


@pytest.mark.skipif(not NOTEBOOKS, reason="no notebooks yet")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_changed_digit_of_a_checked_output_would_be_seen(path: Path) -> None:
    checked = outputs(nbformat.read(path, as_version=4))
    assert checked
    seen = 0
    for text in checked:
        for match in re.finditer(r"\d", text):
            changed = f"{text[: match.start()]}{(int(match.group()) + 1) % 10}{text[match.end() :]}"
            seen += sanitize(changed) != sanitize(text)
    assert seen >= 3, "the checked cells print hardly a number that nbval could compare"


@pytest.mark.parametrize("text", ["AUROC 0.81 [0.74, 0.87]", "K = 4", "shape [16, 64, 32, 32]", "loss 1.234 -> 0.456"])
def test_results_pass_the_sanitiser_unchanged(text: str) -> None:
    assert sanitize(text) == text


@pytest.mark.parametrize("text", ["12.3 s", "torch 2.9.1+cu130", "at 0x7f12ab", "2026-01-02 10:11", "x /a/b/c.png"])
def test_times_versions_addresses_and_paths_are_masked(text: str) -> None:
    assert sanitize(text) != text
