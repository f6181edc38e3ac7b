"""An executed notebook as one HTML page that follows the reader's light or dark setting."""

from __future__ import annotations

import re
from pathlib import Path

from d24fad_lite.runner.metrics import write_text

# Plots are opaque light cards (runner/style.py), so only the page around them changes with the scheme.
PAGE_STYLE = """
body { max-width: 62rem; margin: 0 auto !important; padding: 1.5rem 1rem 4rem !important; }
.jp-RenderedHTMLCommon { overflow-wrap: break-word; }
math { font-size: 1.15em; }
.jp-OutputArea-output img { max-width: 100%; height: auto; border-radius: 6px; }
.jp-OutputArea-output { overflow-x: auto; }
.jp-InputArea-editor { overflow-x: auto !important; }
.jp-RenderedText[data-mime-type="application/vnd.jupyter.stderr"] { background: transparent; opacity: .7; }
.jp-Cell-inputWrapper, .jp-CodeMirrorEditor, .highlight { max-width: 100%; }
@media (max-width: 900px) {
  .jp-InputPrompt, .jp-OutputPrompt { display: none !important; }
  body { padding: .75rem .5rem 3rem !important; }
}
"""

# A code block or span (kept as it is), a displayed formula, a formula within a line.
FORMULA = re.compile(
    r"(?P<code>```.*?```|`[^`\n]+`)"
    r"|\$\$(?P<display>.+?)\$\$"
    r"|(?<![\\$\w])\$(?=\S)(?P<inline>[^$\n]+?)(?<=\S)\$(?!\w)",
    re.DOTALL,
)


def write_page(notebook: Path, page: Path) -> Path | None:
    """Write `page` from an .ipynb; None, and no file, where nbconvert is not installed.

    Everything is inside the page; formulas are MathML, which browsers draw by themselves.
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
    text, _resources = exporter.from_notebook_node(content)
    title = notebook.stem.replace("_", " ")
    style = f"<style>{PAGE_STYLE}{_dark_theme(exporter)}</style>"
    text = text.replace("<title>Notebook</title>", f"<title>{title}</title>", 1)
    head, end, body = text.partition("</head>")
    write_text(page, f'{head}<meta name="color-scheme" content="light dark">{style}{end}{body}')
    return page


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


def _dark_theme(exporter: object) -> str:
    """JupyterLab's dark variables under a media query; empty where the template has no such file."""
    for folder in exporter.template_paths:  # type: ignore[attr-defined]
        path = Path(folder) / "static" / "theme-dark.css"
        if path.is_file():
            return f"@media (prefers-color-scheme: dark) {{\n{path.read_text(encoding='utf-8')}\n}}"
    return ""
