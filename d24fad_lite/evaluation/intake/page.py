"""The intake report as one HTML page: no script, no file beside it, every name escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from d24fad_lite.evaluation.intake.sheet import Thumbnail, thumbnails
from d24fad_lite.evaluation.intake.style import CSS
from d24fad_lite.evaluation.intake.tables import Part, Tables
from d24fad_lite.messages import in_html as text

TITLES = {
    "tasks": "What is there",
    "left_out": "What is left out, and why",
    "findings": "Findings",
    "shortcuts": "What could be read without seeing any disease",
}
NOTHING = {
    "tasks": "No task could be opened.",
    "left_out": "Nothing: every file is used.",
    "findings": "None: every file opens, masks fit, no image is in train and test.",
    "shortcuts": "Not computed: that takes test images with both labels.",
}
HEADS = {"turned": "turned by tag"}
BREAKS = {"finding": "long", "why": "long", "task": "name", "place": "name", "first": "name"}  # how a column breaks
STRONGEST = 4  # shortcuts shown for each task
SHORTCUT_NOTE = (
    "AUROC of numbers such as brightness or file size, the better of the two signs. At 0.5 they tell nothing; beyond "
    "what chance reaches with so many images (marked), a model may score well without having learned what an anomaly "
    f"is. The {STRONGEST} strongest of each task."
)


def render(report: Tables) -> str:
    """The whole page."""
    title = f"Intake report: {text(report.root.resolve().name)}"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>{CSS}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{_facts(report)}\n"
        '<p class="notice">This page shows images of the data: pass it on as you would the data.</p>\n'
        f"{_tables(report)}\n{_sheets(report)}\n</main>\n</body>\n</html>\n"
    )


def fragment(report: Tables) -> str:
    """The page without its frame, for a notebook; styled by the notebook."""
    return f"<div><p><b>{text(report.summary())}</b></p>{_tables(report)}</div>"


def _facts(report: Tables) -> str:
    left_out = int(report.left_out["files"].sum())
    warnings = len(report.findings) - report.errors
    facts = [
        ("tasks", report.tasks["task"].nunique(), ""),
        ("images", len(report.files), ""),
        ("errors", report.errors, "bad" if report.errors else "good"),
        ("warnings", warnings, "wait" if warnings else "good"),
        ("files left out", left_out, "wait" if left_out else "good"),
    ]
    cells = "".join(f'<div><dt>{name}</dt><dd class="{color}">{count:,}</dd></div>' for name, count, color in facts)
    return f'<dl class="facts">{cells}</dl>'


def _tables(report: Tables) -> str:
    tasks = report.tasks.copy()
    for column in ("groups", "modality", "turned", "unreadable", "masks"):
        if not tasks[column].astype(bool).any():
            tasks = tasks.drop(columns=column)  # a column of nothing
    shortcuts = _strongest(report.shortcuts)
    parts = [
        _section("findings", report.findings),
        _section("left_out", report.left_out),
        _section("tasks", tasks),
        _section("shortcuts", shortcuts, SHORTCUT_NOTE),
    ]
    return "\n".join(parts)


def _strongest(shortcuts: pd.DataFrame) -> pd.DataFrame:
    """The strongest of each task; the table in the report has them all."""
    return shortcuts if shortcuts.empty else shortcuts.groupby("task", sort=False).head(STRONGEST)


def _section(name: str, table: pd.DataFrame, note: str = "") -> str:
    if table.empty:
        return f"<section><h2>{TITLES[name]}</h2><p>{NOTHING[name]}</p></section>"
    note = f"<p>{note}</p>" if note else ""
    return (
        f'<section><h2>{TITLES[name]}</h2>{note}<div class="scroll"><table><thead><tr>{_head(table)}</tr></thead>'
        f"<tbody>{''.join(_rows(table))}</tbody></table></div></section>"
    )


def _head(table: pd.DataFrame) -> str:
    return "".join(
        f'<th scope="col"{_class_of(table[column])}>{text(HEADS.get(column, column))}</th>' for column in table.columns
    )


def _rows(table: pd.DataFrame) -> Iterator[str]:
    classes = {column: _class_of(table[column]) for column in table.columns}
    for _, row in table.iterrows():
        shade = _row_class(row)
        cells = "".join(f"<td{classes[column]}>{_cell(column, row[column])}</td>" for column in table.columns)
        yield f"<tr{shade}>{cells}</tr>"


def _row_class(row: pd.Series) -> str:
    """Colours a row that holds an error, or a shortcut beyond chance."""
    if row.get("severity") == "error" or row.get("unreadable", 0) > 0:
        return ' class="bad"'
    return ' class="wait"' if "AUROC" in row and row["AUROC"] > row["chance up to"] else ""


def _class_of(values: pd.Series) -> str:
    """The class of a column: numbers to the right, long texts breakable."""
    name = "number" if pd.api.types.is_numeric_dtype(values) else BREAKS.get(str(values.name), "")
    return f' class="{name}"' if name else ""


def _cell(column: str, value: Any) -> str:
    if column == "severity":
        return f'<span class="pill {"bad" if value == "error" else "wait"}">{text(value)}</span>'
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else f"<bdi>{text(value)}</bdi>"


def _sheets(report: Tables) -> str:
    """The contact sheets of all splits; nothing where there is no image."""
    sheets = "\n".join(filter(None, (_sheet(part, report.thumbnails) for part in report.parts)))
    return f"<section><h2>Contact sheet</h2><p>Masks are outlined in yellow.</p>{sheets}</section>" if sheets else ""


def _sheet(part: Part, most: int) -> str:
    """The contact sheet of one split: for each class a title and up to `most` pictures."""
    classes: tuple[tuple[int | None, str], ...] = (
        ((0, "normal"), (1, "anomalous")) if part.labelled else ((None, "images"),)
    )
    shown = []
    for label, name in classes:
        pictures = list(thumbnails(part, label, most))
        if not pictures:
            continue
        total = len(part.images) if label is None else int((part.images.labels == label).sum())
        title = " · ".join(dict.fromkeys((text(part.task), part.split, name)))
        of = f"{len(pictures)} of {total:,}" if len(pictures) < total else f"{total:,}"
        shown.append(f'<h3>{title} <span class="soft">{of}</span></h3><div class="sheet">{_figures(pictures)}</div>')
    return "".join(shown)


def _figures(pictures: Iterable[Thumbnail]) -> str:
    return "".join(_figure(picture) for picture in pictures)


def _figure(picture: Thumbnail) -> str:
    name = text(picture.name)
    note = f'<span class="soft">{text(picture.note)}</span>' if picture.note else ""
    if not picture.uri:
        shown = '<div class="absent">not readable</div>'
    else:
        shown = (
            f'<img src="{picture.uri}" width="{picture.width}" height="{picture.height}" alt="{name}" loading="lazy">'
        )
    return f'<figure title="{name}">{shown}<figcaption><bdi>{name}</bdi>{note}</figcaption></figure>'
