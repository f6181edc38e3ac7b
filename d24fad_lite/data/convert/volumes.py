"""One NIfTI volume: read within what its header promises, turned to a known orientation, cut into slices.

Slices look as on a radiologist's screen: axial and coronal ones with the patient's right on the left, axial ones with
the front up, coronal and sagittal ones with the head up, sagittal ones with the front on the left.
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from d24fad_lite.data.images import ImageError

SUFFIXES = (".nii", ".nii.gz")
AXES = {"sagittal": 0, "coronal": 1, "axial": 2}  # in RAS: x to the right, y to the front, z to the head
ORIENTATION = (
    "RAS (nibabel.as_closest_canonical), shown as radiologists do: axial and coronal with the patient's "
    "right on the left, axial with the front up, coronal and sagittal with the head up, sagittal with the "
    "front on the left"
)
MOST_VOXELS = 2**28  # 512 x 512 x 1024
MOST_OFFSET = 2**26  # bytes between the header and the first voxel, where extensions lie
MOST_PACKED = 1100  # bytes that deflate can make of one
SAMPLED = 2**22  # voxels that percentiles are taken of
_HEADERS = {348: "Nifti1Header", 540: "Nifti2Header"}


class Volume(NamedTuple):
    """A volume in memory.

    Attributes
    ----------
    values : numpy.ndarray
        float32 [X, Y, Z] in RAS order: x grows to the right, y to the front, z to the head.
    spacing : tuple of 3 float
        Size of a voxel along x, y and z in mm.
    oriented : bool
        Whether the header gives an orientation; without one RAS is a guess.
    """

    values: np.ndarray
    spacing: tuple[float, float, float]
    oriented: bool


def read_volume(path: Path) -> Volume:
    """Read a volume, with its values scaled by the header's slope and intercept.

    Only as many bytes are read, or unpacked, as the header promises, and no more than 2^28 voxels.

    Parameters
    ----------
    path : Path
        A .nii or .nii.gz file.

    Returns
    -------
    Volume

    Raises
    ------
    ImageError : no NIfTI file, damaged or cut short, not three-dimensional, too large.
    """
    import nibabel

    if not path.is_file():
        raise ImageError(f"volume '{path}' does not exist or is no regular file")
    try:
        with _opened(path) as stream:
            header = _header(stream, path)
            stored = _voxels(stream, header, path)
        slope, intercept = header.get_slope_inter()
        values = stored.astype(np.float32)
        if slope is not None:
            values = values * np.float32(slope) + np.float32(intercept or 0)
        turned = nibabel.as_closest_canonical(nibabel.Nifti1Image(values, header.get_best_affine()))
        x, y, z = map(float, turned.header.get_zooms())
        return Volume(np.asarray(turned.dataobj), (x, y, z), bool(header["qform_code"] or header["sform_code"]))
    except ImageError:
        raise
    except (
        OSError,
        EOFError,
        zlib.error,
        ValueError,
        KeyError,
        np.linalg.LinAlgError,
        nibabel.spatialimages.HeaderDataError,
        nibabel.orientations.OrientationError,
    ) as error:
        raise ImageError(f"volume '{path}' cannot be read ({error}); copy it again or remove it") from error


def cut(values: np.ndarray, axis: str, index: int) -> np.ndarray:
    """One slice of a volume, turned as it is shown.

    Parameters
    ----------
    values : numpy.ndarray
        [X, Y, Z] in RAS order.
    axis : {"sagittal", "coronal", "axial"}
        Direction that slices are counted in.
    index : int
        Position of the slice, counted from 0 at the left, the back or the feet.

    Returns
    -------
    numpy.ndarray
        [rows, columns], of the type of `values`.
    """
    plane = values.take(index, axis=AXES[axis])  # (x, y), (x, z) or (y, z)
    return np.ascontiguousarray(plane[::-1, ::-1].T)


def window_of(values: np.ndarray, percentiles: tuple[float, float]) -> tuple[float, float]:
    """The values that become black and white.

    Parameters
    ----------
    values : numpy.ndarray
        [X, Y, Z]. Of a large volume every n-th voxel is looked at; NaN and infinity do not count.
    percentiles : (float, float)
        Lower and upper percentile of the whole volume, 0 to 100.

    Returns
    -------
    (float, float)

    Raises
    ------
    ImageError : no voxel is finite.
    """
    sample = values.ravel()[:: max(values.size // SAMPLED, 1)]
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        raise ImageError("has no finite voxel")
    low, high = np.percentile(sample, percentiles)
    return float(low), float(high)


def to_grey(plane: np.ndarray, low: float, high: float) -> np.ndarray:
    """A slice as grey values.

    Parameters
    ----------
    plane : numpy.ndarray
        [rows, columns].
    low, high : float
        `low` and what lies below it becomes 0, `high` and what lies above it 65535; NaN becomes 0.

    Returns
    -------
    numpy.ndarray
        uint16 [rows, columns].
    """
    unit = np.clip((plane.astype(np.float64) - low) / (high - low), 0, 1)
    return np.rint(np.nan_to_num(unit) * 65535).astype(np.uint16)


def _opened(path: Path) -> io.BufferedIOBase:
    """A stream of the file's bytes, unpacked where it is an archive."""
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")


