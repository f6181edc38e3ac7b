"""Stained histology: stroma, fibres and nuclei; the anomaly is a nest of atypical nuclei."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from .canvas import Array, Camera, Canvas, mix, smoothstep

CAMERA = Camera(mean=(0.76, 0.56, 0.71), mean_spread=0.05, contrast=0.125, contrast_spread=0.10, tint_spread=0.03,
                blur=(0.003, 0.008), noise=(0.006, 0.018))

PINK = np.array([0.91, 0.68, 0.79], np.float32)
WHITE = np.array([0.96, 0.93, 0.95], np.float32)
CYTOPLASM = np.array([0.76, 0.56, 0.76], np.float32)
BORDER = np.array([0.97, 0.86, 0.93], np.float32)
CLEARED = np.array([0.80, 0.70, 0.86], np.float32)
PURPLE = np.array([0.42, 0.27, 0.56], np.float32)
CELL = 0.21  # distance of the cells of a nest


def paint(canvas: Canvas, rng: np.random.Generator, lesion: np.random.Generator | None,
          severity: float) -> tuple[Array, Array, Array, str]:
    """Scene [H, W, 3], field of view, lesion mask and kind."""
    scene = _stroma(canvas, rng)
    nuclei = _ordinary_nuclei(rng)
    mask, kind = np.zeros(scene.shape[:2], bool), "normal"
    if lesion is not None:
        kind = "atypia"
        cx, cy = lesion.uniform(-0.55, 0.55, 2)
        nest = canvas.blob(lesion, cx, cy, lesion.uniform(0.35, 0.45 + 0.35 * severity), 0.25)
        mask = nest < 1
        kept = [n for n in nuclei if nest[_pixel(canvas, n[0], n[1])] > 1.05]
        scene, centres = _tumour_cells(canvas, lesion, _draw(canvas, rng.spawn(1)[0], scene, kept), nest, severity)
        atypical = _atypical_nuclei(lesion, centres, severity)
        return _draw(canvas, lesion, scene, atypical, atypia=severity), np.ones(mask.shape, np.float32), mask, kind
    return _draw(canvas, rng.spawn(1)[0], scene, nuclei), np.ones(mask.shape, np.float32), mask, kind


def _pixel(canvas: Canvas, x: float, y: float) -> tuple[int, int]:
    place = np.clip((np.array([y, x]) + 1) / 2 * canvas.side, 0, canvas.side - 1).astype(int)
    return int(place[0]), int(place[1])


def _stroma(canvas: Canvas, rng: np.random.Generator) -> Array:
    """Eosin with collagen fibres along a wavy direction, and pale gaps."""
    angle = rng.uniform(0, np.pi) + 0.5 * canvas.noise(rng, 2)
    along = canvas.x * np.cos(angle) + canvas.y * np.sin(angle)
    across = -canvas.x * np.sin(angle) + canvas.y * np.cos(angle)
    fibres = np.sin(across * rng.uniform(28, 46) + 2.2 * canvas.noise(rng, 6) + along)
    tone = 1 + 0.035 * fibres * rng.uniform(0.4, 1.4) + 0.045 * canvas.texture(rng, 5, 4)
    tone = tone + 0.03 * canvas.texture(rng, 40, 2)
    scene = PINK * tone[..., None] * np.exp(rng.normal(0, 0.02, 3))
    gaps = smoothstep((canvas.texture(rng, rng.integers(3, 6), 2) - rng.uniform(0.9, 1.6)) / 0.25)
    return mix(scene, np.broadcast_to(WHITE, scene.shape), gaps * 0.9).astype(np.float32)


def _tumour_cells(canvas: Canvas, rng: np.random.Generator, scene: Array, nest: Array,
                  severity: float) -> tuple[Array, Array]:
    """A nest filled with cells, pale borders between them, in place of stroma; and the centres of the cells [N, 2]."""
    steps = np.arange(-1.2, 1.2, CELL)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    centres = grid + rng.normal(0, 0.22 * CELL, grid.shape)
    places = np.stack([canvas.x, canvas.y], axis=-1).reshape(-1, 2)
    near = KDTree(centres).query(places, k=2)[0].reshape(*nest.shape, 2).astype(np.float32)
    border = smoothstep((0.06 - (near[..., 1] - near[..., 0])) / 0.05)
    grain = (1 + 0.03 * canvas.texture(rng, 40, 2))[..., None]
    body = mix(CYTOPLASM * grain, np.broadcast_to(BORDER, scene.shape), border * 0.5)
    scene = mix(scene, body, smoothstep((1.05 - nest) / 0.12) * (0.25 + 0.75 * severity))
    inside = [nest[_pixel(canvas, x, y)] < 0.97 for x, y in centres]
    return scene.astype(np.float32), centres[inside]


Nucleus = tuple[float, float, float, float, float, float]  # x, y, long axis, short axis, angle, darkness


def _ordinary_nuclei(rng: np.random.Generator) -> list[Nucleus]:
    """Scattered nuclei, and tight groups of small dark round ones (lymphocytes): crowding alone is normal."""
    size = rng.uniform(0.042, 0.056)
    nuclei = [_nucleus(rng, *rng.uniform(-1.05, 1.05, 2), size, rng.uniform(0.55, 1.0), 0.55, 0.14)
              for _ in range(rng.integers(55, 105))]
    for _ in range(rng.integers(1, 4)):
        cx, cy, spread = *rng.uniform(-0.9, 0.9, 2), rng.uniform(0.10, 0.2)
        nuclei += [_nucleus(rng, cx + rng.normal(0, spread), cy + rng.normal(0, spread), 0.034, 0.95, 0.85, 0.08)
                   for _ in range(rng.integers(8, 24))]
    return nuclei


def _nucleus(rng: np.random.Generator, x: float, y: float, size: float, roundness: float, dark: float,
             vary: float) -> Nucleus:
    long = size * np.exp(rng.normal(0, vary))
    return (float(x), float(y), long, long * roundness * rng.uniform(0.85, 1.0), rng.uniform(0, np.pi),
            float(np.clip(dark + rng.normal(0, 0.10), 0.25, 1)))


def _atypical_nuclei(rng: np.random.Generator, centres: Array, severity: float) -> list[Nucleus]:
    """One to a cell: large, of uneven size and shape, unevenly dark."""
    size = 0.048 + 0.024 * severity
    return [_nucleus(rng, *(centre + rng.normal(0, 0.12 * CELL, 2)), size, rng.uniform(0.55, 1.0),
                     0.55 + 0.3 * severity, 0.12 + 0.18 * severity) for centre in centres]


def _draw(canvas: Canvas, rng: np.random.Generator, scene: Array, nuclei: list[Nucleus],
          atypia: float = 0.0) -> Array:
    """Lay nuclei over the scene, each in its own small window; `atypia` (0 to 1) roughens the outline, clears the
    chromatin off the middle and leaves a nucleolus there."""
    scene = scene.copy()
    chromatin = canvas.texture(rng, 40, 2)
    rough = canvas.noise(rng, 24)
    for x, y, long, short, angle, dark in nuclei:
        reach = int(canvas.pixels(long) * 1.5) + 2
        row, column = (int((v + 1) / 2 * canvas.side) for v in (y, x))
        rows = slice(max(row - reach, 0), min(row + reach + 1, canvas.side))
        columns = slice(max(column - reach, 0), min(column + reach + 1, canvas.side))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        dx, dy = canvas.x[rows, columns] - x, canvas.y[rows, columns] - y
        c, s = np.cos(angle), np.sin(angle)
        radius = np.hypot((c * dx + s * dy) / long, (-s * dx + c * dy) / short)
        radius = radius + (0.04 + 0.10 * atypia) * rough[rows, columns]
        alpha = smoothstep((1.12 - radius) / 0.24) * dark
        tone = 1 + (0.10 + 0.10 * atypia) * chromatin[rows, columns] - 0.12 * smoothstep((radius - 0.6) / 0.3)
        stain = PURPLE * tone[..., None]
        cleared = smoothstep((0.72 - radius) / 0.25) * smoothstep((radius - 0.22) / 0.12)
        stain = mix(stain, np.broadcast_to(CLEARED, stain.shape), 0.8 * atypia * cleared)
        scene[rows, columns] = mix(scene[rows, columns], stain, alpha)
    return scene
