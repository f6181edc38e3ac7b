"""What the inspector says, as HTML: score and weights, and the comparison with random sets."""

from __future__ import annotations

import html

import numpy as np

from .live import LiveResult
from .overlay import data_uri
from .plots import choice_figure, png
from .quality import ChoiceReport


def facts_html(result: LiveResult, names: list[str]) -> str:
    """Score and verdict, and a table of weights per level with the effective number of supports."""
    levels = range(1, len(result.weights) + 1)
    over = "above" if result.score > result.threshold else "not above"
    head = "".join(f"<th scope=col>level {level}</th>" for level in levels)
    rows = "".join(f"<tr><th scope=row>{k} · {html.escape(name)}</th>{''.join(map(_bar_cell, column))}</tr>"
                   for k, (name, column) in enumerate(zip(names, result.weights.T, strict=True), start=1))
    foot = "".join(f"<td><b>{value:.2f}</b></td>" for value in result.effective)
    return (f'<div class="d24-large">score <b>{result.score:.3f}</b>, {over} the threshold {result.threshold:.3f}: '
            f"{result.verdict}</div>"
            f'<table class="d24-table"><caption style="text-align:left">weight of each support</caption>'
            f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody>"
            f"<tfoot><tr><th scope=row>effective K of {len(names)}</th>{foot}</tr></tfoot></table>"
            '<div class="d24-note">effective K = 1 / Σ w²: 1 when one support decides alone. The threshold is the 95 % '
            "quantile of normal training images that are not picked.</div>")


def quality_html(report: ChoiceReport) -> str:
    """The comparison as a figure with its text, the table of influences, and the warning that belongs to it."""
    head = "".join(f"<th scope=col>{key}</th>" for key in (report.rows() or [{}])[0])
    cells = "".join("<tr>" + "".join(f"<td>{html.escape(str(v))}</td>" for v in row.values()) + "</tr>"
                    for row in report.rows())
    summary = html.escape(report.summary())
    picture = data_uri(png(choice_figure(report), 80))
    part = "" if report.tested == report.total else f" Measured on {report.tested:,} of {report.total:,} test images."
    return (f'<div class="d24-large" role="status">{summary}.{part}</div>'
            f'<div class="d24-figure"><img src="{picture}" alt="{summary}"></div>'
            f'<table class="d24-table"><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table>'
            '<div class="d24-note">This looks at test labels. A choice made by it is optimistic on these test images; '
            "report it on others.</div>")


def _bar_cell(value: float) -> str:
    width = float(np.clip(100 * value, 0, 100))
    return (f'<td><span class="d24-track" aria-hidden="true"><span class="d24-fill" style="width:{width:.1f}%"></span>'
            f"</span>{value:.2f}</td>")


def status_line(text: str) -> str:
    """A sentence that screen readers announce when it changes; `text` is HTML."""
    return f'<div class="d24-status" role="status" aria-live="polite">{text}</div>'
