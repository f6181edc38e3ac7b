"""What the inspector says, as HTML: score and weights, and the comparison with random sets."""

from __future__ import annotations

import numpy as np

from d24fad_lite.figures.plots import choice_figure, png
from d24fad_lite.files import data_uri
from d24fad_lite.messages import in_html
from d24fad_lite.supports.influence import ChoiceReport
from d24fad_lite.supports.live import LiveResult


def facts_html(result: LiveResult, names: list[str], threshold_text: str) -> str:
    """Score and verdict, the weights per level with the effective number of supports, and what the threshold is."""
    levels = range(1, len(result.weights) + 1)
    head = "".join(f"<th scope=col>level {level}</th>" for level in levels)
    rows = "".join(
        f"<tr>{_name_cell(k, name)}{''.join(map(_bar_cell, column))}</tr>"
        for k, (name, column) in enumerate(zip(names, result.weights.T, strict=True), start=1)
    )
    foot = "".join(f"<td><b>{value:.2f}</b></td>" for value in result.effective)
    return (
        f'<div class="d24-large">score <b>{result.score:.3f}</b>{_against_threshold(result)}</div>'
        f'<div class="d24-wide"><table class="d24-table"><caption>weight of each support</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody>"
        f"<tfoot><tr><th scope=row>effective K of {len(names)}</th>{foot}</tr></tfoot></table></div>"
        '<div class="d24-note">effective K = 1 / Σ w²: 1 when one support decides alone. '
        f"{in_html(threshold_text)}</div>"
    )


def _against_threshold(result: LiveResult) -> str:
    """Where the score lies and what follows from it; empty where there is no threshold."""
    if result.threshold is None:
        return ""
    over = "above" if result.score > result.threshold else "not above"
    return f", {over} the threshold {result.threshold:.3f}: {result.verdict}"


def quality_html(report: ChoiceReport, names: list[str]) -> str:
    """The comparison as a figure with its text, influences, flagged supports, and the warning that belongs to it.

    names : of the supports, in the order of `report.influence`.
    """
    summary = in_html(report.summary())
    picture = data_uri(png(choice_figure(report, influence=False), 80))
    part = "" if report.tested == report.total else f" Measured on {report.tested:,} of {report.total:,} test images."
    return (
        f'<div class="d24-large" role="status">{summary}.{part}</div>'
        f'<div class="d24-figure"><img src="{picture}" alt="{summary}"></div>'
        f"{_influence_html(report, names) if report.influence else ''}"
        '<div class="d24-note">This looks at test labels. A choice made by it is optimistic on these test images; '
        "report it on others.</div>"
    )


def _influence_html(report: ChoiceReport, names: list[str]) -> str:
    """Numbers per support as a table, and a sentence for each one that should be looked at."""
    numbered = list(zip(range(1, len(names) + 1), names, report.influence, strict=True))
    head = "".join(f"<th scope=col>{text}</th>" for text in ("AUROC without it", "its influence", "mean weight"))
    rows = "".join(
        f"<tr>{_name_cell(k, name)}<td>{i.auroc_without:.3f}</td><td>{i.change:+z.3f}</td><td>{i.share:.2f}</td></tr>"
        for k, name, i in numbered
    )
    flags = "".join(
        f"<li><b>Look at {k} · {in_html(name)}</b>: {in_html('; '.join(i.flags))}.</li>"
        for k, name, i in numbered
        if i.flags
    )
    said = f'<ul class="d24-flags">{flags}</ul>' if flags else '<div class="d24-note">No support stands out.</div>'
    return (
        '<div class="d24-wide"><table class="d24-table"><caption>influence of each support</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>{said}"
    )


def _name_cell(number: int, name: str) -> str:
    """Head of a row: a support's number and name; a long name wraps."""
    name = in_html(name)
    return f'<th scope="row" class="d24-name" title="{name}">{number} · {name}</th>'


def _bar_cell(value: float) -> str:
    width = float(np.clip(100 * value, 0, 100))
    return (
        f'<td><span class="d24-track" aria-hidden="true"><span class="d24-fill" style="width:{width:.1f}%"></span>'
        f"</span>{value:.2f}</td>"
    )


def status_line(text: str) -> str:
    """A sentence that screen readers announce when it changes; `text` is HTML."""
    return f'<div class="d24-status" role="status" aria-live="polite">{text}</div>'
