"""Fundus photographs: a retina with disc, cup, vessels and macula; glaucoma (LAG) and diabetic lesions (APTOS).

Both have small, sharp lesions: a few per cent of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from d24fad_lite.data.samples.canvas import Array, Camera, Canvas, Stroke, mix, smoothstep

CAMERA = Camera(
    mean=(0.62, 0.36, 0.19),
    mean_spread=0.10,
    contrast=0.11,
    contrast_spread=0.10,
    tint_spread=0.04,
    blur=(0.003, 0.008),
    noise=(0.006, 0.016),
)

# Colours in 0..1, and what a layer leaves of the light of each channel.
RETINA = np.array([0.66, 0.36, 0.17])
MACULA_TAKES = np.array([0.22, 0.34, 0.30])
RIM = np.array([0.84, 0.48, 0.24])
CUP = np.array([0.95, 0.76, 0.50])
WASTED_PALE, WASTED_DARK = np.array([0.90, 0.68, 0.44]), np.array([0.40, 0.22, 0.13])
EXUDATE = np.array([0.98, 0.82, 0.42], np.float32)
BLOOD_LEAVES = np.array([0.62, 0.34, 0.40], np.float32)
VESSEL_LEAVES = np.array([0.66, 0.42, 0.50], np.float32)

HEALTHY_CUP = (0.28, 0.44)  # range of the cup-to-disc ratio
WIDEST_CUP = 0.82  # cup-to-disc ratio
VESSEL_STEP = 0.062  # a vessel grows in straight steps of this length
FINEST_BRANCH = 2  # how many forks lie between the disc and the last vessels
HARMLESS_WITHIN, LESIONS_WITHIN = 0.7, 0.72  # from the middle of the picture, along x and along y


@dataclass(frozen=True)
class Eye:
    """Anatomy of one retina, in coordinates of the canvas."""

    disc: tuple[float, float]  # its centre
    radius: float  # of the disc
    stretch: float  # width of the disc by its height
    tilt: float  # of the disc, radians
    cup: float  # cup-to-disc ratio
    macula: tuple[float, float]  # its centre
    view: float  # radius of the field of view


def paint_glaucoma(
    canvas: Canvas, rng: np.random.Generator, lesion: np.random.Generator | None, severity: float
) -> tuple[Array, Array, Array, str]:
    """A disc-centred retina; the anomaly is glaucoma: a wide cup, a pale notch in its rim, and, at the disc's edge,
    blood and a crescent of wasted tissue.

    Scene [H, W, 3], field of view [H, W], lesion mask [H, W] and kind ("normal" or "glaucoma").
    """
    side = rng.choice([-1, 1])
    eye = _eye(rng, disc=(side * rng.uniform(0.02, 0.14), rng.uniform(-0.07, 0.07)), radius=rng.uniform(0.25, 0.30))
    scene, view = _retina(canvas, rng, eye)
    vessels, disc = _vessels(canvas, rng, eye), _disc_radius(canvas, eye)
    tone, shift = rng.uniform(0.8, 1.2), rng.uniform(-0.1, 0.1, 2) * eye.radius
    healthy = _cup_radius(canvas, eye, eye.cup, shift)
    if lesion is None:
        scene = _paint_disc(canvas, scene, disc, healthy, tone)
        scene = mix(scene, scene * VESSEL_LEAVES, _dive(vessels, healthy))
        return scene, view, np.zeros_like(disc, bool), "normal"
    pole = lesion.choice([-1, 1]) * np.pi / 2 + lesion.uniform(-0.35, 0.35)  # notches lie above or below
    cup = min(WIDEST_CUP, eye.cup + (0.06 + 0.36 * severity) * lesion.uniform(0.9, 1.1))
    notch = 0.45 * severity * _sector(canvas, eye, pole, width=0.5)
    sick = _cup_radius(canvas, eye, cup, shift) / (1 + notch)
    scene, wasted = _atrophy(canvas, lesion, scene, eye, disc, severity)
    scene = _paint_disc(canvas, scene, disc, sick, tone)
    scene = mix(scene, scene * VESSEL_LEAVES, _dive(vessels, sick))
    scene, blood = _disc_haemorrhages(canvas, lesion, scene, eye, pole, severity)
    widened = (sick < 1) & (healthy >= 1)
    return scene, view, widened | wasted | blood, "glaucoma"


def paint_retinopathy(
    canvas: Canvas, rng: np.random.Generator, lesion: np.random.Generator | None, severity: float
) -> tuple[Array, Array, Array, str]:
    """A macula-centred retina; the anomaly is microaneurysms, haemorrhages and exudates.

    Scene [H, W, 3], field of view [H, W], lesion mask [H, W] and kind ("normal" or "retinopathy").
    """
    side = rng.choice([-1, 1])
    eye = _eye(rng, disc=(side * rng.uniform(0.50, 0.62), rng.uniform(-0.1, 0.1)), radius=rng.uniform(0.13, 0.17))
    scene, view = _retina(canvas, rng, eye)
    vessels, disc = _vessels(canvas, rng, eye), _disc_radius(canvas, eye)
    cup = _cup_radius(canvas, eye, eye.cup, shift=np.zeros(2))
    scene = _paint_disc(canvas, scene, disc, cup, tone=rng.uniform(0.8, 1.2))
    scene = mix(scene, scene * VESSEL_LEAVES, vessels)
    scene = _harmless_spots(canvas, rng, scene)
    mask, kind = np.zeros_like(disc, bool), "normal"
    if lesion is not None:
        scene, mask = _diabetic_lesions(canvas, lesion, scene, eye, severity)
        kind = "retinopathy"
    return scene, view, mask, kind


def _eye(rng: np.random.Generator, disc: tuple[float, float], radius: float) -> Eye:
    """A random eye with this disc; its macula lies across the middle of the picture, a little lower."""
    toward = -np.sign(disc[0]) if disc[0] else 1.0
    return Eye(
        disc=disc,
        radius=radius,
        macula=(disc[0] + toward * rng.uniform(0.52, 0.64), disc[1] + rng.uniform(0.0, 0.12)),
        stretch=rng.uniform(0.86, 1.0),
        tilt=rng.uniform(-0.4, 0.4),
        cup=rng.uniform(*HEALTHY_CUP),
        view=rng.uniform(0.93, 0.97),
    )


def _retina(canvas: Canvas, rng: np.random.Generator, eye: Eye) -> tuple[Array, Array]:
    """Background with choroid texture, macula and uneven lighting [H, W, 3]; field of view [H, W]."""
    base = RETINA * np.exp(rng.normal(0, 0.05, 3))
    glow = 1 + 0.20 * rng.uniform(0.3, 1) * (rng.uniform(-1, 1) * canvas.x + rng.uniform(-1, 1) * canvas.y)
    glow = glow - 0.16 * rng.uniform(0.4, 1.4) * (canvas.x**2 + canvas.y**2)
    choroid = canvas.texture(rng, cells=int(rng.integers(5, 9)), octaves=4) * rng.uniform(0.012, 0.035)
    scene = (glow + choroid)[..., None] * base
    macula = np.exp(-(canvas.ellipse(*eye.macula, rx=0.21, ry=0.19) ** 2))
    scene = scene * (1 - macula[..., None] * MACULA_TAKES * rng.uniform(0.6, 1.2))
    view = canvas.soft(np.hypot(canvas.x, canvas.y) / eye.view, edge=0.012)
    return scene.astype(np.float32), view


def _disc_radius(canvas: Canvas, eye: Eye) -> Array:
    """Normalised radius [H, W] of the disc: 1 on its outline."""
    return canvas.ellipse(*eye.disc, rx=eye.radius * eye.stretch, ry=eye.radius, angle=eye.tilt)


def _cup_radius(canvas: Canvas, eye: Eye, cup: float, shift: Array) -> Array:
    """Normalised radius [H, W] of a cup of that cup-to-disc ratio; the wider, the less its `shift` [2] moves it."""
    x, y = eye.disc[0] + shift[0] * (1 - cup), eye.disc[1] + shift[1] * (1 - cup)
    return canvas.ellipse(x, y, rx=cup * eye.radius * eye.stretch, ry=cup * eye.radius, angle=eye.tilt)


def _sector(canvas: Canvas, eye: Eye, angle: float, width: float) -> Array:
    """1 in the direction `angle` from the disc's middle, falling to 0 beside it [H, W]; both in radians."""
    direction = np.arctan2(canvas.y - eye.disc[1], canvas.x - eye.disc[0])
    off = np.angle(np.exp(1j * (direction - angle)))  # in -pi..pi
    return np.exp(-((off / width) ** 2)).astype(np.float32)


