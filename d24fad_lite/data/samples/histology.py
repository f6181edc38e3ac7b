"""Stained histology: stroma, fibres and nuclei; the anomaly is a nest of atypical nuclei."""

from __future__ import annotations

import numpy as np

from .canvas import Array, Camera, Canvas, mix, smoothstep

CAMERA = Camera(mean=(0.76, 0.56, 0.71), mean_spread=0.05, contrast=0.125, contrast_spread=0.10, tint_spread=0.03,
                blur=(0.003, 0.013), noise=(0.006, 0.025))

PINK = np.array([0.91, 0.68, 0.79], np.float32)
WHITE = np.array([0.96, 0.93, 0.95], np.float32)
PURPLE = np.array([0.42, 0.27, 0.56], np.float32)


def paint(canvas: Canvas, rng: np.random.Generator, lesion: np.random.Generator | None,
          severity: float) -> tuple[Array, Array, Array, str]:
    """Scene [H, W, 3], field of view, lesion mask and kind."""
    scene = _stroma(canvas, rng)
    nuclei = _ordinary_nuclei(rng)
    mask, kind = np.zeros(scene.shape[:2], bool), "normal"
    nest = None
    if lesion is not None:
        kind = "atypia"
        cx, cy = lesion.uniform(-0.55, 0.55, 2)
        nest = canvas.blob(lesion, cx, cy, lesion.uniform(0.30, 0.40 + 0.12 * severity), 0.25)
        mask = nest < 1
        kept = [n for n in nuclei if nest[_pixel(canvas, n[0], n[1])] > 1.05]
        atypical = _atypical_nuclei(canvas, lesion, nest, severity, len(nuclei) - len(kept))
        scene = _draw(canvas, rng.spawn(1)[0], scene, kept)
        return _draw(canvas, lesion, scene, atypical, clumpy=severity), np.ones(mask.shape, np.float32), mask, kind
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
    scene = PINK * tone[..., None] * np.exp(rng.normal(0, 0.02, 3))
    gaps = smoothstep((canvas.texture(rng, rng.integers(3, 6), 2) - rng.uniform(0.9, 1.6)) / 0.25)
    return mix(scene, np.broadcast_to(WHITE, scene.shape), gaps * 0.9).astype(np.float32)


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


def _atypical_nuclei(canvas: Canvas, rng: np.random.Generator, nest: Array, severity: float,
                     replaced: int) -> list[Nucleus]:
    """Larger, of uneven size and shape, unevenly dark; about as much stained area as what they replace."""
    inside = np.argwhere(nest < 0.95)
    size = 0.050 + 0.026 * severity
    count = max(6, round(max(replaced, 10) * (1.25 - 0.45 * severity)))
    places = inside[rng.integers(len(inside), size=count)]
    return [_nucleus(rng, (c + 0.5) / canvas.side * 2 - 1, (r + 0.5) / canvas.side * 2 - 1, size,
                     rng.uniform(0.5, 1.0), 0.55 + 0.2 * severity, 0.15 + 0.28 * severity) for r, c in places]


def _draw(canvas: Canvas, rng: np.random.Generator, scene: Array, nuclei: list[Nucleus],
          clumpy: float = 0.0) -> Array:
    """Lay nuclei over the scene, each in its own small window; `clumpy` roughens outline and chromatin."""
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
        radius = radius + (0.04 + 0.13 * clumpy) * rough[rows, columns]
        alpha = smoothstep((1.12 - radius) / 0.24) * dark
        tone = 1 + (0.10 + 0.20 * clumpy) * chromatin[rows, columns] - 0.12 * smoothstep((radius - 0.6) / 0.3)
        scene[rows, columns] = mix(scene[rows, columns], PURPLE * tone[..., None], alpha)
    return scene
