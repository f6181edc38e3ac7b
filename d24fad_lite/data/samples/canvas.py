"""What the painters of the sample world share: coordinates, noise, shapes, and the camera.

Everything is laid out in coordinates from -1 to 1, so that one seed gives the same anatomy at any image size. Painters
work at twice the asked size; the camera brings the picture down, which smooths the edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

Array = np.ndarray
Stroke = tuple[Array, float]  # a polyline: points [N, 2] and width, both in coordinates
OVERSAMPLING = 2
NOISE_SPREAD = 0.62  # standard deviation that interpolation between independent standard normal knots leaves
OUTSIDE = 0.01  # brightness outside of the field of view


@dataclass(frozen=True)
class Canvas:
    """A square of `side` pixels; x grows to the right and y downwards, both from -1 to 1.

    Every field it makes is an array [side, side]. A "normalised radius" is a field that is 0 in the centre of a shape,
    1 on its outline, and larger outside.
    """

    side: int

    @property
    def x(self) -> Array:
        """Coordinate x of every pixel [side, side]."""
        return np.broadcast_to(self._axis()[None, :], (self.side, self.side))

    @property
    def y(self) -> Array:
        """Coordinate y of every pixel [side, side]."""
        return np.broadcast_to(self._axis()[:, None], (self.side, self.side))

    def _axis(self) -> Array:
        """Coordinates [side] of the middles of a row of pixels."""
        return ((np.arange(self.side) + 0.5) / self.side * 2 - 1).astype(np.float32)

    def pixels(self, length: float) -> float:
        """A length in coordinates as pixels of this canvas."""
        return length * self.side / 2

    def noise(self, rng: np.random.Generator, cells: int) -> Array:
        """Smooth random field, mean about 0, standard deviation about 1, with `cells` features across."""
        coarse = rng.standard_normal((cells + 3, cells + 3))
        along = _between_knots(self.side, cells)
        field = along @ coarse @ along.T
        return (field / NOISE_SPREAD).astype(np.float32)

    def texture(self, rng: np.random.Generator, cells: int, *, octaves: int = 3, fall: float = 0.55) -> Array:
        """Sum of `octaves` noises, each twice as fine and `fall` times as strong as the last; deviation about 1."""
        weights = fall ** np.arange(octaves)
        layers = [w * self.noise(rng, cells * 2**i) for i, w in enumerate(weights)]
        return np.sum(layers, axis=0) / np.sqrt((weights**2).sum())

    def ellipse(self, cx: float, cy: float, *, rx: float, ry: float, angle: float = 0.0) -> Array:
        """Normalised radius of an ellipse with half axes `rx` and `ry`, turned by `angle` (radians)."""
        return oval(*turned(self.x - cx, self.y - cy, angle), rx=rx, ry=ry)

    def blob(self, rng: np.random.Generator, cx: float, cy: float, *, radius: float, rough: float) -> Array:
        """Normalised radius of a random closed outline; `rough` 0 is a circle, 0.2 quite ragged."""
        dx, dy = self.x - cx, self.y - cy
        angle = np.arctan2(dy, dx)
        outline = np.ones_like(angle)
        for order in range(2, 7):
            outline = outline + rough / order * rng.normal() * 2 * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
        return np.hypot(dx, dy) / (radius * np.clip(outline, 0.4, None))

    def soft(self, radius: Array, *, edge: float) -> Array:
        """Inside of a normalised radius as 1, outside as 0, the fall between them from 1 - `edge` to 1 + `edge`."""
        return smoothstep((1 + edge - radius) / (2 * edge))

    def strokes(self, lines: Sequence[Stroke]) -> Array:
        """Polylines drawn white (1) on black (0)."""
        image = Image.new("L", (self.side, self.side))
        draw = ImageDraw.Draw(image)
        for points, width in lines:
            path = [tuple(p) for p in (points + 1) * self.side / 2]
            draw.line(path, fill=255, width=max(1, round(self.pixels(width))), joint="curve")
        return np.asarray(image, np.float32) / 255

    def filled(self, outline: Array, *, edge: float) -> Array:
        """Inside of a closed outline (points [N, 2] in coordinates) as 1, outside as 0, blurred with sigma `edge`."""
        image = Image.new("L", (self.side, self.side))
        ImageDraw.Draw(image).polygon([tuple(p) for p in (outline + 1) * self.side / 2], fill=255)
        return self.blur(np.asarray(image, np.float32) / 255, sigma=edge)

    def blur(self, field: Array, *, sigma: float) -> Array:
        """Gaussian blur of a field, sigma in coordinates."""
        return ndimage.gaussian_filter(field, self.pixels(sigma), mode="nearest")


@cache
def _between_knots(side: int, cells: int) -> Array:
    """Cubic interpolation of `cells` + 3 knots at `side` places, as a matrix [side, cells + 3].

    One knot lies outside at either end.
    """
    position = np.linspace(1, cells + 1, side)
    columns = [ndimage.map_coordinates(knot, [position], order=3, mode="nearest") for knot in np.eye(cells + 3)]
    return np.stack(columns, axis=1)  # (side, cells + 3)


def turned(x: Array, y: Array, angle: float | Array) -> tuple[Array, Array]:
    """The same places in axes that are turned by `angle` (radians, from x towards y)."""
    c, s = np.cos(angle), np.sin(angle)
    return c * x + s * y, -s * x + c * y


def oval(
    x: Array, y: Array, *, cx: float | Array = 0.0, cy: float = 0.0, rx: float | Array, ry: float | Array
) -> Array:
    """Normalised radius of an ellipse along the axes of any coordinates x, y [H, W]; rx and ry are its half axes."""
    return np.hypot((x - cx) / rx, (y - cy) / ry)


def through(points: Sequence[tuple[float, float]] | Array, *, closed: bool = False, per_piece: int = 8) -> Array:
    """Smooth curve through points [N, 2] (Catmull-Rom) -> [M, 2], `per_piece` points between each two of them."""
    knots = np.asarray(points, float)
    ends = (knots[-1:], knots[:2]) if closed else (2 * knots[:1] - knots[1:2], 2 * knots[-1:] - knots[-2:-1])
    knots = np.concatenate([ends[0], knots, ends[1]])
    a, b, c, d = knots[:-3, None], knots[1:-2, None], knots[2:-1, None], knots[3:, None]  # (pieces, 1, 2) each
    t = (np.arange(per_piece) / per_piece)[None, :, None]
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, knots[-2:-1]])


def smoothstep(t: Array) -> Array:
    """0 below 0, 1 above 1, smooth between.

    The painters' edges are made of it: `smoothstep((limit - field) / width)` falls from 1, where the field is below
    limit - width, to 0 at the limit; `smoothstep((field - limit) / width)` rises from 0 there to 1 at limit + width.
    """
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def mix(under: Array, over: Array, alpha: Array) -> Array:
    """`over` laid on `under` with opacity `alpha` [H, W]; pictures [H, W] or [H, W, 3]."""
    if under.ndim == 3 and alpha.ndim == 2:
        alpha = alpha[..., None]
    return under + (over - under) * alpha


@dataclass(frozen=True)
class Camera:
    """How a modality is acquired; every image, normal or not, goes through it with random settings.

    Exposure, contrast and white balance are automatic, as in real devices: they bring the field of view to a random
    target. So the overall brightness tells nothing about a lesion, which is also what makes it useless as a shortcut.
    """

    mean: tuple[float, float, float]  # target of each channel, in 0..1
    mean_spread: float
    contrast: float  # target standard deviation of the luminance
    contrast_spread: float
    tint_spread: float
    blur: tuple[float, float]  # range of the standard deviation in coordinates
    noise: tuple[float, float]  # range of the standard deviation of the pixel noise
    grey: bool = False

    def shoot(
        self, scene: Array, view: Array, rng: np.random.Generator, grain: np.random.Generator, size: int
    ) -> Array:
        """Picture uint8 [size, size, 3] of a scene [H, W, 3] seen through the field of view [H, W] (0..1).

        The settings are drawn from `rng`, the pixel noise from `grain`.
        """
        side = scene.shape[0]
        inside = view > 0.5
        target = np.array(self.mean) * np.exp(rng.normal(0, self.mean_spread))
        target = target * np.exp(rng.normal(0, self.tint_spread, 3) * (0 if self.grey else 1))
        contrast = self.contrast * np.exp(rng.normal(0, self.contrast_spread))
        sigma, noise = rng.uniform(*self.blur), rng.uniform(*self.noise)
        gain = contrast / max(float(scene.mean(axis=2)[inside].std()), 1e-6)
        picture = (scene - scene[inside].mean(axis=0)) * gain + target
        picture = mix(np.full_like(picture, OUTSIDE), picture, view)
        picture = ndimage.gaussian_filter(picture, (sigma * side / 2, sigma * side / 2, 0))
        factor = side // size
        picture = picture.reshape(size, factor, size, factor, 3).mean(axis=(1, 3))
        pixel_noise = grain.standard_normal((size, size, 1 if self.grey else 3)) * noise
        picture = picture + pixel_noise * (0.4 + 0.6 * np.sqrt(np.clip(picture, 0, 1)))  # stronger in the light
        return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