def _paint_disc(canvas: Canvas, scene: Array, disc: Array, cup: Array, tone: float) -> Array:
    """Disc and cup laid over a scene [H, W, 3], from their normalised radii [H, W]."""
    rim = RIM * (0.94 + 0.06 * tone)
    pale = CUP * (0.92 + 0.08 * tone)
    halo = np.exp(-((np.clip(disc - 1, 0, None) / 0.35) ** 2)) * 0.16
    scene = mix(scene, np.broadcast_to(rim, scene.shape), np.maximum(canvas.soft(disc, edge=0.07), halo) * 0.9)
    pallor = canvas.soft(cup, edge=0.14) * canvas.soft(disc, edge=0.05)
    return mix(scene, np.broadcast_to(pale, scene.shape), pallor * 0.8).astype(np.float32)


def _dive(vessels: Array, cup: Array) -> Array:
    """Opacity [H, W] of the vessels, which bend over the edge of the cup and are half lost to sight in it."""
    return vessels * (1 - 0.5 * smoothstep((1.2 - cup) / 0.5))


def _atrophy(
    canvas: Canvas, rng: np.random.Generator, scene: Array, eye: Eye, disc: Array, severity: float
) -> tuple[Array, Array]:
    """A thin mottled crescent along the disc on the side of the macula, where the pigment has gone.

    Scene [H, W, 3] with the crescent, and its mask [H, W].
    """
    toward = (0.0 if eye.macula[0] > eye.disc[0] else np.pi) + rng.uniform(-0.5, 0.5)
    width = rng.uniform(0.28, 0.42) * (0.3 + 0.7 * severity) * _sector(canvas, eye, toward, width=1.1)
    crescent = smoothstep((1 + width - disc) / 0.10) * (disc > 0.9) * smoothstep(width / 0.12)
    mottled = np.clip(0.55 + 0.4 * canvas.texture(rng, cells=26, octaves=2), 0, 1)[..., None]
    tissue = mottled * WASTED_PALE + (1 - mottled) * WASTED_DARK
    opacity = crescent * (0.08 + 0.82 * severity)
    return mix(scene, tissue, opacity).astype(np.float32), crescent > 0.4


