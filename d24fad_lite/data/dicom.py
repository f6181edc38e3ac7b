"""One single-frame DICOM file -> grey or colour in 0..1.

Order of the standard's pipeline: modality transform (rescale slope and intercept), then the file's first window (or VOI
table) where it has one, then inversion for MONOCHROME1, where large values are dark. Without a window the whole range
the stored bits can express is mapped to 0..1: it is the same for every file of a device, so two images stay comparable,
which a stretch between the minimum and maximum of each image would not grant.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from d24fad_lite.data.images import ImageError

_INSTALL = 'pip install "d24fad_lite[dicom]"'


def read_dicom(path: Path) -> np.ndarray:
    """float32 [H, W] (grey) or [H, W, 3] (colour) in 0..1.

    Raises
    ------
    ImageError : pydicom missing, no pixels, several frames, a compression without decoder, damaged data.
    """
    dataset = _read(path)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise ImageError(f"image '{path}' holds {frames} frames, expected one; save each frame as its own file")
    if "PixelData" not in dataset:
        raise ImageError(f"image '{path}' is a DICOM file without pixels; remove it from the image folders")
    try:
        stored = dataset.pixel_array
        if int(dataset.get("SamplesPerPixel", 1)) == 3:
            return stored.astype(np.float32) / np.float32(2 ** int(dataset.BitsStored) - 1)
        values, (low, high) = _windowed(stored, dataset)
    except Exception as error:  # pydicom's decoders raise many kinds; each means this file cannot be shown
        raise ImageError(
            f"image '{path}' cannot be decoded ({error}); if its compression is the reason, install a decoder: "
            'pip install "pylibjpeg[all]"'
        ) from error
    if not np.isfinite(values).all():
        raise ImageError(f"image '{path}' has NaN or infinite values after its rescale; correct its header")
    unit = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        unit = 1 - unit
    return unit.astype(np.float32)


def dicom_size(path: Path) -> tuple[int, int]:
    """(width, height) from the header alone."""
    dataset = _read(path, stop_before_pixels=True)
    if "Rows" not in dataset or "Columns" not in dataset:
        raise ImageError(f"image '{path}' is a DICOM file without pixels; remove it from the image folders")
    return int(dataset.Columns), int(dataset.Rows)


def _read(path: Path, **options: bool) -> Any:
    try:
        import pydicom
    except ImportError as error:
        raise ImageError(f"image '{path}' is a DICOM file and pydicom is not installed; {_INSTALL}") from error
    try:
        return pydicom.dcmread(path, **options)
    except Exception as error:
        raise ImageError(f"image '{path}' is not a readable DICOM file ({error}); replace it or remove it") from error


def _windowed(stored: np.ndarray, dataset: Any) -> tuple[np.ndarray, tuple[float, float]]:
    """Values after the modality transform and window, with the range that counts as black to white."""
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    values = apply_modality_lut(stored, dataset)
    if "ModalityLUTSequence" in dataset:
        low, high = 0.0, 2.0 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    else:
        low, high = _stored_range(dataset)
    if "WindowWidth" in dataset and "WindowCenter" in dataset:
        values = apply_voi_lut(values, dataset, prefer_lut=False)  # spans the same range as the values before
    elif "VOILUTSequence" in dataset:
        values = apply_voi_lut(values, dataset)
        low, high = 0.0, 2.0 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
    return np.asarray(values, np.float64), (low, high)


def _stored_range(dataset: Any) -> tuple[float, float]:
    """Smallest and largest value the stored bits can express, after rescale."""
    bits = int(dataset.BitsStored)
    signed = int(dataset.get("PixelRepresentation", 0)) == 1
    ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1], np.float64)
    ends = ends * float(dataset.get("RescaleSlope") or 1) + float(dataset.get("RescaleIntercept") or 0)
    return float(ends.min()), float(ends.max())
