"""Fundus photographs: a retina with disc, cup, vessels and macula; glaucoma (LAG) and diabetic lesions (APTOS).

Both have small, sharp lesions: a few per cent of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from d24fad_lite.data.samples.canvas import Array, Camera, Canvas, mix, smoothstep

CAMERA = Camera(
    mean=(0.62, 0.36, 0.19),
    mean_spread=0.10,
    contrast=0.11,
    contrast_spread=0.10,
    tint_spread=0.04,
    blur=(0.003, 0.008),
    noise=(0.006, 0.016),
)

BLOOD = np.array([0.62, 0.34, 0.40], np.float32)  # what it leaves of the light of each channel
EXUDATE = np.array([0.98, 0.82, 0.42], np.float32)
HEALTHY_CUP = (0.28, 0.44)  # cup-to-disc ratio


@dataclass(frozen=True)
class Eye:
    """Anatomy of one retina, in coordinates of the canvas."""

    disc: tuple[float, float]
    radius: float  # of the disc
    stretch: float
    tilt: float
    cup: float  # cup-to-disc ratio
    macula: tuple[float, float]
    view: float  # radius of the field of view


def paint_glaucoma(
    canvas: Canvas, rng: np.random.Generator, lesion: np.random.Generator | None, severity: float
) -> tuple[Array, Array, Array, str]:
    """A disc-centred retina; the anomaly is glaucoma: a wide cup, a pale notch in its rim, and, at the disc's edge,
    blood and a crescent of wasted tissue."""
    side = rng.choice([-1, 1])
    eye = _eye(rng, disc=(side * rng.uniform(0.02, 0.14), rng.uniform(-0.07, 0.07)), radius=rng.uniform(0.25, 0.30))
    scene, view = _retina(canvas, rng, eye)
    vessels, disc, tone = _vessels(canvas, rng, eye), _disc_radius(canvas, eye), rng.uniform(0.8, 1.2)
    shift = rng.uniform(-0.1, 0.1, 2) * eye.radius
    healthy = _cup_radius(canvas, eye, eye.cup, shift)
    if lesion is None:
        scene = _paint_disc(canvas, scene, disc, healthy, tone)
        return mix(scene, _vessel_colour(scene), _dive(vessels, healthy)), view, np.zeros_like(disc, bool), "normal"
    pole = lesion.choice([-1, 1]) * np.pi / 2 + lesion.uniform(-0.35, 0.35)  # notches lie above or below
    cup = min(0.82, eye.cup + (0.06 + 0.36 * severity) * lesion.uniform(0.9, 1.1))
    sick = _cup_radius(canvas, eye, cup, shift) / (1 + 0.45 * severity * _sector(canvas, eye, pole, width=0.5))
    scene, wasted = _atrophy(canvas, lesion, scene, eye, disc, severity)
    scene = _paint_disc(canvas, scene, disc, sick, tone)
    scene = mix(scene, _vessel_colour(scene), _dive(vessels, sick))
    scene, blood = _disc_haemorrhages(canvas, lesion, scene, eye, pole, severity)
    return scene, view, ((sick < 1) & (healthy >= 1)) | wasted | blood, "glaucoma"


def paint_retinopathy(
    canvas: Canvas, rng: np.random.Generator, lesion: np.random.Generator | None, severity: float
) -> tuple[Array, Array, Array, str]:
    """A macula-centred retina; the anomaly is any of microaneurysms, haemorrhages and exudates."""
    side = rng.choice([-1, 1])
    eye = _eye(rng, disc=(side * rng.uniform(0.50, 0.62), rng.uniform(-0.1, 0.1)), radius=rng.uniform(0.13, 0.17))
    scene, view = _retina(canvas, rng, eye)
    vessels, disc = _vessels(canvas, rng, eye), _disc_radius(canvas, eye)
    scene = _paint_disc(canvas, scene, disc, _cup_radius(canvas, eye, eye.cup, np.zeros(2)), rng.uniform(0.8, 1.2))
    scene = mix(scene, _vessel_colour(scene), vessels)
    scene = _harmless_spots(canvas, rng, scene, eye)
    mask, kind = np.zeros_like(disc, bool), "normal"
    if lesion is not None:
        scene, mask = _diabetic_lesions(canvas, lesion, scene, eye, severity)
        kind = "retinopathy"
    return scene, view, mask, kind


def _eye(rng: np.random.Generator, disc: tuple[float, float], radius: float) -> Eye:
    toward = -np.sign(disc[0]) if disc[0] else 1.0
    macula = (disc[0] + toward * rng.uniform(0.52, 0.64), disc[1] + rng.uniform(0.0, 0.12))
    return Eye(
        disc,
        radius,
        rng.uniform(0.86, 1.0),
        rng.uniform(-0.4, 0.4),
        rng.uniform(*HEALTHY_CUP),
        macula,
        rng.uniform(0.93, 0.97),
    )


def _retina(canvas: Canvas, rng: np.random.Generator, eye: Eye) -> tuple[Array, Array]:
    """Background with choroid texture, macula and uneven lighting [H, W, 3]; field of view [H, W]."""
    base = np.array([0.66, 0.36, 0.17]) * np.exp(rng.normal(0, 0.05, 3))
    glow = 1 + 0.20 * rng.uniform(0.3, 1) * (rng.uniform(-1, 1) * canvas.x + rng.uniform(-1, 1) * canvas.y)
    glow = glow - 0.16 * rng.uniform(0.4, 1.4) * (canvas.x**2 + canvas.y**2)
    choroid = canvas.texture(rng, rng.integers(5, 9), 4) * rng.uniform(0.012, 0.035)
    scene = (glow + choroid)[..., None] * base
    macula = np.exp(-(canvas.ellipse(*eye.macula, 0.21, 0.19) ** 2))
    scene = scene * (1 - macula[..., None] * np.array([0.22, 0.34, 0.30]) * rng.uniform(0.6, 1.2))
    view = canvas.soft(np.hypot(canvas.x, canvas.y) / eye.view, 0.012)
    return scene.astype(np.float32), view


def _disc_radius(canvas: Canvas, eye: Eye) -> Array:
    return canvas.ellipse(*eye.disc, eye.radius * eye.stretch, eye.radius, eye.tilt)


def _cup_radius(canvas: Canvas, eye: Eye, cup: float, shift: Array) -> Array:
    centre = eye.disc[0] + shift[0] * (1 - cup), eye.disc[1] + shift[1] * (1 - cup)
    return canvas.ellipse(*centre, cup * eye.radius * eye.stretch, cup * eye.radius, eye.tilt)


def _sector(canvas: Canvas, eye: Eye, angle: float, width: float) -> Array:
    """1 in that direction from the disc's middle, falling to 0 beside it."""
    direction = np.arctan2(canvas.y - eye.disc[1], canvas.x - eye.disc[0])
    return np.exp(-((np.angle(np.exp(1j * (direction - angle))) / width) ** 2)).astype(np.float32)