def _disc_haemorrhages(
    canvas: Canvas, rng: np.random.Generator, scene: Array, eye: Eye, pole: float, severity: float
) -> tuple[Array, Array]:
    """Flames of blood across the edge of the disc near the notch, radial as the nerve fibres are.

    Scene [H, W, 3] with the blood, and its mask [H, W].
    """
    lines: list[Stroke] = []
    for _ in range(1 + round(severity * rng.uniform(0.5, 1.4))):
        angle = pole + rng.choice([-1, 1]) * rng.uniform(0.25, 0.8)
        ray = np.array([np.cos(angle) * eye.stretch, np.sin(angle)]) * eye.radius
        reach, width = rng.uniform(1.3, 1.6), rng.uniform(0.04, 0.06) * (0.5 + 0.5 * severity)
        path = [np.array(eye.disc) + ray * r for r in np.linspace(0.85, reach, 4)]
        lines += [(np.stack(path[:3]), width), (np.stack(path[2:]), width * 0.5)]
    blood = canvas.blur(canvas.strokes(lines), sigma=0.006)
    return mix(scene, scene * BLOOD_LEAVES, blood * (0.10 + 0.90 * severity)), blood > 0.4


def _vessels(canvas: Canvas, rng: np.random.Generator, eye: Eye) -> Array:
    """Opacity [H, W] of the vessel tree: arcades above and below, and finer branches off them."""
    lines: list[Stroke] = []
    toward = np.sign(eye.macula[0] - eye.disc[0])
    for down in (-1, 1):  # above the disc, below it
        for sideways, bend, width in ((toward, 1.0, 0.032), (toward, 1.35, 0.024), (-toward, 0.75, 0.026)):
            lines += _grow(
                rng,
                start=np.array(eye.disc),
                heading=np.pi / 2 * down,
                sense=-down * sideways,
                bend=bend * rng.uniform(0.8, 1.2),
                width=width * rng.uniform(0.8, 1.2),
            )
    return canvas.blur(canvas.strokes(lines), sigma=0.004) * rng.uniform(0.6, 0.95)


