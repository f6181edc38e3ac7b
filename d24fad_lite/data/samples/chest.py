"""Frontal chest X-rays; the anomaly is consolidation of a good part of a lung, on one side or both.

Left and right are the picture's; the patient's are the other way round: the heart leans to the right of the picture.
Outlines are drawn for one half of the chest with x >= 0 and mirrored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from d24fad_lite.data.samples.canvas import Array, Camera, Canvas, Stroke, mix, oval, smoothstep, through, turned

CAMERA = Camera(
    mean=(0.50, 0.50, 0.50),
    mean_spread=0.14,
    contrast=0.205,
    contrast_spread=0.13,
    tint_spread=0.0,
    blur=(0.003, 0.008),
    noise=(0.006, 0.014),
    grey=True,
)

# Outlines [N, 2] in coordinates of the chest, whose spine is x = 0.
LUNG = (  # the dome of the diaphragm cuts it off
    (0.13, -0.52),
    (0.20, -0.72),
    (0.31, -0.77),
    (0.43, -0.68),
    (0.56, -0.44),
    (0.66, -0.10),
    (0.715, 0.24),
    (0.735, 0.66),
    (0.40, 0.90),
    (0.10, 0.80),
    (0.09, 0.20),
    (0.10, -0.20),
)
SHOULDER = (
    (-0.1, -1.3),
    (0.20, -1.3),
    (0.21, -0.98),
    (0.34, -0.87),
    (0.62, -0.82),
    (0.88, -0.74),
    (1.3, -0.45),
    (1.3, 0.05),
    (0.97, 0.06),
    (0.90, 0.40),
    (0.92, 1.3),
    (-0.1, 1.3),
)
SCAPULA = ((0.60, -0.60), (0.86, -0.66), (0.93, -0.50), (0.80, -0.18), (0.735, 0.06), (0.70, -0.10), (0.665, -0.36))
CLAVICLE = ((0.055, -0.485), (0.16, -0.535), (0.32, -0.585), (0.50, -0.665), (0.68, -0.735), (0.82, -0.75))
MEDIASTINUM = (
    # down the picture's left: great vein, right atrium
    (-0.075, -1.2),
    (-0.09, -0.62),
    (-0.125, -0.40),
    (-0.135, -0.16),
    (-0.165, -0.04),
    (-0.215, 0.12),
    (-0.215, 0.28),
    (-0.15, 0.46),
    (-0.02, 0.72),
    (0.36, 0.70),
    # up its right: left ventricle, bay, aortic knob
    (0.475, 0.50),
    (0.465, 0.34),
    (0.375, 0.12),
    (0.255, -0.06),
    (0.165, -0.15),
    (0.14, -0.20),
    (0.185, -0.27),
    (0.19, -0.36),
    (0.13, -0.44),
    (0.095, -0.62),
    (0.075, -1.2),
)
WALL_HEIGHTS = (-0.80, -0.68, -0.44, -0.10, 0.24, 0.66)  # from the apex down ...
WALL_HALF_WIDTHS = (0.25, 0.43, 0.57, 0.675, 0.73, 0.75)  # ... half the width of the rib cage there

RIBS_BEHIND, RIBS_IN_FRONT = 10, 6  # of each side, as many as a film shows
RIB_BEHIND_WIDTH, RIB_IN_FRONT_WIDTH, CLAVICLE_WIDTH = 0.052, 0.060, 0.062
VESSEL_WIDTH = 0.022  # at the hilum
VESSEL_STEP = 0.048  # a vessel grows in straight steps of this length
VESSEL_TAPER = {0: 1.0, 3: 0.7, 6: 0.42, 9: 0.25}  # share of the width from that step on
FILM_RESPONSE = 1.9  # how fast the film saturates where the body is dense


@dataclass(frozen=True)
class Thorax:
    """Pose and proportions of one patient."""

    cx: float
    cy: float
    width: float
    height: float
    roll: float  # radians
    heart: float  # width of the heart, 1 on average
    breath: float  # how far the diaphragm has moved down, in coordinates
    rib_strength: float

    def place(self, points: Array, side: int = 1) -> Array:
        """Points [N, 2] of a half chest, mirrored where side is -1, -> coordinates of the canvas [N, 2]."""
        x, y = points[:, 0] * side * self.width, points[:, 1] * self.height
        c, s = np.cos(self.roll), np.sin(self.roll)
        return np.stack([c * x - s * y + self.cx, s * x + c * y + self.cy], axis=1)

    def chest_coordinates(self, canvas: Canvas) -> tuple[Array, Array]:
        """x, y [side, side] of each pixel of the canvas in the coordinates of the outlines."""
        across, down = turned(canvas.x - self.cx, canvas.y - self.cy, self.roll)
        return across / self.width, down / self.height


def paint(
    canvas: Canvas, rng: np.random.Generator, lesion: np.random.Generator | None, severity: float
) -> tuple[Array, Array, Array, str]:
    """Scene [H, W, 3] (bright is dense), field of view [H, W], lesion mask [H, W], kind ("normal" or "opacity")."""
    t = Thorax(
        cx=rng.uniform(-0.035, 0.035),
        cy=rng.uniform(-0.03, 0.03),
        width=rng.uniform(0.95, 1.05),
        height=rng.uniform(0.95, 1.03),
        roll=rng.normal(0, 0.015),
        heart=rng.uniform(0.88, 1.12),
        breath=rng.uniform(-0.05, 0.04),
        rib_strength=rng.uniform(0.8, 1.2),
    )
    x, y = t.chest_coordinates(canvas)
    lungs = _lungs(canvas, rng, t, x, y)
    dense = _soft_tissue(canvas, rng, t, x, y, lungs)
    dense = dense + lungs * _markings(canvas, rng, t)
    middle = _middle(canvas, rng, t, x, y)
    mask, kind = np.zeros(dense.shape, bool), "normal"
    if lesion is not None:
        kind = "opacity"
        dense, filled = _consolidation(canvas, lesion, t, dense, lungs, x, severity)
        mask = filled & (middle < 0.3)  # behind the heart nothing is seen of it
    dense = np.maximum(dense, middle) + _bones(canvas, rng, t, y)
    dense = dense + 0.012 * canvas.texture(rng, cells=8, octaves=4)
    film = 1 - np.exp(-FILM_RESPONSE * np.clip(dense, 0, None))
    scene = np.repeat(film[..., None], 3, axis=2).astype(np.float32)
    return scene, np.ones_like(film, dtype=np.float32), mask, kind


def _varied(rng: np.random.Generator, outline: Sequence[tuple[float, float]], spread: float) -> Array:
    """An outline [N, 2] as one patient has it: each point moved at random, `spread` is the standard deviation."""
    return np.array(outline) + rng.normal(0, spread, (len(outline), 2))


def _lungs(canvas: Canvas, rng: np.random.Generator, t: Thorax, x: Array, y: Array) -> Array:
    """Air in the beam [H, W], 0..1: thinner towards the chest wall and the apex, cut off by the diaphragm."""
    air = np.zeros(x.shape, np.float32)
    for side in (-1, 1):
        outline = through(_varied(rng, LUNG, spread=0.008), closed=True)
        field = canvas.filled(t.place(outline, side), edge=0.007)
        field = field * smoothstep((_dome(x * side, side, t) - y) / 0.035 + 0.5)
        depth = 0.62 + 0.38 * smoothstep(1.35 * canvas.blur(field, sigma=0.09) - 0.28)
        air = np.maximum(air, field * depth)
    return air


def _dome(x: Array, side: int, t: Thorax) -> Array:
    """Height y [H, W] of the diaphragm over x of a half chest; over the liver (the picture's left) it is higher."""
    top, steep_outside, steep_inside = 0.36, 1.55, 0.55
    lower = 0.05 if side > 0 else 0.0  # where no liver lies below
    off = x - top
    return 0.47 + t.breath + lower + np.where(off > 0, steep_outside, steep_inside) * off**2


def _soft_tissue(canvas: Canvas, rng: np.random.Generator, t: Thorax, x: Array, y: Array, lungs: Array) -> Array:
    """Density [H, W] around the lungs: neck, shoulders, chest wall, the belly with the stomach's bubble of air."""
    half = through(SHOULDER)
    body = np.maximum(*(canvas.filled(t.place(half, side), edge=0.012) for side in (-1, 1)))
    thick = 0.46 + 0.07 * smoothstep((y + 0.2) / 0.9) - 0.20 * np.clip(np.abs(x) - 0.60, 0, 1)
    shoulder = 0.12 * np.exp(-(oval(np.abs(x), y, cx=0.80, cy=-0.55, rx=0.28, ry=0.22) ** 2))
    belly = 0.24 * smoothstep((_dome(np.abs(x), -1, t) + 0.10 - y) / -0.30 + 0.1)
    y_from_bubble = y - 0.72  # 0 at the height of its middle at average breath
    bubble_width, bubble_height = rng.uniform(0.10, 0.16), rng.uniform(0.055, 0.085)
    bubble = oval(x, y_from_bubble, cx=0.42, cy=t.breath, rx=bubble_width, ry=bubble_height)
    gas = 0.26 * rng.uniform(0.5, 1.0) * smoothstep((1.1 - bubble) / 0.35)
    return body * (thick + shoulder + belly - gas) * rng.uniform(0.95, 1.05) - 0.40 * rng.uniform(0.9, 1.1) * lungs


def _markings(canvas: Canvas, rng: np.random.Generator, t: Thorax) -> Array:
    """Density [H, W] of the vessels, which taper and branch outwards from the hila, and of the hila themselves."""
    lines: list[Stroke] = []
    hila = np.zeros((canvas.side, canvas.side), np.float32)
    for side, height in ((-1, 0.0), (1, -0.05)):
        for direction in np.linspace(-1.25, 1.45, num=11):
            root = np.array([0.15, height + 0.05 * direction])
            heading = direction + rng.normal(0, 0.08)
            lines += _branch(rng, t, side, root, heading=heading, width=VESSEL_WIDTH, steps=11)
        ((cx, cy),) = t.place(np.array([[0.17, height + 0.03]]), side)
        hila = hila + np.exp(-(canvas.ellipse(cx, cy, rx=0.075, ry=0.15, angle=-0.25 * side) ** 2))
    return (0.15 * canvas.blur(canvas.strokes(lines), sigma=0.007) + 0.20 * hila) * rng.uniform(0.85, 1.15)


def _branch(
    rng: np.random.Generator, t: Thorax, side: int, start: Array, *, heading: float, width: float, steps: int
) -> list[Stroke]:
    """A vessel of a half chest and its branches: it wanders off from `start` [2] in direction `heading` (radians)."""
    lines: list[Stroke] = []
    points = [start]
    for step in range(steps):
        heading += rng.normal(0, 0.10)
        points.append(points[-1] + VESSEL_STEP * np.array([np.cos(heading), np.sin(heading)]))
        if width > 0.008 and step in (3, 6) and rng.random() < 0.8:
            turn = rng.choice([-1, 1]) * rng.uniform(0.35, 0.7)
            fork = points[-1]
            lines += _branch(rng, t, side, fork, heading=heading + turn, width=width * 0.6, steps=steps - step)
    path = t.place(np.array(points), side)
    lines += [(path[first : first + 4], width * share) for first, share in VESSEL_TAPER.items() if first < steps]
    return lines


def _middle(canvas: Canvas, rng: np.random.Generator, t: Thorax, x: Array, y: Array) -> Array:
    """Density [H, W] of heart, great vessels with the aortic knob, and spine, the trachea's air cut out."""
    outline = _varied(rng, MEDIASTINUM, spread=0.006)
    outline[:, 0] *= np.where(outline[:, 1] > -0.12, t.heart, 1.0)  # below this height lies the heart
    solid = canvas.filled(t.place(through(outline, closed=True)), edge=0.011)
    discs = np.cos(2 * np.pi * (y / 0.125 + rng.uniform(0, 1)))
    spine = smoothstep((0.10 - np.abs(x)) / 0.035) * (0.10 + 0.035 * discs)
    airway = smoothstep((0.046 - np.abs(x + 0.012)) / 0.022) * smoothstep((-0.20 - y) / 0.05)  # the trachea
    for side, drop in ((-1, 0.75), (1, 0.62)):
        along = x * side
        bronchus = smoothstep((0.032 - np.abs(y + 0.22 - drop * along)) / 0.022)
        airway = np.maximum(airway, 0.7 * bronchus * smoothstep(along / 0.02 + 1) * smoothstep((0.20 - along) / 0.08))
    depth = 0.48 + 0.16 * canvas.blur(solid, sigma=0.10) * smoothstep((y + 0.5) / 0.6)
    below_diaphragm = smoothstep((y - _dome(np.abs(x), 1, t)) / 0.12)
    return solid * (depth * (1 - 0.3 * below_diaphragm) + spine - 0.17 * airway)


def _bones(canvas: Canvas, rng: np.random.Generator, t: Thorax, y: Array) -> Array:
    """Density [H, W] of the ribs behind and in front, clavicles and scapulae."""
    behind: list[Stroke] = []
    in_front: list[Stroke] = []
    collar: list[Stroke] = []
    blades = np.zeros(y.shape, np.float32)
    first, spacing = -0.80 + rng.uniform(-0.015, 0.015), 0.128 * rng.uniform(0.97, 1.03)
    backs = [_rib_behind(first + spacing * number, number) for number in range(RIBS_BEHIND)]
    fronts = [_rib_in_front(first + 0.33 + 1.2 * spacing * number, number) for number in range(RIBS_IN_FRONT)]
    for side in (-1, 1):
        behind += [(t.place(rib, side), RIB_BEHIND_WIDTH) for rib in backs]
        in_front += [(t.place(rib, side), RIB_IN_FRONT_WIDTH) for rib in fronts]
        collar.append((t.place(through(_varied(rng, CLAVICLE, spread=0.008)), side), CLAVICLE_WIDTH))
        blades = np.maximum(blades, canvas.filled(t.place(through(SCAPULA, closed=True), side), edge=0.012))
    ribs = 0.125 * _bone(canvas, behind) + 0.045 * _bone(canvas, in_front)
    ribs = ribs * t.rib_strength * (1 - 0.55 * smoothstep((y - 0.42) / 0.25))  # the belly hides the lowest
    return ribs + 0.17 * _bone(canvas, collar) + 0.075 * blades


def _bone(canvas: Canvas, lines: list[Stroke]) -> Array:
    """Density [H, W] of long bones: their edges are brightest, for the marrow inside lets more through."""
    solid = canvas.blur(canvas.strokes(lines), sigma=0.006)
    marrow = canvas.blur(canvas.strokes([(path, width * 0.5) for path, width in lines]), sigma=0.006)
    return solid - 0.40 * marrow


def _lateral_wall(y: float) -> float:
    """Half the width of the rib cage at a height."""
    return float(np.interp(y, WALL_HEIGHTS, WALL_HALF_WIDTHS))


def _rib_behind(y: float, number: int) -> Array:
    """Curve [M, 2] out of the spine, a little upwards, then down to the wall: the upper ribs in a tighter bend."""
    drop = 0.10 + 0.022 * min(number, 6)
    edge = _lateral_wall(y + drop)
    return through(
        (
            (0.07, y + 0.015),
            (0.35 * edge, y - 0.02),
            (0.65 * edge, y + 0.01),
            (0.90 * edge, y + 0.55 * drop),
            (edge, y + drop),
            (0.985 * edge, y + drop + 0.07),
        )
    )


def _rib_in_front(y: float, number: int) -> Array:
    """Curve [M, 2] from the wall down and inwards, to where the rib turns to cartilage, which X-rays pass."""
    edge, end = _lateral_wall(y), 0.22 + 0.035 * number
    return through(
        ((edge, y), (edge - 0.35 * (edge - end), y + 0.11), (end + 0.1 * (edge - end), y + 0.19), (end, y + 0.20))
    )


def _consolidation(
    canvas: Canvas, rng: np.random.Generator, t: Thorax, dense: Array, lungs: Array, x: Array, severity: float
) -> tuple[Array, Array]:
    """Airspaces filled with fluid: a fluffy whitening that hides the vessels and leaves air in the larger bronchi.

    Density [H, W] with the lesion, and its mask [H, W].
    """
    both = rng.random() < 0.4
    sides = (-1, 1) if both else (int(rng.choice([-1, 1])),)
    cover = np.zeros_like(lungs)
    for side in sides:
        centre = np.array([[rng.uniform(0.34, 0.50), rng.uniform(-0.30, 0.32)]])
        ((cx, cy),) = t.place(centre, side)
        radius = rng.uniform(0.30, 0.37) * (0.55 + 0.50 * severity) * (0.95 if both else 1.15)
        patch = canvas.blob(rng, cx, cy, radius=radius, rough=0.22)
        fluffy = patch + 0.18 * canvas.texture(rng, cells=8, octaves=3)
        cover = np.maximum(cover, smoothstep((1.30 - fluffy) / 0.75) * (x * side > 0))
    lines: list[Stroke] = []
    hilum = np.array([0.15, 0.0])
    for side in sides:
        for heading in rng.uniform(-1.0, 1.2, 5):
            lines += _branch(rng, t, side, hilum, heading=heading, width=VESSEL_WIDTH, steps=10)
    bronchi = canvas.blur(canvas.strokes(lines), sigma=0.007)
    cover = cover * smoothstep(lungs * 1.6)
    opacity = cover * (0.12 + 0.78 * severity)
    filled = 0.46 * (1 + 0.07 * canvas.texture(rng, cells=12, octaves=3)) - 0.13 * bronchi
    return mix(dense, np.maximum(dense, filled), opacity), cover > 0.35
