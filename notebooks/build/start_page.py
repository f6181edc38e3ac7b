"""notebooks/start_here.ipynb: the page that `make lab` opens. Made from catalog.yml, so that it never goes stale.

It is text only: it opens rendered, "Run All Cells" has nothing to run, and neither the runner nor nbval finds a cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from build.catalog import largest_memory, link, read_catalog, time_of, total_time
from d24fad_lite.files import read_json_or_none, write_json
from d24fad_lite.lessons.numbering import number_of

NAME = "start_here"
HEAD = """# Start here

A hospital has a handful of **normal** images of some kind, the *supports*, and a new one. Is anything in the new image
that is not in the others, and where? D²4FAD (ICLR 2026) answers for kinds of images that it was not trained on. A
frozen network, the *teacher*, turns images into features; a *student* learns to redraw the features of normal images;
where student and teacher disagree about the new image, its *anomaly map* lights up. These lessons build the method by
hand, take it apart, and measure what each part is worth. Much of it is sobering: on these samples most of the gain
comes from how the teacher is read, not from training. You should know PyTorch's tensors and convolutions; the paper is
not needed.

<img src="overview.png" width="520"
 alt="Test images with their lesions outlined, two anomaly maps of each, and the supports, for five synthetic tasks">

All images are synthetic unless you bring your own. Nothing here is for clinical use."""
LESSONS = """## The lessons

Open one, then *Run > Run All Cells*. Each stands on its own; read in this order, each builds on those before.
"""
# Ways through the series by the number of the lesson, for those who do not want all of it.
PATHS = {"Short of time?": ("00", "04", "06", "09"), "Images of your own?": ("00", "12")}
EXERCISES = """## The exercises

Each lesson ends with questions and exercises; the links above lead to its exercises without the lesson's text. Write
your function, run the cell, and `lesson.check(1, your_function)` tries it on cases that you do not see. When you want
help:

| call | what it shows |
|---|---|
| `lesson.hint(1)` | a hint for exercise 1; call it again for the next one, which says more |
| `lesson.solution(1)` | a complete solution, to compare with your own |
| `lesson.answer(2)` | the answer to question 2 of "Check yourself" |

What you write stays in your copy of the notebook: no file that the lessons are built from changes."""


def start_page(entries: Mapping[str, Any]) -> dict[str, Any]:
    """The notebook as plain values, from the entries of catalog.yml."""
    texts = (HEAD, f"{LESSONS}\n{_table(entries)}\n\n{_paths(entries)}", EXERCISES)
    cells = [
        {"cell_type": "markdown", "id": f"start-{number}", "metadata": {}, "source": text.splitlines(keepends=True)}
        for number, text in enumerate(texts)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def _table(entries: Mapping[str, Any]) -> str:
    rows = ["| lesson | in five words | time | |", "|:--|:--|--:|:--|"]
    for name, entry in entries.items():
        exercises = f"[exercises](exercises/{name}.ipynb)"
        rows.append(f"| {link(name, entry)} | {entry.get('brief', '')} | {time_of(entry)} | {exercises} |")
    return "\n".join(rows)


def _paths(entries: Mapping[str, Any]) -> str:
    """The sums under the table: of all lessons, then of each of `PATHS`."""
    every = (
        f"**All of them:** {total_time(entries)} of computing on two cores, at most {largest_memory(entries)} of memory"
    )
    lines = [f"{every} (profile `quick`)."]
    by_number = {number_of(name): name for name in entries}
    for reader, numbers in PATHS.items():
        chosen = {by_number[number]: entries[by_number[number]] for number in numbers if number in by_number}
        links = " → ".join(f"[{number}]({by_number[number]}.ipynb)" for number in numbers if number in by_number)
        lines += [f"**{reader}** {links}, {total_time(chosen)}."] if chosen else []
    return "  \n".join(lines)


def update_start_page(notebooks: Path) -> bool:
    """Renew notebooks/start_here.ipynb; returns whether it changed."""
    path, page = notebooks / f"{NAME}.ipynb", start_page(read_catalog(notebooks))
    if read_json_or_none(path) == page:
        return False
    write_json(path, page, indent=1)
    return True
