"""Stained histology: stroma, fibres and nuclei; the anomaly is tumour that replaces a large part of the tissue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from d24fad_lite.data.samples.canvas import Array, Camera, Canvas, mix, oval, smoothstep, turned

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
FIBROBLASTS = 0.15  # share of the ordinary nuclei that are long and pale


@dataclass(frozen=True)
class Nucleus:
    """An ellipse, in coordinates of the canvas."""

    x: float
    y: float
    long: float  # half axes
    short: float
    angle: float  # radians
    dark: float  # opacity, 0..1


def paint(
    canvas: Canvas, rng: np.random.Generator, lesion: np.random.Generator | None, severity: float
) -> tuple[Array, Array, Array, str]:
    """Scene [H, W, 3], field of view [H, W], lesion mask [H, W] and kind ("normal" or "tumour")."""
    scene = _stroma(canvas, rng)
    nuclei, grain = _ordinary_nuclei(rng), rng.spawn(1)[0]
    view = np.ones(scene.shape[:2], np.float32)
    if lesion is None:
        scene = _draw(canvas, grain, scene, nuclei)
        return scene, view, np.zeros(view.shape, bool), "normal"
    tumour = _tumour(canvas, lesion, severity)
    spared = [nucleus for nucleus in nuclei if tumour[_pixel(canvas, nucleus.x, nucleus.y)] > 1.05]
    scene = _draw(canvas, grain, scene, spared)
    scene, centres = _tumour_cells(canvas, lesion, scene, tumour, severity)
    atypical = _atypical_nuclei(lesion, centres, severity)
    scene = _draw(canvas, lesion, scene, atypical, atypia=severity)
    return scene, view, tumour < 1, "tumour"


def _tumour(canvas: Canvas, rng: np.random.Generator, severity: float) -> Array:
    """Normalised radius [H, W] of the invaded field: broad, with tongues that push into the stroma."""
    cx, cy = rng.uniform(-0.45, 0.45, 2)
    field = canvas.blob(rng, cx, cy, radius=rng.uniform(0.36, 0.44) + 0.32 * severity, rough=0.12)
    return field + 0.13 * canvas.texture(rng, cells=5, octaves=2)


def _pixel(canvas: Canvas, x: float, y: float) -> tuple[int, int]:
    """Row and column of the pixel at a place, the nearest one for places outside."""
    place = np.clip((np.array([y, x]) + 1) / 2 * canvas.side, 0, canvas.side - 1).astype(int)
    return int(place[0]), int(place[1])


def _stroma(canvas: Canvas, rng: np.random.Generator) -> Array:
    """Eosin [H, W, 3] with collagen fibres along a wavy direction, and pale gaps."""
    angle = rng.uniform(0, np.pi) + 0.5 * canvas.noise(rng, cells=2)
    along, across = turned(canvas.x, canvas.y, angle)
    fibres = np.sin(across * rng.uniform(28, 46) + 2.2 * canvas.noise(rng, cells=6) + along)
    tone = 1 + 0.035 * fibres * rng.uniform(0.4, 1.4) + 0.035 * canvas.texture(rng, cells=5, octaves=4)
    tone = tone + 0.03 * canvas.texture(rng, cells=40, octaves=2)
    scene = PINK * tone[..., None] * np.exp(rng.normal(0, 0.02, 3))
    clefts = 0.2 * smoothstep((0.10 - np.abs(canvas.noise(rng, cells=7))) / 0.10)
    gaps = 0.15 * smoothstep((canvas.texture(rng, cells=6, octaves=2) - rng.uniform(1.6, 2.0)) / 0.5)
    return mix(scene, np.broadcast_to(WHITE, scene.shape), np.maximum(clefts, gaps)).astype(np.float32)


def _tumour_cells(
    canvas: Canvas, rng: np.random.Generator, scene: Array, tumour: Array, severity: float
) -> tuple[Array, Array]:
    """Cells side by side in place of stroma, faint borders between them.

    Scene [H, W, 3] with the cells, and the centres [N, 2] of those inside of the tumour.
    """
    mildest = SPACING * 1.05
    centres = _scattered(rng, spacing=mildest + (CELL - mildest) * severity)
    pixels = np.stack([canvas.x, canvas.y], axis=-1).reshape(-1, 2)  # (H * W, 2)
    distances = KDTree(centres).query(pixels, k=2)[0].astype(np.float32)  # (H * W, 2): to the nearest centre, the next
    border = smoothstep((0.05 - (distances[:, 1] - distances[:, 0])) / 0.05).reshape(tumour.shape)  # (H, W)
    grain = (1 + 0.05 * canvas.texture(rng, cells=20, octaves=3))[..., None]
    body = mix(CYTOPLASM * grain, np.broadcast_to(BORDER, scene.shape), border * 0.6)
    opacity = smoothstep((1.05 - tumour) / 0.12) * (0.05 + 0.85 * severity)
    scene = mix(scene, body, opacity)
    inside = [tumour[_pixel(canvas, x, y)] < 0.97 for x, y in centres]
    return scene.astype(np.float32), centres[inside]


def _ordinary_nuclei(rng: np.random.Generator) -> list[Nucleus]:
    """Small dark nuclei, a few of them long and pale (fibroblasts), here and there a tight group (lymphocytes)."""
    size = rng.uniform(0.037, 0.044)
    places = _scattered(rng, spacing=SPACING * rng.uniform(0.95, 1.15))
    groups = [
        rng.normal(loc=rng.uniform(-0.9, 0.9, 2), scale=rng.uniform(0.08, 0.16), size=(rng.integers(6, 16), 2))
        for _ in range(rng.integers(0, 2))
    ]
    nuclei = []
    for x, y in np.concatenate([places, *groups]):
        if rng.random() < FIBROBLASTS:
            nuclei.append(_nucleus(rng, x, y, size=size * 1.15, roundness=0.5, dark=0.6, vary=0.10))
        else:
            nuclei.append(_nucleus(rng, x, y, size=size, roundness=0.92, dark=0.80, vary=0.08))
    return nuclei


def _scattered(rng: np.random.Generator, spacing: float) -> Array:
    """Places [N, 2] on a grid of staggered rows, each moved at random: even, but with no pattern."""
    steps = np.arange(-1.2, 1.2, spacing)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1)
    grid[1::2, :, 0] += spacing / 2
    grid = grid.reshape(-1, 2)
    return grid + rng.normal(0, 0.28 * spacing, grid.shape)


def _nucleus(
    rng: np.random.Generator, x: float, y: float, *, size: float, roundness: float, dark: float, vary: float
) -> Nucleus:
    """A nucleus at a place, in a random direction; its long half axis is `size`, a factor e^`vary` more or less."""
    long = size * np.exp(rng.normal(0, vary))
    return Nucleus(
        x=float(x),
        y=float(y),
        long=long,
        short=long * roundness * rng.uniform(0.85, 1.0),
        angle=rng.uniform(0, np.pi),
        dark=float(np.clip(dark + rng.normal(0, 0.10), 0.25, 1)),
    )


def _atypical_nuclei(rng: np.random.Generator, centres: Array, severity: float) -> list[Nucleus]:
    """One to a cell, of the centres [N, 2]: large, of uneven size and shape, unevenly dark."""
    size, dark, vary = 0.042 + 0.022 * severity, 0.74 + 0.12 * severity, 0.10 + 0.14 * severity
    nuclei = []
    for centre in centres:
        x, y = centre + rng.normal(0, 0.10 * CELL, 2)
        nuclei.append(_nucleus(rng, x, y, size=size, roundness=rng.uniform(0.6, 1.0), dark=dark, vary=vary))
    return nuclei


def _draw(canvas: Canvas, rng: np.random.Generator, scene: Array, nuclei: list[Nucleus], atypia: float = 0.0) -> Array:
    """Lay nuclei over a scene [H, W, 3], each in its own small window.

    `atypia` (0 to 1) roughens the outline, clears the chromatin off the middle and leaves a nucleolus there.
    """
    scene = scene.copy()
    chromatin = canvas.texture(rng, cells=40, octaves=2)
    rough = canvas.noise(rng, cells=24)
    for nucleus in nuclei:
        reach = int(canvas.pixels(nucleus.long) * 1.5) + 2
        row, column = (int((v + 1) / 2 * canvas.side) for v in (nucleus.y, nucleus.x))
        rows = slice(max(row - reach, 0), min(row + reach + 1, canvas.side))
        columns = slice(max(column - reach, 0), min(column + reach + 1, canvas.side))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        dx, dy = canvas.x[rows, columns] - nucleus.x, canvas.y[rows, columns] - nucleus.y
        radius = oval(*turned(dx, dy, nucleus.angle), rx=nucleus.long, ry=nucleus.short)
        radius = radius + (0.04 + 0.10 * atypia) * rough[rows, columns]
        alpha = smoothstep((1.12 - radius) / 0.24) * nucleus.dark
        tone = 1 + (0.10 + 0.10 * atypia) * chromatin[rows, columns] - 0.12 * smoothstep((radius - 0.6) / 0.3)
        stain = PURPLE * tone[..., None]
        cleared = smoothstep((0.72 - radius) / 0.25) * smoothstep((radius - 0.22) / 0.12)
        stain = mix(stain, np.broadcast_to(CLEARED, stain.shape), 0.8 * atypia * cleared)
        scene[rows, columns] = mix(scene[rows, columns], stain, alpha)
    return scene
