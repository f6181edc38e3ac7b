"""notebooks/exercises/NN_name.ipynb, generated from the lesson: its code, then the exercises."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from build.pairing import METADATA, notebook_text, read_text, set_cell_ids, text_names, text_path
from d24fad_lite.files import write_text

if TYPE_CHECKING:
    from nbformat import NotebookNode

HEADING = "## Exercises"
DROPPED = "lesson-only"  # tag of cells that the exercises do not need


def exercise_notebook(lesson: NotebookNode, name: str) -> NotebookNode | None:
    """The exercises of a lesson as a notebook of their own, without outputs; None when it has none.

    Kept: code cells before the heading "## Exercises" (folded) except those tagged `lesson-only`, and every cell from
    the heading on except the one that calls `lesson.finish`.
    """
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    starts = [i for i, c in enumerate(lesson.cells) if c.cell_type == "markdown" and c.source.startswith(HEADING)]
    if not starts:
        return None
    title = lesson.cells[0].source.splitlines()[0].lstrip("# ")
    intro = (
        f"# Exercises to {title}\n\nThe lesson is in [{name}](../{name}.ipynb). "
        "The folded cells repeat its code; run them first, then work on the exercises. "
        "Every check tries your function on several cases and says what is still missing."
    )
    cells = [new_markdown_cell(source=intro)]
    for index, cell in enumerate(lesson.cells):
        tags = cell.metadata.get("tags", [])
        before = index < starts[0]
        if DROPPED in tags or (before and cell.cell_type != "code") or "lesson.finish(" in cell.source:
            continue
        if cell.cell_type == "markdown":
            cells.append(new_markdown_cell(source=cell.source))
            continue
        own_tags = [tag for tag in tags if not tag.startswith("nbval")]
        metadata: dict[str, object] = {"tags": own_tags} if own_tags else {}
        if before and "parameters" not in tags:
            metadata["jupyter"] = {"source_hidden": True}
        cells.append(new_code_cell(source=cell.source, metadata=metadata))
    notebook = new_notebook(cells=cells, metadata=METADATA)
    set_cell_ids(notebook)
    return notebook


def write_exercises(notebooks: Path, name: str) -> Path | None:
    """Write notebooks/exercises/<name>.ipynb from the lesson's text; None when the lesson has no exercises."""
    notebook = exercise_notebook(read_text(text_path(notebooks, name)), name)
    if notebook is None:
        return None
    path = notebooks / "exercises" / f"{name}.ipynb"
    write_text(path, notebook_text(notebook))
    return path


def check_exercises(notebooks: Path) -> list[str]:
    """One line per exercise notebook that is not what the generator would write; empty when all are."""
    problems = []
    names = text_names(notebooks)
    for name in names:
        expected = exercise_notebook(read_text(text_path(notebooks, name)), name)
        path = notebooks / "exercises" / f"{name}.ipynb"
        if expected is not None and (not path.is_file() or path.read_text(encoding="utf-8") != notebook_text(expected)):
            problems.append(f"exercises/{name}.ipynb is not up to date; run `python notebooks/build {name}`")
    stray = {path.stem for path in (notebooks / "exercises").glob("*.ipynb")} - set(names)
    return problems + [f"exercises/{name}.ipynb has no lesson" for name in sorted(stray)]
