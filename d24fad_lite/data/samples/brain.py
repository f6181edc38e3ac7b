"""Axial brain MRI (FLAIR-like: water dark, oedema bright); gliomas in either hemisphere, meningiomas on the dura."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from d24fad_lite.data.samples.canvas import Array, Camera, Canvas, mix, oval, smoothstep, turned

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

# Radii in the head's own coordinates, where 1 is the inside of the skull.
WHITE_MATTER = 0.87  # outer edge of the white matter where no fold cuts into it
FOLD_DEPTH = 0.16  # how far a fold of cortex cuts into it
CORTEX = 0.965  # outer edge of the brain; water lies between it and the skull
SKULL = 0.995  # from here on bone
SCALP = 1.06  # from here on scalp
AIR = 1.14  # from here on nothing
DURA = 0.84  # where the middle of a meningioma lies that sits on the dura

AIR_SIGNAL, NECROSIS_SIGNAL, OEDEMA_SIGNAL, RIM_SIGNAL = 0.015, 0.26, 0.76, 0.92


@dataclass(frozen=True)
class Head:
    """Shape of one head in coordinates of the canvas, and the signal of its tissues in 0..1."""

    cx: float
    cy: float
    rx: float
    ry: float
    roll: float  # radians
    grey: float
    white: float
    fluid: float

    def own_coordinates(self, canvas: Canvas) -> tuple[Array, Array]:
        """u to the right and v downwards [side, side], from -1 to 1 across the inside of the skull."""
        across, down = turned(canvas.x - self.cx, canvas.y - self.cy, self.roll)
        return across / self.rx, down / self.ry

    def place(self, u: float, v: float) -> tuple[float, float]:
        """The head's own coordinates -> the canvas's."""
        c, s = np.cos(self.roll), np.sin(self.roll)
        x, y = u * self.rx, v * self.ry
        return self.cx + c * x - s * y, self.cy + s * x + c * y


def paint(
    canvas: Canvas, rng: np.random.Generator, lesion: np.random.Generator | None, severity: float
) -> tuple[Array, Array, Array, str]:
    """Scene [H, W, 3], field of view [H, W], lesion mask [H, W] and kind ("normal", "glioma" or "meningioma")."""
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
    egg = np.hypot(u * (1 + 0.06 * v), v)  # a head is a little narrower behind
    radius = egg + 0.014 * canvas.noise(rng, cells=4)
    scene = _brain(canvas, rng, head, u, v, radius)
    mask, kind = np.zeros(scene.shape, bool), "normal"
    if lesion is not None:
        kind, grow = ("glioma", _glioma) if lesion.random() < 0.5 else ("meningioma", _meningioma)
        scene, mask = grow(canvas, lesion, head, scene, radius, severity)
    scene = _skull(rng, scene, radius)
    return np.repeat(scene[..., None], 3, axis=2).astype(np.float32), np.ones_like(scene), mask, kind


def _brain(canvas: Canvas, rng: np.random.Generator, head: Head, u: Array, v: Array, radius: Array) -> Array:
    """Inside of the skull [H, W]: a ribbon of cortex around white matter, deep nuclei, and what holds water."""
    grey, white, fluid = (np.full_like(radius, signal) for signal in (head.grey, head.white, head.fluid))
    ridges = np.abs(canvas.noise(rng, cells=14))  # small in the depth of a fold
    folded = FOLD_DEPTH * smoothstep((0.60 - ridges) / 0.60)
    tissue = mix(grey, white, smoothstep((WHITE_MATTER - folded - radius) / 0.06))
    nuclei = oval(np.abs(u), v, cx=0.28, cy=-0.02, rx=0.13, ry=0.24)
    tissue = mix(tissue, grey, smoothstep((1.1 - nuclei) / 0.3) * 0.85)
    tissue = tissue * (1 + 0.025 * canvas.texture(rng, cells=14, octaves=2))
    deep_in_fold, near_surface = smoothstep((0.26 - ridges) / 0.18), smoothstep((radius - 0.72) / 0.10)
    sulci = deep_in_fold * near_surface * rng.uniform(0.55, 0.85)
    water = np.maximum(sulci, _midline(u, v))
    water = np.maximum(water, _ventricles(u, v, size=rng.uniform(0.85, 1.2), spread=rng.uniform(0.11, 0.13)))
    tissue = mix(tissue, fluid, water)
    bias = 1 + 0.06 * rng.uniform(-1, 1) * u + 0.06 * rng.uniform(-1, 1) * v  # the coil hears one side better
    return mix(fluid, tissue, smoothstep((CORTEX - radius) / 0.03)) * bias


def _midline(u: Array, v: Array) -> Array:
    """Opacity [H, W] of the fissure between the hemispheres, in front and behind."""
    half_width, edge = 0.020, 0.014
    distance = np.abs(u + 0.010 * np.sin(6 * v))
    return 0.8 * smoothstep((half_width - distance) / edge) * (np.abs(v) > 0.30)


def _ventricles(u: Array, v: Array, size: float, spread: float) -> Array:
    """Opacity [H, W] of the two lateral ventricles: a horn in front and one behind, bent away from each other."""
    horns = np.zeros_like(u)
    for side in (-1, 1):
        front_bend = side * (spread - 0.15 * (v + 0.2))
        back_bend = side * (spread + 0.05 + 0.30 * (v - 0.05))
        front = oval(u, v, cx=front_bend, cy=-0.17, rx=0.060 * size, ry=0.20 * size)
        back = oval(u, v, cx=back_bend, cy=0.20, rx=0.060 * size, ry=0.18 * size)
        horns = np.maximum(horns, smoothstep((1.15 - np.minimum(front, back)) / 0.3))
    return horns


def _skull(rng: np.random.Generator, scene: Array, radius: Array) -> Array:
    """Dark bone, bright scalp and the air around them laid over a scene [H, W]."""
    bone, scalp = rng.uniform(0.05, 0.08), rng.uniform(0.55, 0.65)
    scene = mix(scene, np.full_like(scene, bone), smoothstep((radius - SKULL) / 0.02))
    scene = mix(scene, np.full_like(scene, scalp), smoothstep((radius - SCALP) / 0.025))
    return mix(scene, np.full_like(scene, AIR_SIGNAL), smoothstep((radius - AIR - 0.01 * rng.random()) / 0.03))


def _glioma(
    canvas: Canvas, rng: np.random.Generator, head: Head, scene: Array, radius: Array, severity: float
) -> tuple[Array, Array]:
    """Bright oedema that spreads in fingers through the white matter of one side; in it a rim around a dead core.

    Scene [H, W] with the tumour, and its mask [H, W].
    """
    side, angle = rng.choice([-1, 1]), rng.uniform(-1.2, 1.2)
    distance = rng.uniform(0.40, 0.60)  # from the middle of the head
    cx, cy = head.place(side * distance * np.cos(angle), distance * np.sin(angle))
    strength = 0.10 + 0.90 * severity
    size = rng.uniform(0.13, 0.17) * (0.75 + 0.45 * severity)
    within = smoothstep((0.93 - radius) / 0.05)
    spread = canvas.blob(rng, cx, cy, radius=size * 1.45, rough=0.14)
    spread = spread + 0.28 * canvas.texture(rng, cells=7, octaves=3)
    oedema = smoothstep((1.12 - spread) / 0.30) * within
    swollen = (OEDEMA_SIGNAL + 0.03 * canvas.texture(rng, cells=12, octaves=2)).astype(np.float32)
    scene = mix(scene, swollen, oedema * 0.9 * strength)
    shift_x, shift_y = size * rng.uniform(-0.35, 0.35, 2)
    mass = canvas.blob(rng, cx + shift_x, cy + shift_y, radius=size * rng.uniform(0.5, 0.8), rough=0.12)
    mass = mass + 0.10 * canvas.texture(rng, cells=9, octaves=2)
    core = smoothstep((0.95 - mass) / 0.25) * within
    scene = mix(scene, np.full_like(scene, NECROSIS_SIGNAL), core * 0.85 * strength)
    rim = np.exp(-(((mass - 0.98) / 0.16) ** 2)) * within
    scene = mix(scene, np.full_like(scene, RIM_SIGNAL), rim * 0.7 * strength)
    return scene, np.maximum(oedema, core) > 0.4


def _meningioma(
    canvas: Canvas, rng: np.random.Generator, head: Head, scene: Array, radius: Array, severity: float
) -> tuple[Array, Array]:
    """A smooth, even mass, flat on the dura or on the fold between the hemispheres, a dark cleft around it.

    Scene [H, W] with the tumour, and its mask [H, W].
    """
    strength = 0.10 + 0.90 * severity
    size = rng.uniform(0.105, 0.145) * (0.8 + 0.35 * severity)
    if rng.random() < 0.25:  # on the fold between the hemispheres
        u = rng.choice([-1, 1]) * 0.75 * size / head.rx
        v = rng.choice([-1, 1]) * rng.uniform(0.45, 0.75)
    else:
        angle = rng.uniform(0, 2 * np.pi)
        u, v = DURA * np.cos(angle), DURA * np.sin(angle)
    cx, cy = head.place(u, v)
    within = smoothstep((0.985 - radius) / 0.02)
    mass = canvas.blob(rng, cx, cy, radius=size, rough=0.06)
    cleft = canvas.soft(mass / 1.16, edge=0.07) * within
    scene = mix(scene, np.full_like(scene, head.fluid), cleft * 0.7 * strength)
    solid = canvas.soft(mass, edge=0.08) * within
    tone = rng.uniform(0.72, 0.80) * (1 + 0.04 * canvas.texture(rng, cells=10, octaves=2))
    return mix(scene, tone.astype(np.float32), solid * strength), cleft > 0.4
