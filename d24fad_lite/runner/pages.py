"""An executed notebook as one HTML page that follows the reader's light or dark setting."""

from __future__ import annotations

from pathlib import Path

from d24fad_lite.runner.metrics import write_text

# Plots are opaque light cards (runner/style.py), so only the page around them changes with the scheme.
PAGE_STYLE = """
body { max-width: 62rem; margin: 0 auto !important; padding: 1.5rem 1rem 4rem !important; }
.jp-RenderedHTMLCommon { overflow-wrap: break-word; }
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


def write_page(notebook: Path, page: Path) -> Path | None:
    """Write `page` from an .ipynb; None, and no file, where nbconvert is not installed.

    Formulas are drawn by MathJax from the network; everything else is inside the page.
    """
    try:
        from nbconvert import HTMLExporter
    except ImportError:
        return None
    exporter = HTMLExporter(template_name="lab", theme="light")
    text, _resources = exporter.from_filename(str(notebook))
    title = notebook.stem.replace("_", " ")
    style = f"<style>{PAGE_STYLE}{_dark_theme(exporter)}</style>"
    text = text.replace("<title>Notebook</title>", f"<title>{title}</title>", 1)
    head, end, body = text.partition("</head>")
    write_text(page, f'{head}<meta name="color-scheme" content="light dark">{style}{end}{body}')
    return page


def _dark_theme(exporter: object) -> str:
    """JupyterLab's dark variables under a media query; empty where the template has no such file."""
    for folder in exporter.template_paths:  # type: ignore[attr-defined]
        path = Path(folder) / "static" / "theme-dark.css"
        if path.is_file():
            return f"@media (prefers-color-scheme: dark) {{\n{path.read_text(encoding='utf-8')}\n}}"
    return ""
