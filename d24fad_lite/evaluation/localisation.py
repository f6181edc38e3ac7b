"""Where the anomaly is: AUPRO, coverage per lesion and by lesion size, and which small lesions are missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.integrate import trapezoid
from scipy.ndimage import find_objects, label, maximum

from d24fad_lite.data.benchmark import Task
from d24fad_lite.data.supports import draw_supports
from d24fad_lite.evaluation.metrics import PixelAuroc
from d24fad_lite.evaluation.scorer import Scorer, as_scorer
from d24fad_lite.model.detector import D24FAD

if TYPE_CHECKING:
    import pandas as pd

LIMIT = 0.3  # usual integration limit of AUPRO (Bergmann et al., MVTec AD, IJCV 2021)
SIZE_EDGES = (0.0, 0.0025, 0.01, 0.04, 1.0)  # share of the image's area; roots: 5, 10 and 20 % of a side
LESION_SIZES = ("tiny", "small", "medium", "large")
TOUCHING = np.ones((3, 3), int)  # pixels that touch at a corner belong to one lesion


def aupro(maps: np.ndarray, masks: np.ndarray, limit: float = LIMIT) -> float:
    """Area under the per-region overlap curve up to a false-positive rate, divided by that rate; in 0..1.

    At each threshold, the share of every lesion's pixels above it, averaged over lesions, against the share of normal
    pixels above it. Large lesions count no more than small ones. A constant map gets limit / 2, not 1/2.

    Parameters
    ----------
    maps : float [N, H, W]
        Higher is more anomalous.
    masks : bool [N, H, W]
        A lesion is a connected region of True; pixels that touch at a corner belong together.
    limit : float, default 0.3
        False-positive rate up to which the curve is integrated, above 0 to 1.

    Returns
    -------
    float, in 0..1

    Raises
    ------
    ValueError
        Shapes differ, no lesion or no normal pixel, values that are not finite, limit out of range.

    References
    ----------
    Bergmann et al., MVTec AD, IJCV 2021.
    """
    maps, masks = _checked(maps, masks)
    return _area(maps, _regions(masks), masks, limit)


def _area(maps: np.ndarray, regions: list[np.ndarray], masks: np.ndarray, limit: float) -> float:
    """AUPRO over some of the regions (flat pixel positions each); false positives are counted on normal pixels."""
    if not 0 < limit <= 1:
        raise ValueError(f"limit={limit!r} must be a false-positive rate above 0, up to 1")
    scores, normal = maps.ravel(), ~masks.ravel()
    if not regions or not normal.any():
        raise ValueError(
            f"AUPRO needs lesions and normal pixels, found {len(regions)} lesions and {int(normal.sum())} normal pixels"
        )
    overlap = np.zeros(scores.size)
    for region in regions:
        overlap[region] = 1 / (len(region) * len(regions))
    # Pixels come in one by one from the highest score: each lifts the overlap or the false-positive rate a little.
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), scores.size - 1)  # equal scores come in together
    x = np.concatenate([[0.0], np.cumsum(normal[order])[ends] / normal.sum()])
    y = np.concatenate([[0.0], np.cumsum(overlap[order])[ends]])
    inside = x <= limit
    at_limit = np.interp(limit, x, y)
    x, y = np.append(x[inside], limit), np.append(y[inside], at_limit)
    return float(trapezoid(y, x) / limit)


def _regions(masks: np.ndarray) -> list[np.ndarray]:
    """Flat pixel positions, within [N, H, W], of every connected region, image by image."""
    regions = []
    for image, mask in enumerate(masks):
        marked, count = label(mask, structure=TOUCHING)
        if not count:
            continue
        pixels = np.flatnonzero(marked)  # positions within the image
        region_of = marked.ravel()[pixels]
        in_order = pixels[np.argsort(region_of, kind="stable")] + image * mask.size
        sizes = np.bincount(region_of, minlength=count + 1)[1:]
        regions += np.split(in_order, np.cumsum(sizes)[:-1])
    return regions


@dataclass(frozen=True)
class Localisation:
    """Anomaly maps of one support set with masks, and what follows from them.

    Attributes
    ----------
    task, method : str
    supports : int [K]
        Positions in the task's normal training images.
    images : int [N]
        Positions in the test set of the images whose mask is known.
    names : list of N str
    maps : float [N, S, S]
        Higher is more anomalous.
    masks : bool [N, S, S]
    """

    task: str
    method: str
    supports: np.ndarray
    images: np.ndarray
    names: list[str]
    maps: np.ndarray
    masks: np.ndarray

    @property
    def pixel_auroc(self) -> float:
        """AUROC over all pixels of the N images, in 0..1; large lesions dominate it."""
        meter = PixelAuroc(float(self.maps.min()), float(self.maps.max()))
        meter.add(self.maps, self.masks)
        value = meter.value
        if value is None:
            raise ValueError(f"pixel AUROC of task {self.task!r} needs anomalous and normal pixels")
        return value

    def aupro(self, limit: float = LIMIT) -> float:
        """See `aupro`."""
        return aupro(self.maps, self.masks, limit)

    def threshold(self, false_positives: float = 0.05) -> float:
        """Map value that this share of the normal pixels exceeds. Chosen on the test set: for description only."""
        if not 0 < false_positives < 1:
            raise ValueError(f"false_positives={false_positives!r} must be a share between 0 and 1")
        return float(np.quantile(self.maps[~self.masks], 1 - false_positives))

    def lesions(self, threshold: float | None = None) -> pd.DataFrame:
        """One row per lesion, smallest first.

        threshold : map value; default that of 5 % false-positive pixels (see `threshold`).

        Columns: image (position in the test set), name, row, column (of the middle), pixels, share (of the image's
        area), size (class of `SIZE_EDGES`), peak (highest map value in it), coverage (share of it above the
        threshold), missed (nothing of it is above the threshold).
        """
        import pandas as pd

        cutoff = self.threshold() if threshold is None else threshold
        lesions = [lesion for i in range(len(self.masks)) for lesion in self._lesions_of(i, cutoff)]
        frame = pd.DataFrame(lesions, columns=["image", "name", "row", "column", "pixels", "share", "peak", "coverage"])
        frame["missed"] = frame["coverage"] == 0
        frame.insert(6, "size", size_class(frame["share"].to_numpy()))
        return frame.sort_values("pixels", kind="stable", ignore_index=True)

    def _lesions_of(self, i: int, cutoff: float) -> list[dict[str, object]]:
        """One row for each lesion of image number i of the N."""
        mask, values = self.masks[i], self.maps[i]
        marked, _ = label(mask, structure=TOUCHING)
        rows: list[dict[str, object]] = []
        for number, box in enumerate(find_objects(marked), start=1):
            inside = marked[box] == number
            pixels = int(inside.sum())
            row, column = ((part.start + part.stop - 1) / 2 for part in box)
            rows.append(
                {
                    "image": int(self.images[i]),
                    "name": self.names[i],
                    "row": row,
                    "column": column,
                    "pixels": pixels,
                    "share": pixels / mask.size,
                    "peak": float(maximum(values[box], inside)),
                    "coverage": float((values[box][inside] > cutoff).mean()),
                }
            )
        return rows

    def by_size(self, threshold: float | None = None, limit: float = LIMIT) -> pd.DataFrame:
        """One row per size class: lesions, mean coverage, share missed, and AUPRO over the lesions of that size."""
        import pandas as pd

        lesions = self.lesions(threshold)
        regions = _regions(self.masks)
        sizes = size_class(np.array([len(region) for region in regions]) / self.masks[0].size)
        rows = []
        for name, low, high in zip(LESION_SIZES, SIZE_EDGES[:-1], SIZE_EDGES[1:], strict=True):
            of_size = lesions[lesions["size"] == name]
            regions_of_size = [region for region, size in zip(regions, sizes, strict=True) if size == name]
            rows.append(
                {
                    "size": name,
                    "from share": low,
                    "to share": high,
                    "lesions": len(of_size),
                    "coverage": of_size["coverage"].mean() if regions_of_size else np.nan,
                    "missed": of_size["missed"].mean() if regions_of_size else np.nan,
                    "AUPRO": _area(self.maps, regions_of_size, self.masks, limit) if regions_of_size else np.nan,
                }
            )
        return pd.DataFrame(rows)

    def missed(self, count: int = 4, threshold: float | None = None) -> pd.DataFrame:
        """The smallest lesions of which nothing is above the threshold, rows of `lesions`."""
        table = self.lesions(threshold)
        return table[table["missed"]].head(count).reset_index(drop=True)

    def summary(self) -> str:
        """One line with the numbers and what they rest on."""
        table = self.lesions()
        return (
            f"pixel AUROC {self.pixel_auroc:.3f}, AUPRO {self.aupro():.3f} (limit {LIMIT}), {len(table)} lesions, "
            f"{int(table['missed'].sum())} missed at 5 % false-positive pixels (K={len(self.supports)}, one draw)"
        )


def localise(
    model: D24FAD | Scorer,
    task: Task,
    shots: int = 4,
    seed: int = 0,
    *,
    draw: int = 0,
    supports: Sequence[int] | np.ndarray | None = None,
    batch_size: int = 32,
) -> Localisation:
    """Maps and masks of one support set, for the test images whose mask is known.

    Parameters
    ----------
    model : D24FAD, or a Scorer with maps
    task : Task
        With masks.
    shots : int, default 4
        K supports.
    seed, draw : int, default 0
        The support set is draw number `draw` of those that `evaluate` uses with this seed.
    supports : int [K], optional
        Positions in `task.train` of your own, in place of a drawn set.
    batch_size : int, default 32
        Test images per batch; speed and memory only.

    Returns
    -------
    Localisation

    Raises
    ------
    ValueError
        A task without masks, a scorer without maps.
    """
    scorer = as_scorer(model)
    if not task.has_masks:
        raise ValueError(
            f"task {task.name!r} has no masks, so nothing can be said about places; "
            "add them under test/mask, named as the images"
        )
    if supports is None:
        supports = draw_supports(len(task.train), shots, draw + 1, seed)[draw]
    supports = np.asarray(supports, np.int64)
    prepared = scorer.prepare(task.train.images(scorer.image_size, supports), np.arange(len(supports))[None])
    known = np.flatnonzero(task.test.mask_known)
    parts = []
    for start in range(0, len(known), batch_size):
        maps = scorer.score(task.test.images(scorer.image_size, known[start : start + batch_size]), prepared).maps
        if maps is None:
            raise ValueError(f"scorer {scorer.name!r} gives no anomaly maps; localisation needs them")
        parts.append(maps[0])
    return Localisation(
        task=task.name,
        method=scorer.name,
        supports=supports,
        images=known,
        names=[task.test.names[i] for i in known],
        maps=np.concatenate(parts),
        masks=np.asarray(task.test.masks(scorer.image_size, known)),
    )


def size_class(shares: np.ndarray) -> np.ndarray:
    """Name of the size class of each share of the image's area, str [n]; an upper edge belongs to the class below."""
    return np.array(LESION_SIZES)[np.searchsorted(SIZE_EDGES[1:-1], shares, side="left")]


def _checked(maps: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays [N, H, W]; ValueError unless they are of one shape and the maps finite."""
    maps, masks = np.asarray(maps), np.asarray(masks).astype(bool)
    if maps.ndim != 3 or maps.shape != masks.shape:
        raise ValueError(f"maps {maps.shape} and masks {masks.shape} must both be [N, H, W] of one shape")
    if not np.isfinite(maps).all():
        bad = np.flatnonzero(~np.isfinite(maps).all(axis=(1, 2)))[:5].tolist()
        raise ValueError(f"maps of images {bad} hold NaN or infinite values")
    return maps, masks
