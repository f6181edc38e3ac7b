"""Where the anomaly is: AUPRO, coverage per lesion and by lesion size, and which small lesions are missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import find_objects, label, maximum
from torch import Tensor

from ..data.benchmark import Task
from ..data.episodes import draw_supports
from ..model.detector import D24FAD
from .metrics import PixelAuroc
from .scorer import Scorer, as_scorer

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LIMIT = 0.3  # usual integration limit of AUPRO (Bergmann et al., MVTec AD, IJCV 2021)
SIZE_EDGES = (0.0, 0.0025, 0.01, 0.04, 1.0)  # share of the image's area; roots: 5, 10 and 20 % of a side
SIZE_NAMES = ("tiny", "small", "medium", "large")
TOUCHING = np.ones((3, 3), int)  # pixels that touch at a corner belong to one lesion


def aupro(maps: np.ndarray, masks: np.ndarray, limit: float = LIMIT) -> float:
    """Area under the per-region overlap curve up to a false-positive rate, divided by that rate; in 0..1.

    At each threshold, the share of every lesion's pixels above it, averaged over lesions, against the share of normal
    pixels above it. Large lesions count no more than small ones. A constant map gets limit / 2, not 1/2.

    Parameters
    ----------
    maps : float [N, H, W], higher is more anomalous. masks : bool [N, H, W]; a lesion is a connected region.
    limit : false-positive rate up to which the curve is integrated, above 0 to 1.

    Raises
    ------
    ValueError : shapes differ, no lesion or no normal pixel, values that are not finite, limit out of range.
    """
    maps, masks = _checked(maps, masks)
    return _area(maps, _regions(masks), masks, limit)


def _area(maps: np.ndarray, regions: list[np.ndarray], masks: np.ndarray, limit: float) -> float:
    """AUPRO over some of the regions (flat pixel positions each); false positives are counted on normal pixels."""
    if not 0 < limit <= 1:
        raise ValueError(f"limit={limit!r} must be a false-positive rate above 0, up to 1")
    scores, normal = maps.ravel(), ~masks.ravel()
    if not regions or not normal.any():
        raise ValueError(f"AUPRO needs lesions and normal pixels, found {len(regions)} lesions and "
                         f"{int(normal.sum())} normal pixels")
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
    return float(np.trapezoid(y, x) / limit) if hasattr(np, "trapezoid") else float(np.trapz(y, x) / limit)


def _regions(masks: np.ndarray) -> list[np.ndarray]:
    """Flat pixel positions, within [N, H, W], of every connected region, image by image."""
    regions = []
    for image, mask in enumerate(masks):
        marked, count = label(mask, structure=TOUCHING)
        places = np.flatnonzero(marked)
        by_region = np.argsort(marked.ravel()[places], kind="stable")
        sizes = np.bincount(marked.ravel()[places], minlength=count + 1)[1:]
        regions += np.split(places[by_region] + image * mask.size, np.cumsum(sizes)[:-1]) if count else []
    return regions


@dataclass(frozen=True)
class Localisation:
    """Anomaly maps of one support set with masks, and what follows from them.

    images : positions in the test set of the N images whose mask is known. maps : float32 [N, S, S].
    masks : bool [N, S, S]. names : of the N images.
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
        """Over all pixels of the N images; large lesions dominate it."""
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

        level = self.threshold() if threshold is None else threshold
        rows = [row for i in range(len(self.masks)) for row in self._lesions_of(i, level)]
        frame = pd.DataFrame(rows, columns=["image", "name", "row", "column", "pixels", "share", "peak", "coverage"])
        frame["missed"] = frame["coverage"] == 0
        frame.insert(6, "size", size_class(frame["share"].to_numpy()))
        return frame.sort_values("pixels", kind="stable", ignore_index=True)

    def _lesions_of(self, place: int, level: float) -> list[tuple[Any, ...]]:
        mask, values = self.masks[place], self.maps[place]
        marked, count = label(mask, structure=TOUCHING)
        rows: list[tuple[Any, ...]] = []
        for number, box in enumerate(find_objects(marked), start=1):
            inside = marked[box] == number
            peak = float(maximum(values[box], inside))
            middle = [(part.start + part.stop - 1) / 2 for part in box]
            pixels = int(inside.sum())
            rows.append((int(self.images[place]), self.names[place], *middle, pixels, pixels / mask.size, peak,
                         float((values[box][inside] > level).mean())))
        return rows

    def by_size(self, threshold: float | None = None, limit: float = LIMIT) -> pd.DataFrame:
        """One row per size class: lesions, mean coverage, share missed, and AUPRO over the lesions of that size."""
        import pandas as pd

        table = self.lesions(threshold)
        regions = _regions(self.masks)
        kind = size_class(np.array([len(region) for region in regions]) / self.masks[0].size)
        rows = []
        for name, low, high in zip(SIZE_NAMES, SIZE_EDGES[:-1], SIZE_EDGES[1:], strict=True):
            part, own = table[table["size"] == name], [r for r, k in zip(regions, kind, strict=True) if k == name]
            rows.append({"size": name, "from share": low, "to share": high, "lesions": len(part),
                         "coverage": part["coverage"].mean() if own else np.nan,
                         "missed": part["missed"].mean() if own else np.nan,
                         "AUPRO": _area(self.maps, own, self.masks, limit) if own else np.nan})
        return pd.DataFrame(rows)

    def missed(self, count: int = 4, threshold: float | None = None) -> pd.DataFrame:
        """The smallest lesions of which nothing is above the threshold, rows of `lesions`."""
        table = self.lesions(threshold)
        return table[table["missed"]].head(count).reset_index(drop=True)

    def summary(self) -> str:
        """One line with the numbers and what they rest on."""
        table = self.lesions()
        return (f"pixel AUROC {self.pixel_auroc:.3f}, AUPRO {self.aupro():.3f} (limit {LIMIT}), {len(table)} lesions, "
                f"{int(table['missed'].sum())} missed at 5 % false-positive pixels (K={len(self.supports)}, one draw)")


