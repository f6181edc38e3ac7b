"""The text of a notebook (py:percent) and its .ipynb: conversion, stable cell ids, and the content check of CI.

`jupytext --sync` trusts file times, which a fresh clone does not have; so contents are compared here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from d24fad_lite.files import sha256_of, write_text
from d24fad_lite.lessons.numbering import lesson_files

if TYPE_CHECKING:
    from nbformat import NotebookNode

# Shipped notebooks carry no pairing: jupytext in a reader's JupyterLab would write answers into the texts.
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
}


def text_path(notebooks: Path, name: str) -> Path:
    """Where the text of a notebook is."""
    return notebooks / "build" / "texts" / f"{name}.py"


def text_names(notebooks: Path) -> list[str]:
    """Names of all notebooks that have a text, in their order."""
    return [path.stem for path in lesson_files(notebooks / "build" / "texts", ".py")]


def read_text(path: Path) -> NotebookNode:
    """The notebook behind a py:percent file: cells with source and tags, ids from their content, no outputs."""
    import jupytext
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    parsed = jupytext.read(path, fmt="py:percent")
    cells = []
    for cell in parsed.cells:
        make = new_code_cell if cell.cell_type == "code" else new_markdown_cell
        tags = sorted(cell.metadata.get("tags", []))
        metadata = {"tags": tags} if tags else {}
        cells.append(make(source=cell.source, metadata=metadata))
    notebook = new_notebook(cells=cells, metadata=METADATA)
    set_cell_ids(notebook)
    return notebook


def set_cell_ids(notebook: NotebookNode) -> None:
    """Ids from the content of a cell and how often it occurred before: stable when other cells change."""
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        text = f"{cell.cell_type}\n{cell.source}"
        seen[text] = seen.get(text, -1) + 1
        cell["id"] = sha256_of(f"{text}\n{seen[text]}")[:12]


def read_pair(notebooks: Path, name: str) -> NotebookNode:
    """The text build/texts/<name>.py with the stored outputs of those code cells whose source is unchanged."""
    import nbformat

    fresh = read_text(text_path(notebooks, name))
    stored_path = notebooks / f"{name}.ipynb"
    if stored_path.is_file():
        stored = {cell.get("id"): cell for cell in nbformat.read(stored_path, as_version=4).cells}
        for cell in fresh.cells:
            old = stored.get(cell.id)
            if cell.cell_type == "code" and old is not None and old.source == cell.source:
                cell.outputs, cell.execution_count = old.outputs, old.execution_count
    return fresh


def notebook_text(notebook: NotebookNode) -> str:
    """The .ipynb text, one form only: sorted keys, one-blank indent, final newline."""
    import nbformat

    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"


def write_notebook(notebooks: Path, name: str, notebook: NotebookNode) -> Path:
    """Write notebooks/<name>.ipynb atomically."""
    path = notebooks / f"{name}.ipynb"
    write_text(path, notebook_text(notebook))
    return path


def cell_contents(notebook: NotebookNode) -> list[tuple[str, str, tuple[str, ...]]]:
    """What a pair must share: cell type, source, tags."""
    return [(c.cell_type, c.source.strip(), tuple(sorted(c.metadata.get("tags", [])))) for c in notebook.cells]


def check_pairs(notebooks: Path, names: Sequence[str] | None = None) -> list[str]:
    """One line per notebook whose text and .ipynb differ (or where one of them is absent); empty when all agree."""
    texts = set(text_names(notebooks))
    stored = {path.stem for path in lesson_files(notebooks)}
    problems = []
    for name in sorted(texts | stored):
        if names is not None and name not in names:
            continue
        if name not in texts or name not in stored:
            absent = f"build/texts/{name}.py" if name not in texts else f"{name}.ipynb"
            problems.append(f"{name}: {absent} is absent; run `python notebooks/build {name}`")
        elif difference := _first_difference(notebooks, name):
            problems.append(f"{name}: {difference}; edit build/texts/{name}.py and run `python notebooks/build {name}`")
    return problems


def _first_difference(notebooks: Path, name: str) -> str:
    import nbformat

    notebook = nbformat.read(notebooks / f"{name}.ipynb", as_version=4)
    if further := set(notebook.metadata) - set(METADATA):
        return f"the notebook carries metadata that are not shipped: {', '.join(sorted(further))}"
    text, stored = cell_contents(read_text(text_path(notebooks, name))), cell_contents(notebook)
    for index, (first, second) in enumerate(zip(text, stored, strict=False)):
        for what, ours, theirs in zip(("type", "source", "tags"), first, second, strict=True):
            if ours != theirs:
                return f"cell {index}: the {what} differs: text {_short(ours)}, notebook {_short(theirs)}"
    return "" if len(text) == len(stored) else f"the text has {len(text)} cells, the notebook {len(stored)}"


def _short(value: object, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
