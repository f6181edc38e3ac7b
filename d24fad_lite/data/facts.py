"""What a file is like beside its pixels: orientation tag, depth, how much of its range is used, frames, modality."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from d24fad_lite.data import tiff
from d24fad_lite.data.images import unit_range
from d24fad_lite.data.recognise import opened
from d24fad_lite.data.stored import ORIENTATION, frame_count, guarded, read_stored

USED_RANGE = 0.1  # below this share of its range, a deep image is one shade of grey to a backbone
ORIENTATIONS = {2: "mirrored", 3: "turned by 180 degrees", 4: "mirrored upside down", 5: "mirrored and turned",
                6: "turned by 90 degrees", 7: "mirrored and turned", 8: "turned by 270 degrees"}


@dataclass(frozen=True)
class ImageFacts:
    """Facts of one file.

    kind : "PNG", "JPEG", "BMP", "TIFF" or "DICOM", by content.
    width, height : pixels as stored.
    bits : per channel, as stored.
    channels : as stored, with alpha.
    frames : more than one is refused by the readers.
    orientation : of the tag, 1 to 8; 1 (or no tag) is upright. Pixels are used as stored, whatever it says.
    modality : of DICOM ("CT", "MR", ...), else None.
    low, high : smallest and largest value in use, as a share of the range in 0..1; None for 8 bits and without pixels.
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
        """Sentences about what a reader of the pixels alone would not notice, each with its remedy."""
        found = []
        if self.orientation in ORIENTATIONS:
            found.append(
                f"image '{self.path}' has an orientation tag ({self.orientation}: to be shown "
                f"{ORIENTATIONS[self.orientation]}); pixels are used as stored, so make sure that its mask was drawn "
                "on those, or apply the tag to both and save them without it"
            )
        if self.low is not None and self.high is not None and self.high - self.low < USED_RANGE:
            low, high = 100 * self.low, 100 * self.high
            found.append(
                f"image '{self.path}' of {self.bits} bits uses {high - low:.1f} % of its range "
                f"({low:.1f} % to {high:.1f} %), which leaves hardly any contrast; {self._remedy()}"
            )
        return found

    def _remedy(self) -> str:
        if self.kind == "DICOM":
            return "give the file a window (WindowCenter, WindowWidth)"
        if self.low is not None and self.high is not None and self.low < 0.01 and self.high > 0:
            return f"multiply the values of all images by the same number, here up to {1 / self.high:.0f}"
        return "map the range in use to the whole range, the same for all images"


def image_facts(path: str | Path, *, pixels: bool = True) -> ImageFacts:
    """Facts of an image file; without `pixels` from its header alone. Raises ImageError where the header, or
    deep pixels, cannot be read; it does not look for damage elsewhere, as `decode_image` does."""
    path = Path(path)
    stream, kind = opened(path)
    with stream, guarded(path):
        if kind == "DICOM":
            return _dicom_facts(path, pixels)
        header = _tiff_header(path, stream) if kind == "TIFF" else _header(kind, stream)
        facts = ImageFacts(path, kind, **header)
        if not pixels or facts.bits <= 8 or facts.frames > 1:
            return facts
        stream.seek(0)
        stored = read_stored(path, kind, stream)
        if stored.values is None:
            return facts
        unit = unit_range(stored.values, stored.top, path)
        return replace(facts, low=float(unit.min()), high=float(unit.max()))


def _tiff_header(path: Path, stream: BinaryIO) -> dict[str, int]:
    page = tiff.read_page(stream, path)
    width, height = page.size
    return {"width": width, "height": height, "bits": page.bits, "channels": page.samples, "frames": page.pages,
            "orientation": page.get(tiff.ORIENTATION, 1)}


def _header(kind: str, stream: BinaryIO) -> dict[str, int]:
    with Image.open(stream, formats=(kind,)) as image:
        raw = str(image.tile[0].args) if kind == "PNG" and image.tile else ""  # "LA;16B": what Pillow would cut
        deep = image.mode.startswith("I") or raw.endswith(";16B")
        try:
            orientation = int(image.getexif().get(ORIENTATION, 1))
        except Exception as error:  # pixels do not depend on it
            logging.getLogger(__name__).debug("tags of %s: %s", stream.name, error)
            orientation = 1
        return {"width": image.width, "height": image.height, "bits": 16 if deep else 1 if image.mode == "1" else 8,
                "channels": 2 if raw == "LA;16B" else len(image.getbands()), "frames": frame_count(image),
                "orientation": orientation}


def _dicom_facts(path: Path, pixels: bool) -> ImageFacts:
    from d24fad_lite.data.dicom import dicom_size, read_dicom, read_header
    from d24fad_lite.data.dicom_elements import first_value

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
    return ImageFacts(path, "DICOM", width, height, bits, number("SamplesPerPixel", 1), frames,
                      modality=first_value(dataset, "Modality", path, str), low=low, high=high)
