"""Stored DICOM values -> grey or colour in 0..1, in the order of the standard's pipeline.

1. Modality transform: a table, or rescale slope and intercept.
2. Value of interest: the file's first table where it has one, else its first window (linear, linear exact or sigmoid).
3. Inversion for MONOCHROME1, where large values are dark.

Rescale and window of enhanced files are those of the functional groups. Elements that are there but empty count as
missing, and of several values the first is used. Without table and window, the whole range that the stored bits can
express is mapped to 0..1. That range is the same for every file of a device, so that two images stay comparable, which
stretching each between its own minimum and maximum would prevent. Floats without a window must lie in 0..1, as in TIFF.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from d24fad_lite.data.formats.dicom_elements import first_table, first_value, functional_group
from d24fad_lite.data.formats.recognise import ImageError

GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})


def displayed(stored: np.ndarray, photometric: str, dataset: Any, path: Path) -> np.ndarray:
    """float32 [H, W] or [H, W, 3] in 0..1 of one decoded frame."""
    if photometric in COLOUR:
        return _colour(stored, photometric, dataset, path)
    if photometric == "PALETTE COLOR":
        return _palette(stored, dataset, path)
    values, (low, high) = _modality(stored, dataset, path)
    if not np.isfinite(values).all():
        raise ImageError(f"image '{path}' has NaN or infinite values after its rescale; correct its header")
    source = _value_of_interest(dataset, path)
    table = first_table(source, "VOILUTSequence")
    if table is not None:
        looked_up, bits = _looked_up(values, table, dataset)
        unit = looked_up / np.float32(2**bits - 1)
    elif _has_window(source, path):
        unit = _windowed(values, source, path)
    elif stored.dtype.kind == "f":
        unit = _float_range(values, path)
    else:
        unit = values.astype(np.float32)
        unit -= low
        unit /= max(high - low, 1e-12)
    unit = np.clip(unit, 0, 1, out=unit)  # in place, here and below: such images are large
    if photometric == "MONOCHROME1":
        np.subtract(1, unit, out=unit)
    return unit.astype(np.float32, copy=False)


def _colour(stored: np.ndarray, photometric: str, dataset: Any, path: Path) -> np.ndarray:
    """Colour as it is stored, float32 [H, W, 3] in 0..1."""
    if photometric != "RGB" or stored.dtype.kind != "u":
        raise ImageError(
            f"image '{path}' holds {photometric} colour as {stored.dtype}, expected unsigned integers "
            "that convert to RGB; convert it"
        )
    return stored.astype(np.float32) / np.float32(2 ** int(dataset.BitsStored) - 1)


def _palette(stored: np.ndarray, dataset: Any, path: Path) -> np.ndarray:
    """Colours looked up in the three tables of a palette; the depth is that of the entries, not of the indices."""
    if first_value(dataset, "PixelPresentation", path, str) in ("MIXED", "COLOR"):
        raise ImageError(f"image '{path}' mixes grey with a supplemental palette, which is not read; convert it to RGB")
    if stored.dtype.kind == "f":
        raise ImageError(f"image '{path}' holds floats where a palette needs whole numbers; convert it to RGB")
    entries, first, bits = (int(value) for value in dataset.RedPaletteColorLookupTableDescriptor)
    if (
        "RedPaletteColorLookupTableData" not in dataset
    ):  # a segmented palette, whose tables are coded as lines and repetitions
        from pydicom.pixels import apply_color_lut

        colours = apply_color_lut(stored, dataset)[:, :, :3]
    else:
        data = (dataset[f"{name}PaletteColorLookupTableData"].value for name in ("Red", "Green", "Blue"))
        colours = np.stack(
            [_table(one, entries, dataset)[_table_positions(stored, first, entries)] for one in data], axis=2
        )
    top = 2**bits - 1 if colours.max() < 2**bits else 65535  # some programs write 16-bit entries and declare 8
    return colours.astype(np.float32) / np.float32(top)


def _modality(stored: np.ndarray, dataset: Any, path: Path) -> tuple[np.ndarray, tuple[float, float]]:
    """(values after the modality transform, the range that is shown from black to white where no window is given)."""
    table = first_table(dataset, "ModalityLUTSequence")
    if table is not None:
        values, bits = _looked_up(stored, table, dataset)
        return values, (0.0, 2.0**bits - 1)
    group = functional_group(
        dataset,
        "PixelValueTransformationSequence",
        lambda item: any(first_value(item, name, path) is not None for name in ("RescaleSlope", "RescaleIntercept")),
    )
    group = dataset if group is None else group
    slope, intercept = first_value(group, "RescaleSlope", path), first_value(group, "RescaleIntercept", path)
    if slope == 0:
        raise ImageError(f"image '{path}' has the rescale slope 0, which makes all pixels equal; correct its header")
    low, high = _stored_range(stored, dataset)
    if slope is None and intercept is None:
        return stored, (low, high)
    slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
    ends = sorted((low * slope + intercept, high * slope + intercept))
    values = stored.astype(np.float64 if stored.dtype.itemsize > 2 else np.float32)
    values *= slope
    values += intercept
    return values, (ends[0], ends[1])


def _stored_range(stored: np.ndarray, dataset: Any) -> tuple[float, float]:
    """Smallest and largest value the stored bits can express."""
    if stored.dtype.kind == "f":
        return 0.0, 1.0
    bits = int(dataset.BitsStored)
    signed = stored.dtype.kind == "i"
    return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)


def _value_of_interest(dataset: Any, path: Path) -> Any:
    """The part of the dataset that holds table or window: a functional group of an enhanced file, else all of it."""
    group = functional_group(
        dataset,
        "FrameVOILUTSequence",
        lambda item: first_table(item, "VOILUTSequence") is not None or _has_window(item, path),
    )
    return dataset if group is None else group


def _has_window(source: Any, path: Path) -> bool:
    """Whether centre and width of a window are given."""
    return all(first_value(source, name, path) is not None for name in ("WindowCenter", "WindowWidth"))


def _windowed(values: np.ndarray, source: Any, path: Path) -> np.ndarray:
    """Apply the window (PS3.3 C.11.2.1.2 and C.11.2.1.3): values -> 0..1, before clipping."""
    centre, width = first_value(source, "WindowCenter", path), first_value(source, "WindowWidth", path)
    function = (first_value(source, "VOILUTFunction", path, str) or "LINEAR").strip().upper()
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise ImageError(
            f"image '{path}' has the VOI function '{function}', expected LINEAR, LINEAR_EXACT or SIGMOID; "
            "correct its header"
        )
    if not np.isfinite([centre, width]).all() or width <= 0 or (function == "LINEAR" and width < 1):
        raise ImageError(
            f"image '{path}' has a window of width {width:g} around {centre:g}, expected a width of at "
            "least 1; correct its header"
        )
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return (values > centre).astype(np.float32)
    unit: np.ndarray = values.astype(np.float64 if values.dtype.itemsize > 4 else np.float32)
    unit -= centre
    unit /= width
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * unit, -80, 80)))
    unit += 0.5
    return unit


def _looked_up(values: np.ndarray, item: Any, dataset: Any) -> tuple[np.ndarray, int]:
    """(entries of a modality or VOI table, their bits)."""
    entries, first, bits = (int(value) for value in item.LUTDescriptor)
    if not 1 <= bits <= 16:
        raise ValueError(f"its lookup table has entries of {bits} bits")
    table = _table(item.LUTData, entries, dataset)
    bits = bits if table.max() < 2**bits else 16  # some programs write 16-bit entries and declare fewer
    return table[_table_positions(values, first, entries)].astype(np.float32), bits


def _table(data: Any, entries: int, dataset: Any) -> np.ndarray:
    """Entries of a lookup table, stored as bytes (one or two for each) or as numbers; 0 stands for 65,536 entries."""
    count = entries or 2**16
    if isinstance(data, bytes):
        order = "<" if dataset.original_encoding[1] is not False else ">"
        data = np.frombuffer(data, f"{order}u2" if len(data) >= 2 * count else "u1")
    table = np.atleast_1d(np.asarray(data))[:count]
    if len(table) < count:
        raise ValueError(f"its lookup table holds {len(table)} of {count} entries")
    return table


def _table_positions(values: np.ndarray, first: int, entries: int) -> np.ndarray:
    """Positions in a table: values below its first entry take the first, above its last the last.

    The first entry's number is taken as negative where the table would otherwise reach beyond 16 bits, because implicit
    files do not say whether the number has a sign.
    """
    count = entries or 2**16
    first -= 2**16 if first >= 2**15 and first + count > 2**16 else 0
    return np.clip(np.floor(values.astype(np.float64) - first), 0, count - 1).astype(np.intp)


def _float_range(values: np.ndarray, path: Path) -> np.ndarray:
    """Floats without a window, float32; ImageError unless they lie in 0..1."""
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        raise ImageError(
            f"image '{path}' holds float values from {low:g} to {high:g} and no window, expected 0 to 1; "
            "give it a window"
        )
    return values.astype(np.float32)
