"""report.html of a run: one self-contained page, from summary.json and the notebooks' metrics.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from d24fad_lite.files import data_uri, read_json_or_none, write_text
from d24fad_lite.lessons.numbering import number_of, words_of
from d24fad_lite.runs.html_parts import (
    Html,
    Rows,
    bar,
    duration,
    element,
    join,
    memory,
    number,
    pill,
    scrolling_table,
    table,
    text,
    void,
    words,
)
from d24fad_lite.runs.page_style import REPORT_CSS

# Entries of metrics.json that have a place of their own in the report, or none.
KNOWN = {
    *("schema", "notebook", "profile", "seed", "data", "seconds"),
    *("checks", "figures", "tables", "headline", "verdict"),
}
NOTHING = Html("")


def write_report(folder: Path) -> Path:
    """Write <folder>/report.html from <folder>/summary.json. Raises FileNotFoundError when there is no summary."""
    summary = read_json_or_none(folder / "summary.json")
    if summary is None:
        raise FileNotFoundError(
            f"{folder / 'summary.json'} is absent or damaged; run the series into this folder first"
        )
    entries = summary["notebooks"]
    metrics = {e["name"]: read_json_or_none(folder / e["name"] / "metrics.json") or {} for e in entries}
    titles = {e["name"]: _title(folder, e["name"]) for e in entries}
    failures = [e for e in entries if e["status"] != "completed"]
    parts = [
        _header(summary, metrics),
        _failures(failures, titles, summary.get("resume", "")) if failures else NOTHING,
        element("h2", text("Notebooks")),
        _overview(folder, entries, titles, metrics),
        element("h2", text("What each lesson showed"), id="showed") if any(metrics.values()) else NOTHING,
        _contents(titles, metrics),
        element("h2", text("Results")) if any(metrics.values()) else NOTHING,
        *(_results(folder, name, titles[name], values) for name, values in metrics.items() if values),
        _footer(),
    ]
    title = f"Notebook series, {summary['profile']}: {summary['status']}"
    write_text(folder / "report.html", _page(title, join(parts, "\n")))
    return folder / "report.html"


def _page(title: str, main: Html) -> str:
    head = join(
        [
            void("meta", charset="utf-8"),
            void("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("title", text(title)),
            element("style", Html(REPORT_CSS)),
        ]
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><main>\n{main}\n</main></body></html>\n'


def _header(summary: Mapping[str, Any], metrics: Mapping[str, Any]) -> Html:
    entries, machine = summary["notebooks"], summary["machine"]
    completed = sum(entry["status"] == "completed" for entry in entries)
    kinds = {values["data"] for values in metrics.values() if values.get("data")}
    data = "Synthetic samples." if kinds <= {"synthetic samples"} else "Your data."
    facts = {
        "completed": f"{completed} of {len(entries)}",
        "wall time": duration(summary["seconds"]),
        "sum of the notebooks": duration(sum(entry["seconds"] for entry in entries)),
        "peak memory": memory(max((entry["peak_mb"] for entry in entries), default=0)),
        "profile": summary["profile"],
        "started": summary["started"].replace("T", " ").replace("+00:00", " UTC"),
        "machine": f"{machine['cores']} cores, {machine['memory_gb']:.0f} GB",
    }
    cells = [_fact(name, value) for name, value in facts.items()]
    if summary.get("parameters"):
        parameters = ", ".join(f"{key} = {value}" for key, value in summary["parameters"].items())
        cells.append(_fact("parameters", parameters, "wide"))
    versions = [f"{name} {version}" for name, version in summary["versions"].items()]
    return join(
        [
            element("p", text("d24fad_lite · dual distillation for few-shot anomaly detection"), class_="kicker"),
            element("div", element("h1", text("Notebook series")), pill(summary["status"]), class_="title"),
            element("p", text(f"{data} Not for clinical use."), class_="notice"),
            element("dl", *cells, class_="facts"),
            element(
                "p",
                text(" · ".join([machine["system"], f"Python {machine['python']}", *versions])),
                class_="versions",
            ),
        ]
    )


def _fact(name: str, value: str, width: str = "") -> Html:
    return element("div", element("dt", text(name)), element("dd", text(value)), class_=width)


def _failures(entries: Sequence[Mapping[str, Any]], titles: Mapping[str, str], resume: str) -> Html:
    blocks = [element("h2", text("What went wrong"))]
    if resume:
        blocks += [element("p", text("To go on from here; what is completed is kept:")), element("pre", text(resume))]
    for entry in entries:
        heading = element("h3", text(f"{titles[entry['name']]} "), pill(entry["status"]))
        error = element("p", text(entry["error"] or "it was not reached"))
        blocks.append(element("section", heading, error, _failing_cell(entry.get("cell")), class_="card failure"))
    return join(blocks, "\n")


def _failing_cell(cell: Mapping[str, Any] | None) -> Html:
    if not cell:
        return NOTHING
    parts = [element("h4", text(f"Cell {cell['index']}")), element("pre", text(cell["source"]))]
    last_lines = "\n".join(cell["last_lines"])
    if last_lines.strip():
        parts += [element("h4", text("Its last lines")), element("pre", text(last_lines))]
    return join(parts)


def _overview(
    folder: Path,
    entries: Sequence[Mapping[str, Any]],
    titles: Mapping[str, str],
    metrics: Mapping[str, Mapping[str, Any]],
) -> Html:
    longest = max((entry["seconds"] for entry in entries), default=0) or 1
    largest = max((entry["peak_mb"] for entry in entries), default=0) or 1
    rows = []
    for entry in entries:
        note = entry["error"] or ("taken over from an earlier run" if entry["resumed"] else "")
        problem = element("div", text(note), class_="problem") if note else NOTHING
        name, seconds, megabytes = entry["name"], entry["seconds"], entry["peak_mb"]
        rows.append(
            element(
                "tr",
                element("td", _to_results(name, titles[name], metrics), problem),
                element("td", pill(entry["status"])),
                element("td", text(duration(seconds)), bar(seconds / longest), class_="number"),
                element("td", text(memory(megabytes)), bar(megabytes / largest), class_="number"),
                element("td", *_links(folder, name), class_="links number"),
            )
        )
    columns = {"notebook": "", "status": "", "time": "number", "peak memory": "number", "": ""}
    head = join(element("th", text(name), class_=kind) for name, kind in columns.items())
    return scrolling_table(head, join(rows), around="card scroll")


def _to_results(name: str, title: str, metrics: Mapping[str, Mapping[str, Any]]) -> Html:
    """A title that leads to the lesson's results further down the page, where it has any."""
    return element("a", text(title), href=f"#{quote(name)}") if metrics[name] else text(title)


