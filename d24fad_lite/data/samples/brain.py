"""Axial brain MRI (FLAIR-like: water dark, oedema bright); gliomas in either hemisphere, meningiomas on the dura."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from d24fad_lite.data.samples.canvas import Array, Camera, Canvas, mix, smoothstep

CAMERA = Camera(
    mean=(0.28, 0.28, 0.28),
    mean_spread=0.09,
    contrast=0.205,
    contrast_spread=0.07,
    tint_spread=0.0,
    blur=(0.003, 0.008),
    noise=(0.006, 0.014),
    grey=True,
)


@dataclass(frozen=True)
class Head:
    """Shape of one head and the signal of its tissues."""

    cx: float
    cy: float
    rx: float
    ry: float
    roll: float
    grey: float
    white: float
    fluid: float

    def own_coordinates(self, canvas: Canvas) -> tuple[Array, Array]:
        """u to the right and v downwards, from -1 to 1 across the inside of the skull."""
        c, s = np.cos(self.roll), np.sin(self.roll)
        dx, dy = canvas.x - self.cx, canvas.y - self.cy
        return (dx * c + dy * s) / self.rx, (-dx * s + dy * c) / self.ry

    def place(self, u: float, v: float) -> tuple[float, float]:
        """The head's own coordinates -> the canvas's."""
        c, s = np.cos(self.roll), np.sin(self.roll)
        x, y = u * self.rx, v * self.ry
        return self.cx + c * x - s * y, self.cy + s * x + c * y


def paint(
    canvas: Canvas, rng: np.random.Generator, lesion: np.random.Generator | None, severity: float
) -> tuple[Array, Array, Array, str]:
    """Scene [H, W, 3], field of view, lesion mask and kind ("glioma" or "meningioma")."""
    head = Head(
        cx=rng.uniform(-0.025, 0.025),
        cy=rng.uniform(-0.025, 0.025),
        rx=rng.uniform(0.655, 0.705),
        ry=rng.uniform(0.80, 0.85),
        roll=rng.normal(0, 0.025),
        grey=0.55 + rng.normal(0, 0.02),
        white=0.40 + rng.normal(0, 0.02),
        fluid=rng.uniform(0.10, 0.15),
    )
    u, v = head.own_coordinates(canvas)
    radius = np.hypot(u * (1 + 0.06 * v), v) + 0.014 * canvas.noise(rng, 4)
    scene = _brain(canvas, rng, head, u, v, radius)
    mask, kind = np.zeros(scene.shape, bool), "normal"
    if lesion is not None:
        grow = _glioma if lesion.random() < 0.5 else _meningioma
        scene, mask = grow(canvas, lesion, head, scene, radius, severity)
        kind = grow.__name__.removeprefix("_")
    scene = _skull(rng, scene, radius)
    return np.repeat(scene[..., None], 3, axis=2).astype(np.float32), np.ones_like(scene), mask, kind


def _brain(canvas: Canvas, rng: np.random.Generator, head: Head, u: Array, v: Array, radius: Array) -> Array:
    """Tissue inside of the skull: a ribbon of cortex around white matter, deep nuclei, and what holds water."""
    ridges = np.abs(canvas.noise(rng, 14))  # small in the depth of a fold
    folded = 0.16 * smoothstep((0.60 - ridges) / 0.60)
    white = smoothstep((0.87 - folded - radius) / 0.06)
    tissue = mix(np.full_like(radius, head.grey), np.full_like(radius, head.white), white)
    deep = np.hypot((np.abs(u) - 0.28) / 0.13, (v + 0.02) / 0.24)
    tissue = mix(tissue, np.full_like(radius, head.grey), smoothstep((1.1 - deep) / 0.3) * 0.85)
    tissue = tissue * (1 + 0.025 * canvas.texture(rng, 14, 2))
    sulci = smoothstep((0.26 - ridges) / 0.18) * smoothstep((radius - 0.72) / 0.10) * rng.uniform(0.55, 0.85)
    fluid = np.maximum(sulci, _midline(u, v))
    fluid = np.maximum(fluid, _ventricles(u, v, size=rng.uniform(0.85, 1.2), spread=rng.uniform(0.11, 0.13)))
    tissue = mix(tissue, np.full_like(radius, head.fluid), fluid)
    bias = 1 + 0.06 * rng.uniform(-1, 1) * u + 0.06 * rng.uniform(-1, 1) * v
    return mix(np.full_like(radius, head.fluid), tissue, smoothstep((0.965 - radius) / 0.03)) * bias


def _midline(u: Array, v: Array) -> Array:
    """The fissure between the hemispheres, in front and behind."""
    return 0.8 * smoothstep((0.020 - np.abs(u + 0.010 * np.sin(6 * v))) / 0.014) * (np.abs(v) > 0.30)


def _ventricles(u: Array, v: Array, size: float, spread: float) -> Array:
    """Two lateral ventricles: a horn in front and one behind, bent away from each other."""
    horns = np.zeros_like(u)
    for side in (-1, 1):
        front = np.hypot((u - side * (spread - 0.15 * (v + 0.2))) / (0.060 * size), (v + 0.17) / (0.20 * size))
        back = np.hypot((u - side * (spread + 0.05 + 0.30 * (v - 0.05))) / (0.060 * size), (v - 0.20) / (0.18 * size))
        horns = np.maximum(horns, smoothstep((1.15 - np.minimum(front, back)) / 0.3))
    return horns


def _skull(rng: np.random.Generator, scene: Array, radius: Array) -> Array:
    bone, scalp = rng.uniform(0.05, 0.08), rng.uniform(0.55, 0.65)
    scene = mix(scene, np.full_like(scene, bone), smoothstep((radius - 0.995) / 0.02))
    scene = mix(scene, np.full_like(scene, scalp), smoothstep((radius - 1.06) / 0.025))
    return mix(scene, np.full_like(scene, 0.015), smoothstep((radius - 1.14 - 0.01 * rng.random()) / 0.03))


def _glioma(
    canvas: Canvas, rng: np.random.Generator, head: Head, scene: Array, radius: Array, severity: float
) -> tuple[Array, Array]:
    """Bright oedema that spreads in fingers through the white matter of one side; in it a rim around a dead core."""
    side, angle = rng.choice([-1, 1]), rng.uniform(-1.2, 1.2)
    off = rng.uniform(0.40, 0.60)
    cx, cy = head.place(side * off * np.cos(angle), off * np.sin(angle))
    strength = 0.10 + 0.90 * severity
    size = rng.uniform(0.13, 0.17) * (0.75 + 0.45 * severity)
    within = smoothstep((0.93 - radius) / 0.05)
    spread = canvas.blob(rng, cx, cy, size * 1.45, 0.14) + 0.28 * canvas.texture(rng, 7, 3)
    oedema = smoothstep((1.12 - spread) / 0.30) * within
    scene = mix(scene, (0.76 + 0.03 * canvas.texture(rng, 12, 2)).astype(np.float32), oedema * 0.9 * strength)
    shift = size * rng.uniform(-0.35, 0.35, 2)
    mass = canvas.blob(rng, cx + shift[0], cy + shift[1], size * rng.uniform(0.5, 0.8), 0.12)
    mass = mass + 0.10 * canvas.texture(rng, 9, 2)
    core = smoothstep((0.95 - mass) / 0.25) * within
    scene = mix(scene, np.full_like(scene, 0.26), core * 0.85 * strength)
    rim = np.exp(-(((mass - 0.98) / 0.16) ** 2)) * within
    scene = mix(scene, np.full_like(scene, 0.92), rim * 0.7 * strength)
    return scene, np.maximum(oedema, core) > 0.4


def _meningioma(
    canvas: Canvas, rng: np.random.Generator, head: Head, scene: Array, radius: Array, severity: float
) -> tuple[Array, Array]:
    """A smooth, even mass, flat on the dura or on the fold between the hemispheres, a dark cleft around it."""
    strength = 0.10 + 0.90 * severity
    size = rng.uniform(0.105, 0.145) * (0.8 + 0.35 * severity)
    if rng.random() < 0.25:
        cx, cy = head.place(rng.choice([-1, 1]) * 0.75 * size / head.rx, rng.choice([-1, 1]) * rng.uniform(0.45, 0.75))
    else:
        angle = rng.uniform(0, 2 * np.pi)
        cx, cy = head.place(0.84 * np.cos(angle), 0.84 * np.sin(angle))
    within = smoothstep((0.985 - radius) / 0.02)
    mass = canvas.blob(rng, cx, cy, size, 0.06)
    cleft = canvas.soft(mass / 1.16, 0.07) * within
    scene = mix(scene, np.full_like(scene, head.fluid), cleft * 0.7 * strength)
    solid = canvas.soft(mass, 0.08) * within
    tone = rng.uniform(0.72, 0.80) * (1 + 0.04 * canvas.texture(rng, 10, 2))
    return mix(scene, tone.astype(np.float32), solid * strength), cleft > 0.4
