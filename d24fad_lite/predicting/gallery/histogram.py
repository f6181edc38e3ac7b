"""All scores as a histogram in SVG, with the supports' own scores and the threshold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 198, 12, 12, 26, 34
MOST_BINS = 40


def bins_of(scores: Sequence[float], also: Sequence[float] = ()) -> tuple[np.ndarray, np.ndarray]:
    """Counts [N] and edges [N + 1] of the scores; the axis reaches to the values in `also`, too."""
    values = np.asarray([*scores, *also], np.float64)
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if high <= low:
        low, high = low - 0.5 * max(abs(low), 1e-6), high + 0.5 * max(abs(high), 1e-6)
    bins = int(np.clip(np.ceil(2 * np.sqrt(max(len(scores), 1))), 5, MOST_BINS))
    return np.histogram(scores, bins=bins, range=(low, high))


def histogram_svg(scores: Sequence[float], supports: Sequence[float], threshold: float | None) -> str:
    """The figure; colours come from the page's style sheet, and `histogram_key` says what is what."""
    marks = [*supports, *([threshold] if threshold is not None else [])]
    counts, edges = bins_of(scores, marks)
    floor = HEIGHT - BOTTOM

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - edges[0]) / (edges[-1] - edges[0])

    above = [] if threshold is None else [score for score in scores if score > threshold]
    alarms = np.histogram(above, bins=edges)[0]  # a bar that the threshold divides shows its alarms below the rest
    parts = []
    for count, alarm, left, right in zip(counts, alarms, edges, edges[1:]):
        for kind, low, high in (("above", 0, alarm), ("bar", alarm, count)):
            if high > low:
                base, height = (((floor - TOP) * part / counts.max()) for part in (low, high - low))
                parts.append(
                    f'<rect class="{kind}" x="{x(left):.1f}" y="{floor - base - height:.1f}" '
                    f'width="{max(x(right) - x(left) - 1, 0.5):.1f}" height="{height:.1f}"/>'
                )
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{floor}" y2="{floor}"/>')
    for value in supports:
        tip = x(value)
        parts.append(
            f'<path class="tick" d="M{tip:.1f} {floor + 2} l-4 9 h8 z"><title>support: {value:.4g}</title></path>'
        )
    for value, anchor in ((edges[0], "start"), (edges[-1], "end")):
        parts.append(f'<text x="{x(value):.1f}" y="{HEIGHT - 5}" text-anchor="{anchor}">{value:.4g}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 5}" text-anchor="middle">image score</text>')
    if threshold is not None:
        at = x(threshold)
        anchor, shift = ("end", -6) if at > WIDTH / 2 else ("start", 6)
        ends = f'x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 18}" y2="{floor}"'
        parts.append(f'<line class="halo" {ends}/><line class="threshold" {ends}/>')  # seen also over its own colour
        parts.append(
            f'<text class="threshold" x="{at + shift:.1f}" y="{TOP - 10}" text-anchor="{anchor}">'
            f"threshold {threshold:.4g}</text>"
        )
    said = f"Histogram of {len(scores)} scores from {edges[0]:.4g} to {edges[-1]:.4g}"
    said += f", threshold at {threshold:.4g}" if threshold is not None else ", no threshold"
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{said}">{"".join(parts)}</svg>'


def histogram_key(scores: Sequence[float], supports: Sequence[float], threshold: float | None) -> str:
    """What the height of the bars and the triangles mean, in HTML: text in the figure would shrink with it."""
    marks = [*supports, *([threshold] if threshold is not None else [])]
    most = int(bins_of(scores, marks)[0].max())
    said = f"The highest bar holds {most} image{'' if most == 1 else 's'}."
    if not supports:
        return said
    several = "scores of the supports, each against the others"
    marked = several if len(supports) > 1 else "score of the support's mirror image"
    return f'{said} <span class="tick">▲</span> {marked}.'
