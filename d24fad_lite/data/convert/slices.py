"""Slices of a NIfTI volume as pictures: which are taken, and which values become black and white."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from d24fad_lite.data.convert.volumes import AXES, Volume, cut, read_volume, to_grey, window_of
from d24fad_lite.data.images import ImageError
from d24fad_lite.messages import choose_one_of


@dataclass(frozen=True)
class SliceSettings:
    """How volumes are cut into slices.

    Attributes
    ----------
    axis : {"axial", "coronal", "sagittal"}, default "axial"
        Direction that slices are counted in.
    start, stop : int or None, default None
        First slice and the one after the last, counted in RAS order as in a Python slice; None for all.
    step : int, default 1
        Take every n-th slice.
    percentiles : (float, float), default (0.5, 99.5)
        Percentiles of the whole volume, 0 to 100, whose values become black and white.
    window : (float, float) or None, default None
        Values that become black and white, in place of the percentiles.
    min_voxels : int, default 1
        Number of marked voxels from which a slice counts as anomalous. Slices with fewer, but some, are left out.

    Raises
    ------
    ValueError : an unknown axis, a step or number of voxels below 1, or ends that do not rise.
    """

    axis: str = "axial"
    start: int | None = None
    stop: int | None = None
    step: int = 1
    percentiles: tuple[float, float] = (0.5, 99.5)
    window: tuple[float, float] | None = None
    min_voxels: int = 1

    def __post_init__(self) -> None:
        if self.axis not in AXES:
            raise ValueError(choose_one_of("axis", self.axis, AXES))
        if self.step < 1 or self.min_voxels < 1:
            raise ValueError(f"step {self.step} and min_voxels {self.min_voxels} must be at least 1")
        low, high = self.window or self.percentiles
        if not low < high or (self.window is None and not 0 <= low < high <= 100):
            raise ValueError(
                f"{'window' if self.window else 'percentiles'} {low:g}:{high:g} must rise"
                f"{'' if self.window else ' and lie between 0 and 100'}, for example "
                f"{'-160:240' if self.window else '0.5:99.5'}"
            )

    def indices(self, length: int) -> list[int]:
        """Positions of the slices to take along an axis of `length` voxels."""
        return list(range(length))[self.start : self.stop : self.step]


class OpenVolume:
    """A volume on disk whose slices are asked for one after the other; the last volume read stays in memory.

    Parameters
    ----------
    path : Path
        A .nii or .nii.gz file.
    settings : SliceSettings
        Axis and window.

    Attributes
    ----------
    shape : tuple of int
        Length along x, y and z in voxels.
    low, high : float
        Values that become black and white.
    remarks : list of str
        What a reader of its slices should know.

    Raises
    ------
    ImageError : the file cannot be read, or its window is empty.
    """

    _lock = threading.Lock()
    _last: tuple[Path, Volume] | None = None

    def __init__(self, path: Path, settings: SliceSettings) -> None:
        self.path, self.axis = path, settings.axis
        volume = self._read()
        self.shape = volume.values.shape
        try:
            self.low, self.high = settings.window or window_of(volume.values, settings.percentiles)
        except ImageError as error:
            raise ImageError(f"volume '{path}' {error}") from error
        if not self.low < self.high:
            raise ImageError(
                f"volume '{path}' has the same value, {self.low:g}, at both ends of its window; "
                "give other percentiles or a window"
            )
        self.remarks = self._remarks(volume)

    def _remarks(self, volume: Volume) -> list[str]:
        remarks = []
        if not volume.oriented:
            remarks.append("its header gives no orientation; left and right, front and back may be exchanged")
        across, down = (length for axis, length in enumerate(volume.spacing) if axis != AXES[self.axis])
        if abs(across / down - 1) > 0.01:
            remarks.append(f"voxels are {across:.3g} x {down:.3g} mm in the slice, which is not resampled")
        nan_voxels = int(np.isnan(volume.values).sum())
        if nan_voxels:
            remarks.append(f"{nan_voxels} voxels are NaN and shown black")
        return remarks

    def _read(self) -> Volume:
        with OpenVolume._lock:
            if OpenVolume._last is None or OpenVolume._last[0] != self.path:
                OpenVolume._last = (self.path, read_volume(self.path))
            return OpenVolume._last[1]

    def grey(self, index: int) -> np.ndarray:
        """A slice as grey values, uint16 [rows, columns]."""
        return to_grey(cut(self._read().values, self.axis, index), self.low, self.high)

    def is_flat(self, index: int) -> bool:
        """Whether a slice shows one grey value only."""
        grey = self.grey(index)
        return bool(grey.min() == grey.max())

    def write(self, index: int, target: Path) -> None:
        """Write a slice as a 16-bit grey PNG."""
        Image.fromarray(self.grey(index)).save(target, format="PNG")
