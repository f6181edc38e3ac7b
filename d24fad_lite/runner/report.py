"""report.html of a run: one self-contained page, from summary.json and the notebooks' metrics.json."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from d24fad_lite.runner.metrics import read_json, write_text
from d24fad_lite.runner.report_style import CSS

KNOWN = {"schema", "notebook", "profile", "seed", "data", "seconds", "checks", "figures", "tables", "headline"}
SYMBOLS = {"completed": "✓", "failed": "✕", "died": "✕", "timeout": "✕"}
Rows = Sequence[Mapping[str, Any]]


def write_report(folder: Path) -> Path:
    """Write <folder>/report.html from <folder>/summary.json. Raises FileNotFoundError when there is no summary."""
    summary = read_json(folder / "summary.json")
    if summary is None:
        raise FileNotFoundError(
            f"{folder / 'summary.json'} is absent or damaged; run the series into this folder first"
        )
    metrics = {
        entry["name"]: read_json(folder / entry["name"] / "metrics.json") or {} for entry in summary["notebooks"]
    }
    titles = {entry["name"]: _title(folder, entry["name"]) for entry in summary["notebooks"]}
    failures = [entry for entry in summary["notebooks"] if entry["status"] != "completed"]
    parts = [
        _header(summary, metrics),
        _failures(failures, titles) if failures else "",
        "<h2>Notebooks</h2>",
        _overview(folder, summary["notebooks"], titles),
        "<h2>Results</h2>" if any(metrics.values()) else "",
        *(_results(folder, name, titles[name], values) for name, values in metrics.items() if values),
        _footer(),
    ]
    name = f"Notebook series, {summary['profile']}"
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(name)}: {escape(summary['status'])}</title><style>{CSS}</style></head>\n"
        f"<body><main>\n{chr(10).join(part for part in parts if part)}\n</main></body></html>\n"
    )
    write_text(folder / "report.html", page)
    return folder / "report.html"


def _header(summary: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    entries, machine = summary["notebooks"], summary["machine"]
    done = sum(entry["status"] == "completed" for entry in entries)
    kinds = {values["data"] for values in metrics.values() if values.get("data")}
    data = "Synthetic samples." if kinds <= {"synthetic samples"} else "Your data."
    facts = {
        "completed": f"{done} of {len(entries)}",
        "notebook time": duration(sum(entry["seconds"] for entry in entries)),
        "largest peak memory": memory(max((entry["peak_mb"] for entry in entries), default=0)),
        "profile": summary["profile"],
        "started": summary["started"].replace("T", " ").replace("+00:00", " UTC"),
        "machine": f"{machine['cores']} cores, {machine['memory_gb']:.0f} GB",
    }
    cells = "".join(f"<div><dt>{key}</dt><dd>{escape(str(value))}</dd></div>" for key, value in facts.items())
    if summary.get("parameters"):
        given = ", ".join(f"{key} = {value}" for key, value in summary["parameters"].items())
        cells += f'<div class="wide"><dt>parameters</dt><dd>{escape(given)}</dd></div>'
    versions = " · ".join(
        [machine["system"], f"Python {machine['python']}", *(f"{k} {v}" for k, v in summary["versions"].items())]
    )
    return (
        '<p class="kicker">d24fad_lite · dual distillation for few-shot anomaly detection</p>'
        f'<div class="title"><h1>Notebook series</h1>{pill(summary["status"])}</div>'
        f'<p class="notice">{data} Not for clinical use.</p>'
        f'<dl class="facts">{cells}</dl><p class="versions">{escape(versions)}</p>'
    )


def _failures(entries: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> str:
    blocks = ["<h2>What went wrong</h2>"]
    for entry in entries:
        cell = entry.get("cell")
        detail = ""
        if cell:
            lines = "\n".join(cell["last_lines"])
            detail = f"<h4>Cell {cell['index']}</h4><pre>{escape(cell['source'])}</pre>"
            detail += f"<h4>Its last lines</h4><pre>{escape(lines)}</pre>" if lines.strip() else ""
        blocks.append(
            f'<section class="card failure"><h3>{escape(titles[entry["name"]])} {pill(entry["status"])}</h3>'
            f"<p>{escape(entry['error'] or 'it was not reached')}</p>{detail}</section>"
        )
    return "\n".join(blocks)


def _overview(folder: Path, entries: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> str:
    longest = max((entry["seconds"] for entry in entries), default=0) or 1
    largest = max((entry["peak_mb"] for entry in entries), default=0) or 1
    rows = []
    for entry in entries:
        name = entry["name"]
        targets = {"page": f"pages/{name}.html", "notebook": f"{name}.ipynb"}
        links = "".join(f'<a href="{path}">{label}</a>' for label, path in targets.items() if (folder / path).is_file())
        note = entry["error"] or ("taken over from an earlier run" if entry["resumed"] else "")
        problem = f'<div class="problem">{escape(note)}</div>' if note else ""
        rows.append(
            f"<tr><td>{escape(titles[name])}{problem}</td><td>{pill(entry['status'])}</td>"
            f'<td class="number">{duration(entry["seconds"])}{bar(entry["seconds"] / longest)}</td>'
            f'<td class="number">{memory(entry["peak_mb"])}{bar(entry["peak_mb"] / largest)}</td>'
            f'<td class="links number">{links}</td></tr>'
        )
    head = '<th>notebook</th><th>status</th><th class="number">time</th><th class="number">peak memory</th><th></th>'
    return f'<div class="card scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _results(folder: Path, name: str, title: str, metrics: Mapping[str, Any]) -> str:
    parts = [f'<section class="card results" id="{escape(name)}"><h3>{escape(title)}</h3>']
    if metrics.get("headline"):
        parts.append(f'<p class="headline">{escape(str(metrics["headline"]))}</p>')
    parts += [
        f"<h4>{escape(caption)}</h4>{rows_table(rows)}" if caption else rows_table(rows)
        for caption, rows in tables(metrics.get("tables"))
    ]
    values = {k: v for k, v in metrics.items() if k not in KNOWN and isinstance(v, (int, float, str)) and v != ""}
    if values:
        items = (f"<li><span>{escape(words(k))}</span> {escape(number(v))}</li>" for k, v in values.items())
        parts.append(f'<ul class="values">{"".join(items)}</ul>')
    pictures = [picture for file in metrics.get("figures", []) if (picture := _figure(folder / name, str(file)))]
    if pictures:
        parts.append(f'<div class="figures">{"".join(pictures)}</div>')
    return "".join([*parts, "</section>"])


def tables(entry: Any) -> list[tuple[str, Rows]]:
    """(caption, rows) of a metrics.json's `tables`: title -> rows, a list of {"title", "rows"}, or one list of rows."""
    if isinstance(entry, Mapping):
        return [(str(title), rows) for title, rows in entry.items() if rows]
    if not isinstance(entry, list) or not entry:
        return []
    if all(isinstance(item, Mapping) and isinstance(item.get("rows"), list) for item in entry):
        return [(str(item.get("title", "")), item["rows"]) for item in entry if item["rows"]]
    return [("", entry)]


