"""An executed notebook as one HTML page that follows the reader's light or dark setting."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from d24fad_lite.files import write_text
from d24fad_lite.runs.html_parts import Html, element, join, text, void, words
from d24fad_lite.runs.page_style import NOTEBOOK_CSS

# A code block or span (kept as it is), a displayed formula, a formula within a line.
FORMULA = re.compile(
    r"(?P<code>```.*?```|`[^`\n]+`)"
    r"|\$\$(?P<display>.+?)\$\$"
    r"|(?<![\\$\w])\$(?=\S)(?P<inline>[^$\n]+?)(?<=\S)\$(?!\w)",
    re.DOTALL,
)


def write_page(notebook: Path, page: Path, series: Sequence[str] = ()) -> Path | None:
    """Write `page` from an .ipynb; None, and no file, where nbconvert is not installed.

    Everything is inside the page; formulas are MathML, which browsers draw by themselves.

    series : names of the notebooks of a run, whose pages lie side by side: links lead to the one before, the one after,
        and the report above them
    """
    try:
        from nbconvert import HTMLExporter
    except ImportError:
        return None
    import nbformat

    content = nbformat.read(notebook, as_version=4)
    for cell in content.cells:
        if cell.cell_type == "markdown":
            cell.source = with_mathml(cell.source)
    exporter = HTMLExporter(template_name="lab", theme="light")
    exported, _resources = exporter.from_notebook_node(content)
    title = element("title", text(words(notebook.stem)))
    head, end, body = exported.replace("<title>Notebook</title>", title, 1).partition("</head>")
    scheme = void("meta", name="color-scheme", content="light dark")
    style = element("style", Html(f"{NOTEBOOK_CSS}{_dark_theme(exporter.template_paths)}"))
    links = _neighbours(notebook.stem, series)
    body = re.sub(r"(<body[^>]*>)(.*)(</body>)", lambda m: f"{m[1]}{links}{m[2]}{links}{m[3]}", body, flags=re.DOTALL)
    write_text(page, f"{head}{scheme}{style}{end}{body}")
    return page


def _neighbours(name: str, series: Sequence[str]) -> Html:
    """Links to the pages before and after, and to the report between them; nothing for a notebook on its own."""
    if name not in series:
        return Html("")
    at = list(series).index(name)
    before = [element("a", text(f"← {words(other)}"), href=f"{other}.html") for other in series[max(at - 1, 0) : at]]
    after = [element("a", text(f"{words(other)} →"), href=f"{other}.html") for other in series[at + 1 : at + 2]]
    report = element("a", text("report"), href="../report.html")
    place = [element("span", join(links)) for links in (before, [report], after)]
    return element("nav", *place, class_="series")


def with_mathml(markdown: str) -> str:
    """The text with its TeX formulas as MathML; one that cannot be translated stays TeX, for MathJax."""
    from latex2mathml.converter import convert

    def translated(match: re.Match[str]) -> str:
        if match["code"] is not None:
            return match.group()
        kind = "block" if match["display"] is not None else "inline"
        tex = " ".join((match["display"] or match["inline"]).split())
        try:
            return convert(tex, display=kind)
        except Exception:  # the converter raises many kinds; the formula itself is still there to read
            return match.group()

    return FORMULA.sub(translated, markdown)


def _dark_theme(template_paths: Iterable[str]) -> str:
    """JupyterLab's dark variables under a media query; empty where the template has no such file."""
    for folder in template_paths:
        path = Path(folder) / "static" / "theme-dark.css"
        if path.is_file():
            return f"@media (prefers-color-scheme: dark) {{\n{path.read_text(encoding='utf-8')}\n}}"
    return ""
