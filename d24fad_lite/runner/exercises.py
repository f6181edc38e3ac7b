"""notebooks/exercises/NN_name.ipynb, generated from the lesson: its code, then the exercises without the solutions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from d24fad_lite.runner.metrics import write_text
from d24fad_lite.runner.pairing import METADATA, notebook_text, read_text, set_cell_ids

if TYPE_CHECKING:
    from nbformat import NotebookNode

HEADING = "## Exercises"
DROPPED = {"solution", "lesson-only"}


def exercise_notebook(lesson: NotebookNode, name: str) -> NotebookNode | None:
    """The exercises of a lesson as a notebook of their own, without outputs; None when it has none.

    Kept: code cells before the heading "## Exercises" (folded) except those tagged `lesson-only`, and every cell from
    the heading on except those tagged `solution` and the one that calls `lesson.finish`.
    """
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    starts = [i for i, c in enumerate(lesson.cells) if c.cell_type == "markdown" and c.source.startswith(HEADING)]
    if not starts:
        return None
    title = lesson.cells[0].source.splitlines()[0].lstrip("# ")
    intro = (
        f"# Exercises to {title}\n\nThe lesson and the solutions are in [{name}](../{name}.ipynb). "
        "The folded cells repeat the lesson's code; run them first, then work on the exercises. "
        'Every check says "not done yet" until the answer is right.'
    )
    cells = [new_markdown_cell(source=intro)]
    for index, cell in enumerate(lesson.cells):
        tags = cell.metadata.get("tags", [])
        before = index < starts[0]
        if DROPPED & set(tags) or (before and cell.cell_type != "code") or "lesson.finish(" in cell.source:
            continue
        if cell.cell_type == "markdown":
            cells.append(new_markdown_cell(source=cell.source))
            continue
        metadata: dict[str, object] = {"tags": kept} if (kept := [t for t in tags if not t.startswith("nbval")]) else {}
        if before and "parameters" not in tags:
            metadata["jupyter"] = {"source_hidden": True}
        cells.append(new_code_cell(source=cell.source, metadata=metadata))
    metadata = {key: value for key, value in METADATA.items() if key != "jupytext"}
    notebook = new_notebook(cells=cells, metadata=metadata)
    set_cell_ids(notebook)
    return notebook


def write_exercises(notebooks: Path, name: str) -> Path | None:
    """Write notebooks/exercises/<name>.ipynb from the lesson's text; None when the lesson has no exercises."""
    notebook = exercise_notebook(read_text(notebooks / "py" / f"{name}.py"), name)
    if notebook is None:
        return None
    path = notebooks / "exercises" / f"{name}.ipynb"
    write_text(path, notebook_text(notebook))
    return path


def check_exercises(notebooks: Path) -> list[str]:
    """One line per exercise notebook that is not what the generator would write; empty when all are."""
    problems = []
    texts = {path.stem for path in (notebooks / "py").glob("[0-9][0-9]_*.py")}
    for name in sorted(texts):
        expected = exercise_notebook(read_text(notebooks / "py" / f"{name}.py"), name)
        path = notebooks / "exercises" / f"{name}.ipynb"
        if expected is not None and (not path.is_file() or path.read_text(encoding="utf-8") != notebook_text(expected)):
            problems.append(
                f"exercises/{name}.ipynb is not up to date; run `python -m d24fad_lite.runner build {name}`"
            )
    stray = {path.stem for path in (notebooks / "exercises").glob("*.ipynb")} - texts
    return problems + [f"exercises/{name}.ipynb has no lesson" for name in sorted(stray)]