def rows_table(rows: Rows) -> str:
    """A list of row dicts as an HTML table: columns in order of first appearance, numbers to the right."""
    rows = [row for row in rows if isinstance(row, Mapping)]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    numeric = {c for c in columns if all(isinstance(row.get(c), (int, float, type(None))) for row in rows)}
    mark = {column: ' class="number"' if column in numeric else "" for column in columns}
    head = "".join(f"<th{mark[column]}>{escape(words(column))}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td{mark[c]}>{escape(number(row.get(c)))}</td>" for c in columns) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _figure(folder: Path, file: str) -> str:
    path = folder / Path(file).name  # only the notebook's own folder
    if not path.is_file():
        return ""
    image = base64.b64encode(path.read_bytes()).decode()
    caption = words(path.stem)
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{image}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _title(folder: Path, name: str) -> str:
    """The notebook's own title, "04 · Dual distillation"; its name in words where that cannot be read."""
    notebook = read_json(folder / f"{name}.ipynb") or {}
    for cell in notebook.get("cells", []):
        for line in "".join(cell.get("source", "")).splitlines():
            if cell.get("cell_type") == "markdown" and line.startswith("# "):
                return line[2:].strip()
    return f"{name[:2]} · {words(name[3:])}"


def _footer() -> str:
    return (
        "<footer>Numbers of this page come from the notebooks' metrics.json and from summary.json beside it. Intervals "
        "are 95 % unless a table says otherwise. Memory is the sum over the kernel's processes.</footer>"
    )


def pill(status: str) -> str:
    """A status as a coloured word with a sign, so that colour is not the only carrier."""
    return f'<span class="pill {escape(status.replace(" ", "-"))}">{SYMBOLS.get(status, "·")} {escape(status)}</span>'


def bar(share: float) -> str:
    """A thin bar, `share` of a fixed width."""
    return f'<span class="bar" style="width:{max(2, round(72 * share))}px"></span>'


def words(name: str) -> str:
    """image_auroc -> image auroc."""
    return str(name).replace("_", " ")


def number(value: Any) -> str:
    """Three decimals for floats (three digits when tiny), a dash for None, anything else as text."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if 0 < abs(value) < 0.01 else f"{value:.3f}".rstrip("0").rstrip(".") or "0"
    return str(value)


def duration(seconds: float) -> str:
    """12.3 s, 4 min 05 s, 2 h 10 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:02.0f} min"


def memory(megabytes: float) -> str:
    """850 MB, 1.4 GB."""
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"
