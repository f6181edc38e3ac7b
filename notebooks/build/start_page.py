"""notebooks/start_here.ipynb: the page that `make lab` opens. Made from catalog.yml, so that it never goes stale."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from build.catalog import needs, read_catalog, total_time
from d24fad_lite.files import read_json_or_none, write_text

NAME = "start_here"
HEAD = """# Start here

A **frozen network** turns images into features. A **student** learns to draw these features from a narrow summary, on
normal images alone. Given a few normal images of a new kind, the **supports**, the two are compared with a new image,
and where they disagree, the map lights up. This series takes that method (D²4FAD, ICLR 2026) apart, piece by piece,
and asks of each piece what it is worth.

![Test images, their maps and their supports, one column for each synthetic task](overview.png)

All images are synthetic unless you bring your own; nothing here is for clinical use."""
PATH = """## The lessons

Open one, then *Run > Run All Cells*. Each stands on its own; in this order, each uses only what came before."""
HELP = """## Exercises

Each lesson ends with questions and with exercises (once more without the lesson's text: [exercises](exercises/)).
Write your function, run the cell, and `lesson.check(1, your_function)` tries it on cases that you do
not see. Beside it:

| call | what it does |
|---|---|
| `lesson.hint(1)` | a hint; call it again for the next one, which says more |
| `lesson.solution(1)` | a complete solution, to read once you have tried |
| `lesson.answer(2)` | the answer to question 2 of "Check yourself" |

What you write stays in your copy of the notebook. **Short of time?** 00, 04, 06, then 09.
**With images of your own?** 00, then 12."""


def start_page(entries: Mapping[str, Any]) -> dict[str, Any]:
    """The notebook as plain values; it holds text only, so it opens rendered and needs no kernel."""
    rows = ["| lesson | in five words | needs |", "|---|---|---|"]
    for name, entry in entries.items():
        number = name.partition("_")[0]
        rows.append(f"| [{number} · {entry['title']}]({name}.ipynb) | {entry['brief']} | {needs(entry)} |")
    path = f"{PATH}\n\n" + "\n".join(rows) + f"\n\nAll of them together: {total_time(entries)} of computing."
    cells = [
        {"cell_type": "markdown", "id": f"start-{number}", "metadata": {}, "source": text.splitlines(keepends=True)}
        for number, text in enumerate((HEAD, path, HELP))
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def update_start_page(notebooks: Path) -> bool:
    """Renew notebooks/start_here.ipynb; returns whether it changed."""
    import json

    path, page = notebooks / f"{NAME}.ipynb", start_page(read_catalog(notebooks))
    if read_json_or_none(path) == page:
        return False
    write_text(path, json.dumps(page, indent=1, ensure_ascii=False) + "\n")
    return True
