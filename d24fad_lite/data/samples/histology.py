"""Stained histology: stroma, fibres and nuclei; the anomaly is tumour that replaces a large part of the tissue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from d24fad_lite.data.samples.canvas import Array, Camera, Canvas, mix, smoothstep

CAMERA = Camera(
    mean=(0.76, 0.56, 0.71),
    mean_spread=0.08,
    contrast=0.115,
    contrast_spread=0.13,
    tint_spread=0.03,
    blur=(0.003, 0.008),
    noise=(0.006, 0.018),
)

PINK = np.array([0.91, 0.68, 0.79], np.float32)
WHITE = np.array([0.96, 0.93, 0.95], np.float32)
CYTOPLASM = np.array([0.61, 0.50, 0.80], np.float32)  # with its pale borders about as light as stroma, but bluer
BORDER = np.array([0.98, 0.94, 0.98], np.float32)
CLEARED = np.array([0.85, 0.76, 0.90], np.float32)
PURPLE = np.array([0.42, 0.27, 0.56], np.float32)
SPACING = 0.135  # distance of the nuclei of ordinary tissue
CELL = 0.185  # distance of the cells of a tumour


@dataclass(frozen=True)
class Nucleus:
    """An ellipse, in coordinates of the canvas; `dark` is its opacity."""

    x: float
    y: float
    long: float
    short: float
    angle: float
    dark: float


def paint(
    canvas: Canvas, rng: np.random.Generator, lesion: np.random.Generator | None, severity: float
) -> tuple[Array, Array, Array, str]:
    """Scene [H, W, 3], field of view, lesion mask and kind."""
    scene = _stroma(canvas, rng)
    nuclei, grain = _ordinary_nuclei(rng), rng.spawn(1)[0]
    view = np.ones(scene.shape[:2], np.float32)
    if lesion is None:
        return _draw(canvas, grain, scene, nuclei), view, np.zeros(view.shape, bool), "normal"
    tumour = _tumour(canvas, lesion, severity)
    kept = [n for n in nuclei if tumour[_pixel(canvas, n.x, n.y)] > 1.05]
    scene, centres = _tumour_cells(canvas, lesion, _draw(canvas, grain, scene, kept), tumour, severity)
    scene = _draw(canvas, lesion, scene, _atypical_nuclei(lesion, centres, severity), atypia=severity)
    return scene, view, tumour < 1, "tumour"


def _tumour(canvas: Canvas, rng: np.random.Generator, severity: float) -> Array:
    """Normalised radius of the invaded field: broad, with tongues that push into the stroma."""
    cx, cy = rng.uniform(-0.45, 0.45, 2)
    field = canvas.blob(rng, cx, cy, rng.uniform(0.36, 0.44) + 0.32 * severity, 0.12)
    return field + 0.13 * canvas.texture(rng, 5, 2)


def _pixel(canvas: Canvas, x: float, y: float) -> tuple[int, int]:
    place = np.clip((np.array([y, x]) + 1) / 2 * canvas.side, 0, canvas.side - 1).astype(int)
    return int(place[0]), int(place[1])


def _stroma(canvas: Canvas, rng: np.random.Generator) -> Array:
    """Eosin with collagen fibres along a wavy direction, and pale gaps."""
    angle = rng.uniform(0, np.pi) + 0.5 * canvas.noise(rng, 2)
    along = canvas.x * np.cos(angle) + canvas.y * np.sin(angle)
    across = -canvas.x * np.sin(angle) + canvas.y * np.cos(angle)
    fibres = np.sin(across * rng.uniform(28, 46) + 2.2 * canvas.noise(rng, 6) + along)
    tone = 1 + 0.035 * fibres * rng.uniform(0.4, 1.4) + 0.035 * canvas.texture(rng, 5, 4)
    tone = tone + 0.03 * canvas.texture(rng, 40, 2)
    scene = PINK * tone[..., None] * np.exp(rng.normal(0, 0.02, 3))
    clefts = 0.2 * smoothstep((0.10 - np.abs(canvas.noise(rng, 7))) / 0.10)
    gaps = 0.15 * smoothstep((canvas.texture(rng, 6, 2) - rng.uniform(1.6, 2.0)) / 0.5)
    return mix(scene, np.broadcast_to(WHITE, scene.shape), np.maximum(clefts, gaps)).astype(np.float32)


def _tumour_cells(
    canvas: Canvas, rng: np.random.Generator, scene: Array, tumour: Array, severity: float
) -> tuple[Array, Array]:
    """Cells side by side, faint borders between them, in place of stroma; and the centres of the cells [N, 2]."""
    centres = _scattered(rng, SPACING * 1.05 + (CELL - SPACING * 1.05) * severity)
    places = np.stack([canvas.x, canvas.y], axis=-1).reshape(-1, 2)
    near = KDTree(centres).query(places, k=2)[0].reshape(*tumour.shape, 2).astype(np.float32)
    border = smoothstep((0.05 - (near[..., 1] - near[..., 0])) / 0.05)
    grain = (1 + 0.05 * canvas.texture(rng, 20, 3))[..., None]
    body = mix(CYTOPLASM * grain, np.broadcast_to(BORDER, scene.shape), border * 0.6)
    scene = mix(scene, body, smoothstep((1.05 - tumour) / 0.12) * (0.05 + 0.85 * severity))
    inside = [tumour[_pixel(canvas, x, y)] < 0.97 for x, y in centres]
    return scene.astype(np.float32), centres[inside]


def _ordinary_nuclei(rng: np.random.Generator) -> list[Nucleus]:
    """Small dark nuclei, a few of them long and pale (fibroblasts), here and there a tight group (lymphocytes)."""
    size = rng.uniform(0.037, 0.044)
    places = _scattered(rng, SPACING * rng.uniform(0.95, 1.15))
    groups = [
        rng.normal(rng.uniform(-0.9, 0.9, 2), rng.uniform(0.08, 0.16), (rng.integers(6, 16), 2))
        for _ in range(rng.integers(0, 2))
    ]
    places = np.concatenate([places, *groups])
    return [
        _nucleus(rng, *place, size * 1.15, roundness=0.5, dark=0.6, vary=0.10)
        if rng.random() < 0.15
        else _nucleus(rng, *place, size, roundness=0.92, dark=0.80, vary=0.08)
        for place in places
    ]


def _scattered(rng: np.random.Generator, spacing: float) -> Array:
    """Places [N, 2] on a grid of staggered rows, each moved at random: even, but with no pattern."""
    steps = np.arange(-1.2, 1.2, spacing)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1)
    grid[1::2, :, 0] += spacing / 2
    grid = grid.reshape(-1, 2)
    return grid + rng.normal(0, 0.28 * spacing, grid.shape)


def _nucleus(
    rng: np.random.Generator, x: float, y: float, size: float, *, roundness: float, dark: float, vary: float
) -> Nucleus:
    long = size * np.exp(rng.normal(0, vary))
    return Nucleus(
        float(x),
        float(y),
        long,
        short=long * roundness * rng.uniform(0.85, 1.0),
        angle=rng.uniform(0, np.pi),
        dark=float(np.clip(dark + rng.normal(0, 0.10), 0.25, 1)),
    )


def _atypical_nuclei(rng: np.random.Generator, centres: Array, severity: float) -> list[Nucleus]:
    """One to a cell: large, of uneven size and shape, unevenly dark."""
    return [
        _nucleus(
            rng,
            *(centre + rng.normal(0, 0.10 * CELL, 2)),
            0.042 + 0.022 * severity,
            roundness=rng.uniform(0.6, 1.0),
            dark=0.74 + 0.12 * severity,
            vary=0.10 + 0.14 * severity,
        )
        for centre in centres
    ]


def _draw(canvas: Canvas, rng: np.random.Generator, scene: Array, nuclei: list[Nucleus], atypia: float = 0.0) -> Array:
    """Lay nuclei over the scene, each in its own small window; `atypia` (0 to 1) roughens the outline, clears the
    chromatin off the middle and leaves a nucleolus there."""
    scene = scene.copy()
    chromatin = canvas.texture(rng, 40, 2)
    rough = canvas.noise(rng, 24)
    for nucleus in nuclei:
        reach = int(canvas.pixels(nucleus.long) * 1.5) + 2
        row, column = (int((v + 1) / 2 * canvas.side) for v in (nucleus.y, nucleus.x))
        rows = slice(max(row - reach, 0), min(row + reach + 1, canvas.side))
        columns = slice(max(column - reach, 0), min(column + reach + 1, canvas.side))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        dx, dy = canvas.x[rows, columns] - nucleus.x, canvas.y[rows, columns] - nucleus.y
        c, s = np.cos(nucleus.angle), np.sin(nucleus.angle)
        radius = np.hypot((c * dx + s * dy) / nucleus.long, (-s * dx + c * dy) / nucleus.short)
        radius = radius + (0.04 + 0.10 * atypia) * rough[rows, columns]
        alpha = smoothstep((1.12 - radius) / 0.24) * nucleus.dark
        tone = 1 + (0.10 + 0.10 * atypia) * chromatin[rows, columns] - 0.12 * smoothstep((radius - 0.6) / 0.3)
        stain = PURPLE * tone[..., None]
        cleared = smoothstep((0.72 - radius) / 0.25) * smoothstep((radius - 0.22) / 0.12)
        stain = mix(stain, np.broadcast_to(CLEARED, stain.shape), 0.8 * atypia * cleared)
        scene[rows, columns] = mix(scene[rows, columns], stain, alpha)
    return scene