def _header(stream: io.BufferedIOBase, path: Path) -> Any:
    """Read and check the header alone; nibabel's own loader also reads extensions of whatever length a file claims."""
    import nibabel

    block = stream.read(540)
    sizes = {int.from_bytes(block[:4], order): order for order in ("little", "big")}
    size = next((number for number in sizes if number in _HEADERS), None)
    if size is None or len(block) < size:
        raise ImageError(f"volume '{path}' is no NIfTI file; expected .nii or .nii.gz as nibabel writes it")
    kind = getattr(nibabel, _HEADERS[size])
    header = kind(block[:size], endianness="<" if sizes[size] == "little" else ">", check=False)
    shape, offset = _shape(header), float(header["vox_offset"])
    if len(shape) != 3 or min(shape) < 1:
        raise ImageError(f"volume '{path}' has the shape {shape}, expected three dimensions; split it into volumes")
    if math.prod(shape) > MOST_VOXELS:
        raise ImageError(
            f"volume '{path}' promises {math.prod(shape):,} voxels, at most {MOST_VOXELS:,} are read; cut it into parts"
        )
    if not size <= offset <= MOST_OFFSET:
        raise ImageError(
            f"volume '{path}' says that its voxels begin at byte {offset:g}, expected {size} to {MOST_OFFSET}"
        )
    return header


def _shape(header: Any) -> tuple[int, ...]:
    """The dimensions that the header names, without trailing dimensions of length 1 beyond the third."""
    shape = [int(length) for length in header["dim"][1 : 1 + int(header["dim"][0])]]
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    return tuple(shape)


def _voxels(stream: io.BufferedIOBase, header: Any, path: Path) -> np.ndarray:
    """Read the voxels as they are stored, [X, Y, Z], once the file is known to be long enough for them."""
    dtype, shape = header.get_data_dtype(), _shape(header)
    if dtype.kind not in "iufb":
        raise ImageError(f"volume '{path}' holds {dtype} voxels, expected one number each")
    offset, needed = int(header["vox_offset"]), math.prod(shape) * dtype.itemsize
    packed = MOST_PACKED if isinstance(stream, gzip.GzipFile) else 1
    if offset + needed > packed * path.stat().st_size:
        raise ImageError(
            f"volume '{path}' promises {needed:,} bytes of voxels, more than the file can hold; copy it again"
        )
    stream.seek(offset)
    data = stream.read(needed)
    stream.read(1)  # at the end of the file gzip compares its checksum
    if len(data) < needed:
        raise ImageError(f"volume '{path}' is cut short: {len(data):,} of {needed:,} bytes of voxels; copy it again")
    return np.frombuffer(data, dtype).reshape(shape, order="F")
