"""Facts about an image file: size, depth, how much of its range is used, frames, orientation tag, modality."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from d24fad_lite.data.formats import tiff
from d24fad_lite.data.formats.dicom import dicom_size, read_dicom, read_header
from d24fad_lite.data.formats.dicom_elements import first_value
from d24fad_lite.data.formats.recognise import opened
from d24fad_lite.data.formats.stored_pixels import ORIENTATION, DeepPixels, frame_count, guarded, read_stored
from d24fad_lite.data.images import unit_range

USED_RANGE = 0.1  # a deep image that uses a smaller share of its range is one shade of grey to a backbone
ORIENTATIONS = {
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "mirrored upside down",
    5: "mirrored and turned",
    6: "turned by 90 degrees",
    7: "mirrored and turned",
    8: "turned by 270 degrees",
}


@dataclass(frozen=True)
class ImageFacts:
    """What is known about one image file without showing it.

    Attributes
    ----------
    path : Path
    kind : str
        "PNG", "JPEG", "BMP", "TIFF" or "DICOM", by content.
    width, height : int
        Pixels as stored.
    bits : int
        Bits per channel, as stored.
    channels : int
        Channels as stored, alpha included.
    frames : int
        Frames or pages; the readers refuse more than one. Default 1.
    orientation : int
        Value of the orientation tag, 1 to 8; 1 (also: no tag) is upright. Pixels are used as stored, whatever it says.
    modality : str or None
        Of DICOM ("CT", "MR", ...), else None.
    low, high : float or None
        Smallest and largest value in use, as a share of the range, in 0..1; None for 8 bits, and where pixels were not
        asked for.
    """

    path: Path
    kind: str
    width: int
    height: int
    bits: int
    channels: int
    frames: int = 1
    orientation: int = 1
    modality: str | None = None
    low: float | None = None
    high: float | None = None

    def findings(self) -> list[str]:
        """One sentence, with its remedy, for each oddity that the decoded pixels alone would not show."""
        sentences = []
        if self.orientation in ORIENTATIONS:
            sentences.append(
                f"image '{self.path}' has an orientation tag ({self.orientation}: to be shown "
                f"{ORIENTATIONS[self.orientation]}); pixels are used as stored, so make sure that its mask was drawn "
                "on those, or apply the tag to both and save them without it"
            )
        if self.low is not None and self.high is not None and self.high - self.low < USED_RANGE:
            low, high = 100 * self.low, 100 * self.high
            sentences.append(
                f"image '{self.path}' of {self.bits} bits uses {high - low:.1f} % of its range "
                f"({low:.1f} % to {high:.1f} %), which leaves hardly any contrast; {self._remedy()}"
            )
        return sentences

    def _remedy(self) -> str:
        """What to do about values that use little of their range."""
        if self.kind == "DICOM":
            return "give the file a window (WindowCenter, WindowWidth)"
        if self.low is not None and self.high is not None and self.low < 0.01 and self.high > 0:
            return f"multiply the values of all images by the same number, here up to {1 / self.high:.0f}"
        return "map the range in use to the whole range, the same for all images"


def image_facts(path: str | Path, *, pixels: bool = True) -> ImageFacts:
    """Facts of an image file.

    Parameters
    ----------
    path : str or Path
    pixels : bool, default True
        Also decode images of more than 8 bits, for `low` and `high`; otherwise the header alone is read.

    Raises
    ------
    ImageError : the header, or deep pixels, cannot be read. Only `decode_image` notices damage in 8-bit pixels.
    """
    path = Path(path)
    stream, kind = opened(path)
    with stream, guarded(path):
        if kind == "DICOM":
            return _dicom_facts(path, pixels)
        facts = _tiff_facts(path, stream) if kind == "TIFF" else _pillow_facts(path, kind, stream)
        if not pixels or facts.bits <= 8 or facts.frames > 1:
            return facts
        stream.seek(0)
        stored = read_stored(path, kind, stream)
        if not isinstance(stored, DeepPixels):
            return facts
        unit = unit_range(stored.values, stored.top, path)
        return replace(facts, low=float(unit.min()), high=float(unit.max()))


def _tiff_facts(path: Path, stream: BinaryIO) -> ImageFacts:
    """Facts from the header of a TIFF."""
    page = tiff.read_page(stream, path)
    width, height = page.size
    return ImageFacts(
        path,
        "TIFF",
        width,
        height,
        page.bits,
        page.samples,
        frames=page.pages,
        orientation=page.get(tiff.ORIENTATION, 1),
    )


def _pillow_facts(path: Path, kind: str, stream: BinaryIO) -> ImageFacts:
    """Facts from the header of a PNG, JPEG or BMP."""
    with Image.open(stream, formats=(kind,)) as image:
        raw = str(image.tile[0].args) if kind == "PNG" and image.tile else ""  # "LA;16B": what Pillow would cut
        deep = image.mode.startswith("I") or raw.endswith(";16B")
        try:
            orientation = int(image.getexif().get(ORIENTATION, 1))
        except Exception as error:  # a damaged tag does not change the pixels
            logging.getLogger(__name__).debug("tags of %s: %s", path, error)
            orientation = 1
        return ImageFacts(
            path,
            kind,
            image.width,
            image.height,
            bits=16 if deep else 1 if image.mode == "1" else 8,
            channels=2 if raw == "LA;16B" else len(image.getbands()),
            frames=frame_count(image),
            orientation=orientation,
        )


def _dicom_facts(path: Path, pixels: bool) -> ImageFacts:
    """Facts of a DICOM file; with `pixels`, those of a deep file of one frame are decoded for `low` and `high`."""
    dataset = read_header(path)
    width, height = dicom_size(path)

    def number(name: str, default: int) -> int:
        return first_value(dataset, name, path, int) or default

    bits = number("BitsStored", number("BitsAllocated", 8))
    low = high = None
    frames = number("NumberOfFrames", 1)
    if pixels and bits > 8 and frames == 1:
        unit = read_dicom(path)
        low, high = float(unit.min()), float(unit.max())
    return ImageFacts(
        path,
        "DICOM",
        width,
        height,
        bits,
        number("SamplesPerPixel", 1),
        frames,
        modality=first_value(dataset, "Modality", path, str),
        low=low,
        high=high,
    )
