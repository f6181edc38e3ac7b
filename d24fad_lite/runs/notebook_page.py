"""An executed notebook as one HTML page that follows the reader's light or dark setting."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from d24fad_lite.files import data_uri, write_text
from d24fad_lite.runs.html_parts import Html, element, join, text, void, words
from d24fad_lite.runs.page_style import NOTEBOOK_CSS

# A code block or span (kept as it is), a displayed formula, a formula within a line.
FORMULA = re.compile(
    r"(?P<code>```.*?```|`[^`\n]+`)"
    r"|\$\$(?P<display>.+?)\$\$"
    r"|(?<![\\$\w])\$(?=\S)(?P<inline>[^$\n]+?)(?<=\S)\$(?!\w)",
    re.DOTALL,
)
# What the converter writes out as letters (a size before a named bracket, `\arg`) or with a sign that many fonts lack,
# in words that it knows.
KNOWN_WORDS = (
    (re.compile(r"\\[bB]igg?[lr]?(?=\\[a-zA-Z])"), ""),
    (re.compile(r"\\arg(?![a-zA-Z])"), r"\\mathrm{arg}\\,"),
    (re.compile(r"\\setminus(?![a-zA-Z])"), r"\\smallsetminus "),
)
# A picture that lies beside the lesson.
PICTURE = re.compile(r"!\[(?P<alt>[^\]]*)\]\((?P<name>[\w-]+\.png)\)")
# Where `link_pages` puts its links; empty on a page of its own.
NAVIGATION = re.compile(r'<nav class="series">.*?</nav>')


def write_page(notebook: Path, page: Path, pictures: Path | None = None) -> Path | None:
    """Write `page` from an .ipynb; None, and no file, where nbconvert is not installed.

    Everything is inside the page, the pictures too that its texts take from the folder `pictures` (default: the
    notebook's own); formulas are MathML, which browsers draw by themselves.
    """
    try:
        from nbconvert import HTMLExporter
    except ImportError:
        return None
    import nbformat

    content = nbformat.read(notebook, as_version=4)
    for cell in content.cells:
        if cell.cell_type == "markdown":
            cell.source = with_pictures(with_mathml(cell.source), pictures or notebook.parent)
    exporter = HTMLExporter(template_name="lab", theme="light")
    exported, _resources = exporter.from_notebook_node(content)
    title = element("title", text(words(notebook.stem)))
    head, end, body = exported.replace("<title>Notebook</title>", title, 1).partition("</head>")
    scheme = void("meta", name="color-scheme", content="light dark")
    style = element("style", Html(f"{NOTEBOOK_CSS}{_dark_theme(exporter.template_paths)}"))
    empty = element("nav", class_="series")
    body = re.sub(r"(<body[^>]*>)(.*)(</body>)", rf"\1{empty}\2{empty}\3", body, flags=re.DOTALL)
    write_text(page, f"{head}{scheme}{style}{end}{body}")
    return page


def link_pages(pages: Path, names: Sequence[str]) -> None:
    """Lead from each page to the one before, the one after and the report above them, at its top and at its end.

    pages : folder; one that was not run has no page there, and is passed over
    names : of the notebooks, in the order of the series
    """
    there = [name for name in names if (pages / f"{name}.html").is_file()]
    for at, name in enumerate(there):
        page = pages / f"{name}.html"
        links = _neighbours(there[max(at - 1, 0) : at], there[at + 1 : at + 2])
        write_text(page, links.join(NAVIGATION.split(page.read_text(encoding="utf-8"))))


def _neighbours(before: Sequence[str], after: Sequence[str]) -> Html:
    """Links to at most one page before and one after, and to the report between them."""
    back = [element("a", text(f"← {words(name)}"), href=f"{quote(name)}.html") for name in before]
    onwards = [element("a", text(f"{words(name)} →"), href=f"{quote(name)}.html") for name in after]
    report = element("a", text("report"), href="../report.html")
    places = [element("span", join(links)) for links in (back, [report], onwards)]
    return element("nav", *places, class_="series")


def with_mathml(markdown: str) -> str:
    """The text with its TeX formulas as MathML; one that cannot be translated stays TeX, for MathJax."""
    from latex2mathml.converter import convert

    def translated(match: re.Match[str]) -> str:
        if match["code"] is not None:
            return match.group()
        kind = "block" if match["display"] is not None else "inline"
        tex = " ".join((match["display"] or match["inline"]).split())
        for word, known in KNOWN_WORDS:
            tex = word.sub(known, tex)
        try:
            return convert(tex, display=kind)
        except Exception:  # the converter raises many kinds; the formula itself is still there to read
            return match.group()

    return FORMULA.sub(translated, markdown)


def with_pictures(markdown: str, folder: Path) -> str:
    """The text with its PNG pictures of a folder inside it; what is not there stays a link."""

    def inside(match: re.Match[str]) -> str:
        picture = folder / match["name"]
        if not picture.is_file():
            return match.group()
        return f"![{match['alt']}]({data_uri(picture.read_bytes())})"

    return PICTURE.sub(inside, markdown)


def _dark_theme(template_paths: Iterable[str]) -> str:
    """JupyterLab's dark variables under a media query; empty where the template has no such file."""
    for folder in template_paths:
        path = Path(folder) / "static" / "theme-dark.css"
        if path.is_file():
            return f"@media (prefers-color-scheme: dark) {{\n{path.read_text(encoding='utf-8')}\n}}"
    return ""
