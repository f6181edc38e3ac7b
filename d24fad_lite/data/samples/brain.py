"""Axial brain MRI: skull, cortex with sulci, white matter, ventricles; glioma- and meningioma-like masses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import Array, Camera, Canvas, mix, smoothstep

CAMERA = Camera(mean=(0.30, 0.30, 0.30), mean_spread=0.12, contrast=0.20, contrast_spread=0.09, tint_spread=0.0,
                blur=(0.004, 0.010), noise=(0.006, 0.016), grey=True)


@dataclass(frozen=True)
class Head:
    """Shape of one head and the tissue contrast of its scan (T1- to T2-like)."""

    cx: float
    cy: float
    rx: float
    ry: float
    roll: float
    grey: float
    white: float
    fluid: float


def paint(canvas: Canvas, rng: np.random.Generator, lesion: np.random.Generator | None,
          severity: float) -> tuple[Array, Array, Array, str]:
    """Scene [H, W, 3], field of view, lesion mask and kind ("glioma" or "meningioma")."""
    t2 = rng.random() < 0.5
    head = Head(rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05), rng.uniform(0.62, 0.72), rng.uniform(0.76, 0.87),
                rng.normal(0, 0.06), *((0.52, 0.38, 0.85) if t2 else (0.42, 0.58, 0.14)))
    c, s = np.cos(head.roll), np.sin(head.roll)
    u = ((canvas.x - head.cx) * c + (canvas.y - head.cy) * s) / head.rx
    v = (-(canvas.x - head.cx) * s + (canvas.y - head.cy) * c) / head.ry
    warp = 0.025 * canvas.noise(rng, 4)
    radius = np.hypot(u * (1 + 0.06 * v), v) + warp
    scene = _brain(canvas, rng, head, u, v, radius)
    mask, kind = np.zeros(scene.shape, bool), "normal"
    if lesion is not None:
        grow = _glioma if lesion.random() < 0.5 else _meningioma
        scene, mask = grow(canvas, lesion, head, scene, radius, severity)
        kind = grow.__name__.removeprefix("_")
    scene = _skull(rng, scene, radius)
    return np.repeat(scene[..., None], 3, axis=2).astype(np.float32), np.ones_like(scene), mask, kind


def _brain(canvas: Canvas, rng: np.random.Generator, head: Head, u: Array, v: Array, radius: Array) -> Array:
    """Tissue inside of the skull: cortex around white matter, sulci, midline and ventricles."""
    folds = canvas.texture(rng, 9, 2)
    white = smoothstep((0.70 + 0.085 * folds - radius) / 0.07)
    tissue = mix(np.full_like(radius, head.grey), np.full_like(radius, head.white), white)
    deep = np.hypot((np.abs(u) - 0.26) / 0.13, (v + 0.02) / 0.22)
    tissue = mix(tissue, np.full_like(radius, head.grey), smoothstep((1.1 - deep) / 0.3) * 0.8)
    tissue = tissue * (1 + 0.035 * canvas.texture(rng, 14, 2))
    ridge = np.abs(canvas.noise(rng, 11))
    sulci = smoothstep((0.30 - ridge) / 0.22) * smoothstep((radius - 0.62) / 0.2) * rng.uniform(0.5, 0.95)
    midline = smoothstep((0.020 - np.abs(u + 0.015 * np.sin(6 * v))) / 0.014) * (np.abs(v) > 0.28)
    size, spread = rng.uniform(0.75, 1.35), rng.uniform(0.10, 0.14)
    fluid = np.maximum(sulci, midline * 0.8)
    for side in (-1, 1):
        front = np.hypot((u - side * (spread + 0.10 * (v + 0.2))) / (0.055 * size), (v + 0.17) / (0.20 * size))
        back = np.hypot((u - side * (spread + 0.05 + 0.25 * (v - 0.05))) / (0.055 * size), (v - 0.20) / (0.17 * size))
        fluid = np.maximum(fluid, smoothstep((1.15 - np.minimum(front, back)) / 0.3))
    tissue = mix(tissue, np.full_like(radius, head.fluid), fluid)
    bias = 1 + 0.09 * rng.uniform(-1, 1) * u + 0.09 * rng.uniform(-1, 1) * v
    return mix(np.full_like(radius, head.fluid * 0.9), tissue, smoothstep((0.955 - radius) / 0.03)) * bias


def _skull(rng: np.random.Generator, scene: Array, radius: Array) -> Array:
    bone, scalp = rng.uniform(0.04, 0.10), rng.uniform(0.5, 0.8)
    scene = mix(scene, np.full_like(scene, bone), smoothstep((radius - 0.995) / 0.02))
    scene = mix(scene, np.full_like(scene, scalp), smoothstep((radius - 1.06) / 0.025))
    return mix(scene, np.full_like(scene, 0.015), smoothstep((radius - 1.15 - 0.02 * rng.random()) / 0.03))


def _glioma(canvas: Canvas, rng: np.random.Generator, head: Head, scene: Array, radius: Array,
            severity: float) -> tuple[Array, Array]:
    """A ragged, uneven mass within the white matter: dark core, bright broken rim, oedema around it."""
    inside = np.argwhere(radius < 0.62)
    row, column = inside[rng.integers(len(inside))]
    cx, cy = (column + 0.5) / canvas.side * 2 - 1, (row + 0.5) / canvas.side * 2 - 1
    size = rng.uniform(0.11, 0.15 + 0.08 * severity)
    mass = canvas.blob(rng, cx, cy, size, 0.30)
    texture = canvas.texture(rng, 12, 3)
    within = smoothstep((0.95 - radius) / 0.05)
    strength = 0.30 + 0.70 * severity
    oedema = canvas.soft(canvas.blob(rng, cx, cy, size * 1.55, 0.35), 0.30) * within
    scene = mix(scene, np.full_like(scene, (head.fluid + head.grey) / 2), oedema * 0.5 * strength)
    core = canvas.soft(mass, 0.16) * within
    scene = mix(scene, head.grey * (0.72 + 0.22 * texture), core * 0.85 * strength)
    rim = np.exp(-(((mass - 0.88) / 0.16) ** 2)) * np.clip(0.8 + 0.5 * texture, 0, 1.3) * within
    scene = mix(scene, np.full_like(scene, 0.88), np.clip(rim * 0.65 * strength, 0, 1))
    return scene, np.maximum(oedema, core) > 0.3


def _meningioma(canvas: Canvas, rng: np.random.Generator, head: Head, scene: Array, radius: Array,
                severity: float) -> tuple[Array, Array]:
    """A smooth, even, round mass that sits on the dura and pushes into the brain."""
    ring = np.argwhere(np.abs(radius - 0.86) < 0.02)
    row, column = ring[rng.integers(len(ring))]
    cx, cy = (column + 0.5) / canvas.side * 2 - 1, (row + 0.5) / canvas.side * 2 - 1
    size = rng.uniform(0.11, 0.14 + 0.08 * severity)
    within = smoothstep((0.985 - radius) / 0.02)
    mass = canvas.soft(canvas.blob(rng, cx, cy, size, 0.08), 0.08) * within
    strength = 0.30 + 0.70 * severity
    tone = rng.uniform(0.64, 0.78) * (1 + 0.04 * canvas.texture(rng, 10, 2))
    return mix(scene, tone.astype(np.float32), mass * 0.9 * strength), mass > 0.3
