"""Pieces of HTML: every text that comes from outside is escaped here, once, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, NewType

from d24fad_lite.messages import in_html, printable_lines

Html = NewType("Html", str)  # text that is HTML already
Rows = Sequence[Mapping[str, Any]]

SYMBOLS = {"completed": "✓", "failed": "✕", "died": "✕", "timeout": "✕"}


def text(value: object) -> Html:
    """A plain text, of one line or several, as HTML."""
    return Html(escape(printable_lines(str(value))))


def void(tag: str, **attributes: object) -> Html:
    """<tag attribute="value">, for tags without content such as img; attributes as of `element`."""
    shown = "".join(f' {name.rstrip("_")}="{in_html(value)}"' for name, value in attributes.items() if value != "")
    return Html(f"<{tag}{shown}>")


def element(tag: str, *content: Html, **attributes: object) -> Html:
    """<tag attribute="value">content</tag>; `class_` stands for class, an attribute of "" is left out."""
    return Html(f"{void(tag, **attributes)}{''.join(content)}</{tag}>")


def join(pieces: Iterable[Html], between: str = "") -> Html:
    """The pieces one after the other; empty ones are left out."""
    return Html(between.join(piece for piece in pieces if piece))


def pill(status: str) -> Html:
    """A status as a coloured word with a sign, so that colour is not the only carrier."""
    return element("span", text(f"{SYMBOLS.get(status, '·')} {status}"), class_=f"pill {status.replace(' ', '-')}")


def bar(share: float) -> Html:
    """A thin bar, `share` (0 to 1) of a fixed width."""
    return element("span", class_="bar", style=f"width:{max(2, round(72 * share))}px")


def table(rows: Rows) -> Html:
    """A list of row dicts as a table: columns in order of first appearance, numbers to the right."""
    rows = [row for row in rows if isinstance(row, Mapping)]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    numeric = {c for c in columns if all(isinstance(row.get(c), (int, float, type(None))) for row in rows)}
    mark = {column: "number" if column in numeric else "" for column in columns}
    head = join(element("th", text(words(column)), class_=mark[column]) for column in columns)
    body = join(
        element("tr", *(element("td", text(number(row.get(c))), class_=mark[c]) for c in columns)) for row in rows
    )
    return scrolling_table(head, body)


def scrolling_table(head: Html, body: Html, around: str = "scroll") -> Html:
    """A table in a box that scrolls sideways on a narrow screen: the cells of its head, and the rows of its body."""
    inner = element("table", element("thead", element("tr", head)), element("tbody", body))
    return element("div", inner, class_=around)


def words(name: object) -> str:
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
