"""Where the anomaly map misses: a lesion beside its map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from d24fad_lite.evaluation.localisation import Localisation
from d24fad_lite.figures.arrays import as_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def missed_figure(localisation: Localisation, images: Tensor, lesion: Any, threshold: float | None = None) -> Figure:
    """One lesion beside its anomaly map: the image with the lesion outlined, and the map with the threshold's outline.

    Parameters
    ----------
    localisation : Localisation
    images : float [N, 3, S, S], in 0..1
        Those of `localisation.images`, in that order.
    lesion : row of `localisation.missed()` or `localisation.lesions()`
    threshold : float, optional
        Map value of the white outline; default `localisation.threshold()`.

    Returns
    -------
    matplotlib Figure
    """
    from matplotlib.figure import Figure

    i = int(np.flatnonzero(localisation.images == lesion["image"])[0])
    anomaly_map, mask = localisation.maps[i], localisation.masks[i]
    cutoff = localisation.threshold() if threshold is None else threshold
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(as_array(images[i].permute(1, 2, 0)))
    left.contour(mask, levels=[0.5], colors="cyan", linewidths=1)
    size = f"lesion of {lesion['pixels']} px, {100 * lesion['share']:.2f} % of the image"
    left.set_title(f"{lesion['name']}\n{size}", fontsize=8, loc="left")
    shown = right.imshow(anomaly_map, cmap="magma")
    right.contour(mask, levels=[0.5], colors="cyan", linewidths=1)
    if anomaly_map.max() > cutoff > anomaly_map.min():
        right.contour(anomaly_map, levels=[cutoff], colors="white", linewidths=0.8)
    right.set_title(
        f"map; peak in the lesion {lesion['peak']:.3g}, threshold (white) {cutoff:.3g}", fontsize=8, loc="left"
    )
    figure.colorbar(shown, ax=right, shrink=0.8)
    for axes in (left, right):
        axes.set_axis_off()
    return figure