def _links(folder: Path, name: str) -> list[Html]:
    targets = {"page": f"pages/{name}.html", "notebook": f"{name}.ipynb"}
    return [element("a", text(label), href=quote(path)) for label, path in targets.items() if (folder / path).is_file()]


def _results(folder: Path, name: str, title: str, metrics: Mapping[str, Any]) -> Html:
    parts = [element("h3", text(title), *_back())]
    if metrics.get("verdict"):
        parts.append(element("p", text(f"What this showed: {metrics['verdict']}"), class_="verdict"))
    if metrics.get("headline"):
        parts.append(element("p", text(metrics["headline"]), class_="headline"))
    for caption, rows in tables(metrics.get("tables")):
        parts += [element("h4", text(caption)) if caption else NOTHING, table(rows)]
    values = {k: v for k, v in metrics.items() if k not in KNOWN and isinstance(v, (int, float, str)) and v != ""}
    if values:
        items = [
            element("li", element("span", text(words(key))), text(f" {number(value)}")) for key, value in values.items()
        ]
        parts.append(element("ul", *items, class_="values"))
    pictures = [picture for file in metrics.get("figures", []) if (picture := _figure(folder / name, str(file)))]
    if pictures:
        parts.append(element("div", *pictures, class_="figures"))
    return element("section", *parts, class_="card results", id=name)


def _contents(titles: Mapping[str, str], metrics: Mapping[str, Any]) -> Html:
    """A list of the lessons with results, each a link to its own and with its verdict (or headline) beside it."""
    items = [
        element("li", _to_results(name, titles[name], metrics), *_said(values))
        for name, values in metrics.items()
        if values
    ]
    return element("nav", element("ul", *items), class_="card contents") if items else NOTHING


def _said(values: Mapping[str, Any]) -> list[Html]:
    said = values.get("verdict") or values.get("headline")
    return [element("div", text(said))] if said else []


def _back() -> list[Html]:
    return [element("a", text("contents"), href="#showed", class_="back")]


def tables(entry: Any) -> list[tuple[str, Rows]]:
    """(caption, rows) of a metrics.json's `tables`: title -> rows, a list of {"title", "rows"}, or one list of rows."""
    if isinstance(entry, Mapping):
        return [(str(title), rows) for title, rows in entry.items() if rows]
    if not isinstance(entry, list) or not entry:
        return []
    if all(isinstance(item, Mapping) and isinstance(item.get("rows"), list) for item in entry):
        return [(str(item.get("title", "")), item["rows"]) for item in entry if item["rows"]]
    return [("", entry)]


def _figure(folder: Path, file: str) -> Html:
    path = folder / Path(file).name  # only the notebook's own folder
    if not path.is_file():
        return NOTHING
    caption = words(path.stem)
    return element(
        "figure", void("img", alt=caption, src=data_uri(path.read_bytes())), element("figcaption", text(caption))
    )


def _title(folder: Path, name: str) -> str:
    """The notebook's own title, "04 · Dual distillation"; its name in words where that cannot be read."""
    notebook = read_json_or_none(folder / f"{name}.ipynb") or {}
    for cell in notebook.get("cells", []):
        for line in "".join(cell.get("source", "")).splitlines():
            if cell.get("cell_type") == "markdown" and line.startswith("# "):
                return line[2:].strip()
    return f"{number_of(name)} · {words(words_of(name))}"


def _footer() -> Html:
    return element(
        "footer",
        text(
            "Numbers of this page come from the notebooks' metrics.json and from summary.json beside it. Intervals "
            "are 95 % unless a table says otherwise. Memory is the sum over the kernel's processes."
        ),
    )