def _grow(
    rng: np.random.Generator,
    *,
    start: Array,
    heading: float,
    sense: float,
    bend: float,
    width: float,
    forks: int = 0,
) -> list[Stroke]:
    """A vessel from `start` [2] in direction `heading` (radians), with its branches.

    It turns clockwise where `sense` is 1, the other way where it is -1: the less, the larger `bend`. `forks` counts
    the forks between the disc and it.
    """
    lines: list[Stroke] = []
    points, turn = [start], sense * 0.075 / bend
    for i in range(22 - 5 * forks):
        heading += turn * (1 if i < 12 else 0.3) + rng.normal(0, 0.07)
        points.append(points[-1] + VESSEL_STEP * np.array([np.cos(heading), np.sin(heading)]))
        if forks < FINEST_BRANCH and i > 1 and rng.random() < 0.17:
            away = rng.choice([-1, 1]) * rng.uniform(0.4, 0.9)
            lines += _grow(
                rng,
                start=points[-1],
                heading=heading + away,
                sense=sense,
                bend=bend * 3,
                width=width * 0.6,
                forks=forks + 1,
            )
    path = np.array(points)
    third = len(path) // 3
    parts = path[: third + 1], path[third : 2 * third + 1], path[2 * third :]
    return lines + [(part, width * share) for part, share in zip(parts, (1.0, 0.8, 0.6))]


def _harmless_spots(canvas: Canvas, rng: np.random.Generator, scene: Array) -> Array:
    """Faint soft pigment and reflexes that healthy eyes have too [H, W, 3]; far larger and fainter than lesions."""
    tessellation = rng.uniform(0, 0.045) * canvas.texture(rng, cells=20, octaves=2)  # the choroid shows through
    scene = scene * (1 + tessellation[..., None])
    for _ in range(rng.integers(2, 7)):
        x, y = rng.uniform(-HARMLESS_WITHIN, HARMLESS_WITHIN, 2)
        rx, ry = rng.uniform(0.05, 0.14, 2)
        spot = np.exp(-(canvas.ellipse(x, y, rx=rx, ry=ry, angle=rng.uniform(0, 3)) ** 2))
        scene = scene * (1 + spot[..., None] * rng.uniform(-0.10, 0.10))
    return scene.astype(np.float32)


def _diabetic_lesions(
    canvas: Canvas, rng: np.random.Generator, scene: Array, eye: Eye, severity: float
) -> tuple[Array, Array]:
    """Red dots (microaneurysms), red blots (haemorrhages) and groups of yellow crumbs (exudates), more when severe.

    Scene [H, W, 3] with the lesions, and their mask [H, W].
    """
    blood, exudate = np.zeros((2, *scene.shape[:2]), np.float32)

    for _ in range(rng.integers(3, 6) + round(7 * severity)):  # microaneurysms
        x, y = _place_off_the_disc(rng, eye)
        rx, ry = rng.uniform(0.012, 0.02, 2)
        blood = np.maximum(blood, canvas.soft(canvas.ellipse(x, y, rx=rx, ry=ry), edge=0.35))

    for _ in range(rng.integers(1, 3) + round(3 * severity)):  # haemorrhages
        x, y = _place_off_the_disc(rng, eye)
        blot = canvas.blob(rng, x, y, radius=rng.uniform(0.03, 0.05 + 0.04 * severity), rough=0.22)
        ragged = blot + 0.14 * canvas.texture(rng, cells=24, octaves=2)
        blood = np.maximum(blood, canvas.soft(ragged, edge=0.25))

    for _ in range(rng.integers(1, 2 + round(2 * severity))):  # exudates come in groups
        cx, cy = _place_off_the_disc(rng, eye)
        for _ in range(rng.integers(5, 11)):
            x, y = cx + rng.normal(0, 0.06), cy + rng.normal(0, 0.06)
            crumb = canvas.blob(rng, x, y, radius=rng.uniform(0.012, 0.028), rough=0.2)
            exudate = np.maximum(exudate, canvas.soft(crumb, edge=0.3))

    strength = 0.15 + 0.85 * severity
    scene = mix(scene, scene * BLOOD_LEAVES, blood * strength)
    scene = mix(scene, np.broadcast_to(EXUDATE, scene.shape), exudate * 0.85 * strength)
    return scene.astype(np.float32), np.maximum(blood, exudate) > 0.25


def _place_off_the_disc(rng: np.random.Generator, eye: Eye) -> tuple[float, float]:
    """A random place x, y well inside the field of view and clear of the disc."""
    while True:
        x, y = rng.uniform(-LESIONS_WITHIN, LESIONS_WITHIN, 2)
        if np.hypot(x, y) < 0.74 and np.hypot(x - eye.disc[0], y - eye.disc[1]) > 1.5 * eye.radius:
            return float(x), float(y)
