"""Frontal chest X-rays: lungs, ribs, heart, diaphragm, clavicles; the anomaly is one or two opacities in a lung."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import Array, Camera, Canvas, smoothstep

CAMERA = Camera(mean=(0.50, 0.50, 0.50), mean_spread=0.10, contrast=0.185, contrast_spread=0.10, tint_spread=0.0,
                blur=(0.004, 0.010), noise=(0.008, 0.018), grey=True)


@dataclass(frozen=True)
class Thorax:
    """Pose and proportions of one patient, in coordinates of the canvas."""

    cx: float
    cy: float
    scale: float
    roll: float
    lung_width: float
    lung_height: float
    heart: float


def paint(canvas: Canvas, rng: np.random.Generator, lesion: np.random.Generator | None,
          severity: float) -> tuple[Array, Array, Array, str]:
    """Scene [H, W, 3] (bright is dense), field of view, lesion mask and kind."""
    t = Thorax(rng.uniform(-0.06, 0.06), rng.uniform(-0.08, 0.06), rng.uniform(0.88, 1.08), rng.normal(0, 0.035),
               rng.uniform(0.29, 0.37), rng.uniform(0.56, 0.68), rng.uniform(0.8, 1.2))
    c, s = np.cos(t.roll), np.sin(t.roll)
    x = ((canvas.x - t.cx) * c + (canvas.y - t.cy) * s) / t.scale
    y = (-(canvas.x - t.cx) * s + (canvas.y - t.cy) * c) / t.scale
    lungs = _lungs(canvas, rng, x, y, t)
    body = smoothstep((0.96 + 0.05 * canvas.noise(rng, 4) - np.hypot(x * 0.92, np.clip(y, -2, 0.0) * 0.95)) / 0.10)
    dense = 0.62 * body - 0.44 * lungs * rng.uniform(0.85, 1.1)
    dense = dense + _heart(canvas, x, y, t) + _ribs(rng, x, y) * body + _spine(rng, x, y) * body
    dense = dense + lungs * _vascular(canvas, rng, x, y) + 0.025 * canvas.texture(rng, 6, 4) * body
    mask, kind = np.zeros(dense.shape, bool), "normal"
    if lesion is not None:
        opacity = _opacity(canvas, lesion, lungs, t, severity)
        dense, mask, kind = dense + opacity, opacity > 0.3 * opacity.max(), "opacity"
    scene = np.repeat(dense[..., None], 3, axis=2).astype(np.float32)
    return scene, np.ones_like(dense, dtype=np.float32), mask, kind


def _lungs(canvas: Canvas, rng: np.random.Generator, x: Array, y: Array, t: Thorax) -> Array:
    field = np.zeros(x.shape, np.float32)
    wobble = 0.03 * canvas.noise(rng, 5)
    for side in (-1, 1):
        width = t.lung_width * (1.0 if side < 0 else 0.94)
        u = (x - side * (0.40 + 0.06 * y)) / width
        v = (y + 0.05) / t.lung_height
        radius = (np.abs(u) ** 2.4 + np.abs(v) ** 2.6) ** 0.4
        dome = y - (0.46 + 0.05 * side * -1 + 0.22 * (np.abs(u) - 0.2) ** 2 * 1.2 + rng.uniform(-0.05, 0.05))
        shape = smoothstep((1.04 + wobble - radius) / 0.12) * smoothstep((0.02 - dome) / 0.07)
        field = np.maximum(field, shape)
    return field


def _heart(canvas: Canvas, x: Array, y: Array, t: Thorax) -> Array:
    heart = np.hypot((x - 0.13) / (0.31 * t.heart), (y - 0.24) / 0.33)
    vessels = np.hypot((x - 0.01) / 0.145, (y + 0.30) / 0.46)
    return 0.30 * smoothstep((1.1 - heart) / 0.22) + 0.20 * smoothstep((1.1 - vessels) / 0.3)


def _ribs(rng: np.random.Generator, x: Array, y: Array) -> Array:
    spacing, slope, strength = rng.uniform(0.145, 0.175), rng.uniform(0.25, 0.5), rng.uniform(0.05, 0.095)
    curve = y + slope * x**2 - 0.35 * np.abs(x)
    phase = (curve / spacing + rng.uniform(0, 1)) * 2 * np.pi
    behind = y - slope * x**2 + 0.30 * np.abs(x)
    back = (behind / spacing + rng.uniform(0, 1)) * 2 * np.pi
    ribs = smoothstep(np.cos(phase) * 0.9 + 0.1) * strength + smoothstep(np.cos(back)) * 0.55 * strength
    clavicle = np.abs(y + 0.62 - 0.22 * np.abs(x) + 0.06 * np.sin(5 * x))
    collar = smoothstep((0.045 - clavicle) / 0.03) * (np.abs(x) > 0.1) * 0.12
    return (ribs * smoothstep((np.abs(x) - 0.07) / 0.1) + collar).astype(np.float32)


def _spine(rng: np.random.Generator, x: Array, y: Array) -> Array:
    column = smoothstep((0.115 - np.abs(x)) / 0.06)
    discs = 0.03 * np.cos(2 * np.pi * y / rng.uniform(0.15, 0.19))
    return column * (0.13 + discs)


def _vascular(canvas: Canvas, rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Lung markings, densest around the hila and fading outwards."""
    lines = []
    for side in (-1, 1):
        for _ in range(16):
            heading = rng.uniform(-1.35, 1.35) + (np.pi if side < 0 else 0)
            points = [np.array([side * 0.14, rng.uniform(-0.10, 0.12)])]
            for _ in range(9):
                heading += rng.normal(0, 0.22)
                points.append(points[-1] + 0.07 * np.array([np.cos(heading), np.sin(heading)]))
            path = np.array(points)
            lines += [(path[:5], 0.022), (path[4:], 0.012)]
    tree = canvas.blur(canvas.strokes(lines), 0.012)
    hila = np.exp(-(np.hypot((np.abs(x) - 0.19) / 0.13, (y - 0.02) / 0.22) ** 2))
    return (0.13 * tree + 0.10 * hila) * rng.uniform(0.7, 1.3)


def _opacity(canvas: Canvas, rng: np.random.Generator, lungs: Array, t: Thorax, severity: float) -> Array:
    """Added density: consolidations with ragged edges and an uneven inside, within the lung fields."""
    inside = np.argwhere(canvas.blur(lungs, 0.04) > 0.85)
    total = np.zeros_like(lungs)
    for _ in range(1 + (rng.random() < 0.35)):
        row, column = inside[rng.integers(len(inside))]
        cy, cx = (row + 0.5) / canvas.side * 2 - 1, (column + 0.5) / canvas.side * 2 - 1
        shape = canvas.soft(canvas.blob(rng, cx, cy, rng.uniform(0.13, 0.20 + 0.08 * severity), 0.35), 0.45)
        patchy = np.clip(1 + 0.45 * canvas.texture(rng, 9, 3), 0.2, None)
        total = np.maximum(total, shape * patchy)
    return total * np.clip(lungs * 1.2, 0, 1) * (0.07 + 0.22 * severity)