def localise(model: D24FAD | Scorer, task: Task, shots: int = 4, seed: int = 0, *, draw: int = 0,
             supports: Sequence[int] | np.ndarray | None = None, batch_size: int = 32) -> Localisation:
    """Maps and masks of one support set, for the test images whose mask is known.

    Parameters
    ----------
    model : D24FAD or a scorer with maps. task : with masks.
    shots, seed, draw : the support set is draw number `draw` of those that `evaluate` uses.
    supports : positions in `task.train` of your own in place of a drawn set.

    Raises
    ------
    ValueError : a task without masks, a scorer without maps.
    """
    scorer = as_scorer(model)
    if not task.has_masks:
        raise ValueError(f"task {task.name!r} has no masks, so nothing can be said about places; "
                         "add them under test/mask, named as the images")
    chosen = (draw_supports(len(task.train), shots, draw + 1, seed)[draw] if supports is None
              else np.asarray(supports, np.int64))
    prepared = scorer.prepare(task.train.images(scorer.image_size, chosen), np.arange(len(chosen))[None])
    known = np.flatnonzero(task.test.mask_known)
    parts = []
    for start in range(0, len(known), batch_size):
        maps = scorer.score(task.test.images(scorer.image_size, known[start : start + batch_size]), prepared).maps
        if maps is None:
            raise ValueError(f"scorer {scorer.name!r} gives no anomaly maps; localisation needs them")
        parts.append(maps[0])
    masks = task.test.masks(scorer.image_size, known)
    return Localisation(task.name, scorer.name, chosen, known, [task.test.names[i] for i in known],
                        np.concatenate(parts), np.asarray(masks))


def size_class(shares: np.ndarray) -> np.ndarray:
    """Name of the size class of each share of the image's area, str [n]; an upper edge belongs to the class below."""
    return np.array(SIZE_NAMES)[np.searchsorted(SIZE_EDGES[1:-1], shares, side="left")]


def missed_figure(found: Localisation, images: Tensor, row: Any, threshold: float | None = None) -> Figure:
    """One lesion beside its anomaly map: the image with the lesion outlined, and the map with the threshold's outline.

    images : [N, 3, S, S] in 0..1 of `found.images`, in that order. row : of `found.missed()` or `found.lesions()`.
    """
    from matplotlib.figure import Figure

    place = int(np.flatnonzero(found.images == row["image"])[0])
    level = found.threshold() if threshold is None else threshold
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(images[place].permute(1, 2, 0).numpy())
    left.contour(found.masks[place], levels=[0.5], colors="cyan", linewidths=1)
    left.set_title(f"{row['name']}\nlesion of {row['pixels']} px, {100 * row['share']:.2f} % of the image", fontsize=8)
    shown = right.imshow(found.maps[place], cmap="magma")
    right.contour(found.masks[place], levels=[0.5], colors="cyan", linewidths=1)
    if found.maps[place].max() > level > found.maps[place].min():
        right.contour(found.maps[place], levels=[level], colors="white", linewidths=0.8)
    right.set_title(f"map; peak in the lesion {row['peak']:.3g}, threshold (white) {level:.3g}", fontsize=8)
    figure.colorbar(shown, ax=right, shrink=0.8)
    for axes in (left, right):
        axes.set_axis_off()
    return figure


def _checked(maps: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    maps, masks = np.asarray(maps), np.asarray(masks).astype(bool)
    if maps.ndim != 3 or maps.shape != masks.shape:
        raise ValueError(f"maps {maps.shape} and masks {masks.shape} must both be [N, H, W] of one shape")
    if not np.isfinite(maps).all():
        bad = np.flatnonzero(~np.isfinite(maps).all(axis=(1, 2)))[:5].tolist()
        raise ValueError(f"maps of images {bad} hold NaN or infinite values")
    return maps, masks
