"""Form and hygiene of every stored notebook, without running any (nbval and the runner do that)."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import nbformat
import pytest

from build.catalog import BEGIN, END, needs, read_catalog, table
from build.exercises import check_exercises
from build.pairing import METADATA, check_pairs, text_names
from build.start_page import start_page
from d24fad_lite.lessons.exercises.exercise import has_exercises
from d24fad_lite.lessons.numbering import lesson_files, number_of
from d24fad_lite.lessons.parameters import parse_parameters

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
NAMES = sorted({*text_names(NOTEBOOKS), *(path.stem for path in lesson_files(NOTEBOOKS))})
EXERCISES = sorted(path.stem for path in (NOTEBOOKS / "exercises").glob("*.ipynb"))
SIZE_CAP = 1_500_000
MINUTES_CAP, MEMORY_CAP = 1.5, 4.0  # quick profile, two cores
ABSOLUTE = re.compile(r"(?<![\w.:/<+\\])/(?:[\w.-]+/)+[\w.-]+|\b[A-Z]:\\\w+")
LINK = re.compile(r"\]\((?!https?:|#|mailto:|attachment:)([^)\s#]+)")

pytestmark = pytest.mark.skipif(not NAMES, reason="no notebooks yet")
every_notebook = pytest.mark.parametrize("name", NAMES)


@cache
def load(name: str) -> nbformat.NotebookNode:
    path = NOTEBOOKS / f"{name}.ipynb"
    assert path.is_file(), f"{path.name} is not built; run `python notebooks/build {name}`"
    return nbformat.read(path, as_version=4)


def tagged(name: str, tag: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in load(name).cells if tag in cell.metadata.get("tags", [])]


def code_cells(name: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in load(name).cells if cell.cell_type == "code"]


def printed(cell: nbformat.NotebookNode) -> str:
    """Streams and plain-text results of a cell."""
    return "".join(o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs)


def words(name: str) -> str:
    return "\n".join(cell.source for cell in load(name).cells if cell.cell_type == "markdown")


@every_notebook
def test_the_notebook_begins_with_title_goals_and_measured_needs(name: str) -> None:
    first = load(name).cells[0]
    assert first.cell_type == "markdown" and first.source.startswith(f"# {number_of(name)} · ")
    assert "**You will learn**" in first.source
    needed = re.search(r"^\*\*Needs:\*\* (.+)$", first.source, re.MULTILINE)
    assert needed and needed.group(1) == needs(read_catalog(NOTEBOOKS)[name]) and "(quick)" in needed.group(1)


@every_notebook
def test_the_parameters_cell_holds_annotated_literals_with_the_common_ones(name: str) -> None:
    (cell,) = tagged(name, "parameters")
    found = {parameter.name: parameter.default for parameter in parse_parameters(cell.source)}
    assert {"profile": "", "seed": 0, "out": ""}.items() <= found.items()
    assert cell is code_cells(name)[0], "the parameters cell is the first code cell"


@every_notebook
def test_the_setup_cell_follows_and_prints_one_line(name: str) -> None:
    (cell,) = tagged(name, "setup")
    assert cell is code_cells(name)[1] and f'start_lesson("{name}"' in cell.source
    lines = printed(cell).strip().splitlines()
    assert len(lines) == 1 and "profile quick" in lines[0] and "synthetic samples" in lines[0]


@every_notebook
def test_at_least_one_cell_is_checked_by_nbval_and_has_text_to_check(name: str) -> None:
    cells = tagged(name, "nbval-check-output")
    assert cells
    for cell in cells:
        assert re.search(r"\w", printed(cell)), f"nothing to compare under: {cell.source[:80]}"


@every_notebook
def test_every_code_cell_was_executed_in_order(name: str) -> None:
    counts = [cell.execution_count for cell in code_cells(name) if cell.source.strip()]
    assert counts == list(range(1, len(counts) + 1))


@every_notebook
def test_no_stored_output_is_an_error_a_progress_bar_or_a_widget(name: str) -> None:
    assert "widgets" not in load(name).metadata
    for cell in code_cells(name):
        expected = "raises-exception" in cell.metadata.get("tags", [])
        for output in cell.outputs:
            assert output.output_type != "error" or expected, f"{output.get('ename')}: {output.get('evalue')}"
            assert output.get("name") != "stderr"
            assert not any("widget" in kind for kind in output.get("data", {}))
            assert "it/s]" not in output.get("text", "")


@every_notebook
def test_no_absolute_path_is_stored(name: str) -> None:
    for cell in load(name).cells:
        assert not re.search(r"/(?:home|root|Users|tmp|mnt|private)/", cell.source), cell.source
        for output in cell.get("outputs", []):
            texts = [output.get("text", ""), *output.get("traceback", [])]
            texts += [text for kind, text in output.get("data", {}).items() if kind in ("text/plain", "text/html")]
            for text in texts:
                found = ABSOLUTE.search(re.sub(r"base64,[\w+/=]+", "", text))
                assert found is None, f"absolute path {found.group()!r} under: {cell.source[:80]}"


@every_notebook
def test_the_file_is_small_and_carries_no_trace_of_a_run(name: str) -> None:
    path = NOTEBOOKS / f"{name}.ipynb"
    assert path.stat().st_size <= SIZE_CAP, f"{path.stat().st_size / 1e6:.2f} MB; draw fewer or smaller figures"
    assert load(name).metadata == METADATA, "no pairing: what a reader types must not reach the texts"
    for cell in load(name).cells:
        assert set(cell.metadata) <= {"tags", "jupyter"}, cell.metadata


@every_notebook
def test_no_cell_installs_or_downloads(name: str) -> None:
    for cell in code_cells(name):
        assert not re.search(r"^\s*[!%]|pip install|urlopen|requests\.get", cell.source, re.MULTILINE), cell.source


@every_notebook
def test_text_and_notebook_hold_the_same_cells(name: str) -> None:
    assert check_pairs(NOTEBOOKS, [name]) == []


@every_notebook
def test_the_end_says_what_was_seen_asks_and_writes_metrics(name: str) -> None:
    for heading in ("## What you saw", "## Check yourself", "## Exercises"):
        assert re.search(rf"^{heading}", words(name), re.MULTILINE), f"{heading} is absent"
    last = code_cells(name)[-1]
    assert "lesson.finish(" in last.source and "metrics.json written" in printed(last)
    assert "What this showed: " in printed(last), "finish(verdict=...): one sentence, built from values of the run"


@every_notebook
def test_exercises_are_open_and_no_solution_stands_beside_them(name: str) -> None:
    exercises = tagged(name, "exercise")
    assert has_exercises(name) and exercises and not tagged(name, "solution")
    for cell in exercises:
        assert re.fullmatch(r"… \d · .+: not done yet\n", printed(cell)), cell.source


@every_notebook
def test_relative_links_lead_somewhere(name: str) -> None:
    for target in LINK.findall(words(name)):
        assert (NOTEBOOKS / target).exists(), f"{name}: link to {target}"


@every_notebook
def test_the_catalog_keeps_each_notebook_within_the_quick_limits(name: str) -> None:
    entry = read_catalog(NOTEBOOKS)[name]
    assert entry["title"] and entry["goals"] and entry["device"]
    assert entry["measured"]["quick"]["minutes"] <= MINUTES_CAP
    assert entry["measured"]["quick"]["memory_gb"] <= MEMORY_CAP


def test_exercise_notebooks_are_what_the_generator_writes() -> None:
    assert check_exercises(NOTEBOOKS) == []
    for name in EXERCISES:
        notebook = nbformat.read(NOTEBOOKS / "exercises" / f"{name}.ipynb", as_version=4)
        assert all(not cell.get("outputs") for cell in notebook.cells) and notebook.metadata == METADATA


def test_numbers_of_notebooks_are_unique_and_readme_lists_them() -> None:
    assert len({number_of(name) for name in NAMES}) == len(NAMES)
    readme = (ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").is_file() else ""
    assert BEGIN in readme and END in readme
    stored = readme.split(BEGIN)[1].split(END)[0].strip()
    assert stored == table(read_catalog(NOTEBOOKS)), "run `python notebooks/build --no-execute`"


def test_the_start_page_is_what_the_build_writes() -> None:
    page = json.loads((NOTEBOOKS / "start_here.ipynb").read_text(encoding="utf-8"))
    assert page == start_page(read_catalog(NOTEBOOKS)), "run `python notebooks/build --no-execute`"
    nbformat.validate(page)
    assert {cell["cell_type"] for cell in page["cells"]} == {"markdown"}  # nothing for nbval and "Run All Cells"
    text = "\n".join("".join(cell["source"]) for cell in page["cells"])
    targets = LINK.findall(text)
    assert {f"{name}.ipynb" for name in NAMES} <= set(targets)
    missing = [target for target in targets if not (NOTEBOOKS / target).is_file()]
    assert not missing, "a link leads nowhere, or to a folder, which JupyterLab does not open"


@pytest.mark.parametrize("name", NAMES)
def test_every_lesson_says_in_about_five_words_what_it_is_about(name: str) -> None:
    brief = read_catalog(NOTEBOOKS)[name].get("brief", "")
    assert 3 <= len(brief.split()) <= 6, "write `brief` of this lesson in notebooks/catalog.yml, then build again"