def _paint_disc(canvas: Canvas, scene: Array, disc: Array, cup: Array, tone: float) -> Array:
    """`disc` and `cup` are normalised radii: 1 on the outline."""
    rim = np.array([0.84, 0.48, 0.24]) * (0.94 + 0.06 * tone)
    pale = np.array([0.95, 0.76, 0.50]) * (0.92 + 0.08 * tone)
    halo = np.exp(-((np.clip(disc - 1, 0, None) / 0.35) ** 2)) * 0.16
    scene = mix(scene, np.broadcast_to(rim, scene.shape), np.maximum(canvas.soft(disc, 0.07), halo) * 0.9)
    pallor = canvas.soft(cup, 0.14) * canvas.soft(disc, 0.05)
    return mix(scene, np.broadcast_to(pale, scene.shape), pallor * 0.8).astype(np.float32)


def _dive(vessels: Array, cup: Array) -> Array:
    """Vessels bend over the edge of the cup and are lost to sight in it."""
    return vessels * (1 - 0.5 * smoothstep((1.2 - cup) / 0.5))


def _atrophy(
    canvas: Canvas, rng: np.random.Generator, scene: Array, eye: Eye, disc: Array, severity: float
) -> tuple[Array, Array]:
    """A thin mottled crescent along the disc on the side of the macula, where the pigment has gone."""
    toward = (0.0 if eye.macula[0] > eye.disc[0] else np.pi) + rng.uniform(-0.5, 0.5)
    width = rng.uniform(0.28, 0.42) * (0.3 + 0.7 * severity) * _sector(canvas, eye, toward, width=1.1)
    crescent = smoothstep((1 + width - disc) / 0.10) * (disc > 0.9) * smoothstep(width / 0.12)
    mottled = np.clip(0.55 + 0.4 * canvas.texture(rng, 26, 2), 0, 1)[..., None]
    tissue = mottled * np.array([0.90, 0.68, 0.44]) + (1 - mottled) * np.array([0.40, 0.22, 0.13])
    return mix(scene, tissue, crescent * (0.08 + 0.82 * severity)).astype(np.float32), crescent > 0.4


def _disc_haemorrhages(
    canvas: Canvas, rng: np.random.Generator, scene: Array, eye: Eye, pole: float, severity: float
) -> tuple[Array, Array]:
    """Flames of blood across the edge of the disc near the notch, radial as the nerve fibres are."""
    lines = []
    for _ in range(1 + round(severity * rng.uniform(0.5, 1.4))):
        angle = pole + rng.choice([-1, 1]) * rng.uniform(0.25, 0.8)
        ray = np.array([np.cos(angle) * eye.stretch, np.sin(angle)]) * eye.radius
        reach, width = rng.uniform(1.3, 1.6), rng.uniform(0.04, 0.06) * (0.5 + 0.5 * severity)
        path = [np.array(eye.disc) + ray * r for r in np.linspace(0.85, reach, 4)]
        lines += [(np.stack(path[:3]), width), (np.stack(path[2:]), width * 0.5)]
    blood = canvas.blur(canvas.strokes(lines), 0.006)
    return mix(scene, scene * BLOOD, blood * (0.10 + 0.90 * severity)), blood > 0.4


def _vessel_colour(scene: Array) -> Array:
    return scene * np.array([0.66, 0.42, 0.50], np.float32)


def _vessels(canvas: Canvas, rng: np.random.Generator, eye: Eye) -> Array:
    """Opacity of the vessel tree: arcades above and below, and finer branches off them."""
    lines: list[tuple[Array, float]] = []
    toward = np.sign(eye.macula[0] - eye.disc[0])
    for up in (-1, 1):
        for reach, bend, width in ((toward, 1.0, 0.032), (toward, 1.35, 0.024), (-toward, 0.75, 0.026)):
            _grow(
                rng,
                lines,
                np.array(eye.disc),
                np.pi / 2 * up,
                reach,
                bend * rng.uniform(0.8, 1.2),
                width * rng.uniform(0.8, 1.2),
                up,
                depth=0,
            )
    return canvas.blur(canvas.strokes(lines), 0.004) * rng.uniform(0.6, 0.95)


def _grow(
    rng: np.random.Generator,
    lines: list[tuple[Array, float]],
    start: Array,
    heading: float,
    reach: float,
    bend: float,
    width: float,
    up: int,
    depth: int,
) -> None:
    steps, step = 22 - 5 * depth, 0.062
    points, turn = [start], -up * reach * 0.075 / bend
    for i in range(steps):
        heading += turn * (1 if i < 12 else 0.3) + rng.normal(0, 0.07)
        points.append(points[-1] + step * np.array([np.cos(heading), np.sin(heading)]))
        if depth < 2 and i > 1 and rng.random() < 0.17:
            side = rng.choice([-1, 1])
            _grow(
                rng,
                lines,
                points[-1],
                heading + side * rng.uniform(0.4, 0.9),
                reach,
                bend * 3,
                width * 0.6,
                up,
                depth + 1,
            )
    path = np.array(points)
    third = len(path) // 3
    for part, scale in ((path[: third + 1], 1.0), (path[third : 2 * third + 1], 0.8), (path[2 * third :], 0.6)):
        lines.append((part, width * scale))


def _harmless_spots(canvas: Canvas, rng: np.random.Generator, scene: Array, eye: Eye) -> Array:
    """Faint soft pigment and reflexes that healthy eyes have too; far larger and fainter than lesions."""
    tessellation = rng.uniform(0, 0.045) * canvas.texture(rng, 20, 2)  # how much the choroid shows through
    scene = scene * (1 + tessellation[..., None])
    for _ in range(rng.integers(2, 7)):
        x, y = rng.uniform(-0.7, 0.7, 2)
        spot = np.exp(-(canvas.ellipse(x, y, *rng.uniform(0.05, 0.14, 2), rng.uniform(0, 3)) ** 2))
        scene = scene * (1 + spot[..., None] * rng.uniform(-0.10, 0.10))
    return scene.astype(np.float32)


def _diabetic_lesions(
    canvas: Canvas, rng: np.random.Generator, scene: Array, eye: Eye, severity: float
) -> tuple[Array, Array]:
    blood, exudate = np.zeros((2, *scene.shape[:2]), np.float32)

    def place() -> tuple[float, float]:
        while True:
            x, y = rng.uniform(-0.72, 0.72, 2)
            if np.hypot(x, y) < 0.74 and np.hypot(x - eye.disc[0], y - eye.disc[1]) > 1.5 * eye.radius:
                return float(x), float(y)

    for _ in range(rng.integers(3, 6) + round(7 * severity)):  # microaneurysms
        blood = np.maximum(blood, canvas.soft(canvas.ellipse(*place(), *rng.uniform(0.012, 0.02, 2)), 0.35))
    for _ in range(rng.integers(1, 3) + round(3 * severity)):  # haemorrhages
        blot = canvas.blob(rng, *place(), rng.uniform(0.03, 0.05 + 0.04 * severity), 0.22)
        blood = np.maximum(blood, canvas.soft(blot + 0.14 * canvas.texture(rng, 24, 2), 0.25))
    for _ in range(rng.integers(1, 2 + round(2 * severity))):  # exudates come in groups
        cx, cy = place()
        for _ in range(rng.integers(5, 11)):
            x, y = cx + rng.normal(0, 0.06), cy + rng.normal(0, 0.06)
            exudate = np.maximum(exudate, canvas.soft(canvas.blob(rng, x, y, rng.uniform(0.012, 0.028), 0.2), 0.3))
    strength = 0.15 + 0.85 * severity
    scene = mix(scene, scene * BLOOD, blood * strength)
    scene = mix(scene, np.broadcast_to(EXUDATE, scene.shape), exudate * 0.85 * strength)
    return scene.astype(np.float32), np.maximum(blood, exudate) > 0.25
