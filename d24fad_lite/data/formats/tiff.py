"""TIFF: what the header says, for every file; and the pixels of those that Pillow cuts, inverts or scrambles.

Pillow reads plain 8-bit files. Read here: more than 8 bits per channel (packed 9 to 15 bits too), floats of any width,
signed integers, and planes stored one after the other; in strips or tiles, either byte order, BigTIFF, uncompressed or
packed without loss (see `tiff_segments`). What neither reads right is refused by name.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from d24fad_lite.data.formats.limits import require_room
from d24fad_lite.data.formats.recognise import ImageError
from d24fad_lite.data.formats.tiff_segments import COMPRESSIONS, unpack_segment

# Tags, by their numbers in the TIFF 6.0 specification and its supplements.
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, STRIPS, ORIENTATION = 256, 257, 258, 259, 262, 266, 273, 274
SAMPLES, ROWS, STRIP_BYTES, PLANAR, PREDICTOR = 277, 278, 279, 284, 317
TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES, INK_SET, EXTRA, FORMAT, SUBSAMPLING = 322, 323, 324, 325, 332, 338, 339, 530
COLOUR_MAP = 320
_SUBFILE, _OLD_SUBFILE, _DESCRIPTION, _DEPTH = 254, 255, 270, 32997
_USED = frozenset((
    WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, STRIPS, ORIENTATION, SAMPLES, ROWS, STRIP_BYTES, PLANAR,
    PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES, INK_SET, EXTRA, FORMAT, SUBSAMPLING, COLOUR_MAP,
    _SUBFILE, _OLD_SUBFILE, _DESCRIPTION, _DEPTH,
))  # fmt: skip
ALPHA = 2  # value of EXTRA: transparency that is not multiplied into the colours

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
_COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3}  # samples that carry colour
_OTHER_COLOURS = {
    4: "a transparency mask",
    8: "CIE L*a*b*",
    9: "ICC L*a*b*",
    10: "ITU L*a*b*",
    32803: "a raw sensor",
    32844: "LogL",
    32845: "LogLuv",
    34892: "a linear sensor",
}
_LOSSY = frozenset({6, 7, 34712, 33003, 33005, 50001})
_FAX_AND_JPEG = frozenset({2, 3, 4, 6, 7})  # compressions that Pillow always reads, whatever the planes
_TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q"}
_MAX_PAGES, _MAX_TAGS = 1000, 4096  # a file with more is damaged, or made to keep a reader busy


@dataclass(frozen=True)
class TiffPage:
    """The first page of a file.

    tags : number of each tag -> its values.
    order : byte order, "<" or ">".
    pages : how many pages the file has; previews do not count.
    """

    tags: dict[int, tuple]
    order: str
    pages: int

    def get(self, tag: int, default: int = 0) -> int:
        """The first value of a tag."""
        values = self.tags.get(tag) or (default,)
        return int(values[0])

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as stored."""
        return self.get(WIDTH), self.get(HEIGHT)

    @property
    def samples(self) -> int:
        """Samples per pixel, alpha included."""
        return self.get(SAMPLES, 1)

    @property
    def bits(self) -> int:
        """Bits of one sample."""
        return self.get(BITS, 1)

    @property
    def colours(self) -> int:
        """How many of the samples carry colour; what follows is alpha."""
        return _COLOURS[self.get(PHOTOMETRIC)]

    @property
    def lossy(self) -> bool:
        """Whether the compression changes values, so that zeros are only nearly zero."""
        return self.get(COMPRESSION, 1) in _LOSSY

    @property
    def planar(self) -> bool:
        """Whether each sample has a plane of its own, stored one after the other."""
        return self.get(PLANAR, 1) == 2 and self.samples > 1

    @property
    def is_plain(self) -> bool:
        """Whether Pillow reads the pixels right."""
        if self.get(COMPRESSION, 1) in _FAX_AND_JPEG:
            return True
        alpha = (self.samples > 1 and self.get(PHOTOMETRIC) == WHITE_IS_ZERO) or self.samples > 4
        return self.bits <= 8 and not self.planar and not alpha


def read_page(stream: BinaryIO, path: Path) -> TiffPage:
    """Tags of the first page, checked. OSError for a damaged header, ImageError for what is not read."""
    size = os.fstat(stream.fileno()).st_size
    head = stream.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", head, 2)[0] == 43
    at = struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)[0]
    first: dict[int, tuple] = {}
    seen: set[int] = set()
    pages = 0
    while at and at not in seen and len(seen) < _MAX_PAGES:
        seen.add(at)
        try:
            tags, at = _directory(stream, at, size, order, big, whole=not first)
        except (OSError, struct.error):
            if not first:
                raise OSError("its directory of tags is cut short") from None
            break  # the first page is whole; only the link to the next one is broken
        first = first or tags
        reduced = tags.get(_SUBFILE, (0,))[0] & 5 or tags.get(_OLD_SUBFILE, (1,))[0] == 2
        pages += not reduced or tags is first  # previews and masks of a page are no pages
    page = TiffPage(first, order, max(pages, _slices(first)))
    _require_known(page, path)
    if TILES in page.tags:
        require_room(path, page.get(TILE_WIDTH), page.get(TILE_HEIGHT), page.samples * max(1, page.bits / 8))
    return page


def _slices(tags: dict[int, tuple]) -> int:
    """Slices of a volume that one page holds: by its depth, or by what ImageJ writes for a stack."""
    text = tags.get(_DESCRIPTION, (b"",))[0]
    stack = re.match(rb"ImageJ=.*?^images=(\d+)", text, re.DOTALL | re.MULTILINE) if isinstance(text, bytes) else None
    return max(int(tags.get(_DEPTH, (1,))[0]), int(stack[1]) if stack else 1)


def _directory(stream: BinaryIO, at: int, size: int, order: str, big: bool, whole: bool) -> tuple[dict, int]:
    """(tags, offset of the next directory); without `whole` only the tags that distinguish a preview from a page."""
    entry, inline = (20, 8) if big else (12, 4)
    stream.seek(at)
    count = struct.unpack(order + ("Q" if big else "H"), stream.read(8 if big else 2))[0]
    if count > _MAX_TAGS or at + count * entry > size:
        raise OSError("its directory of tags is cut short")
    block = stream.read(count * entry)
    following = struct.unpack(order + ("Q" if big else "I"), stream.read(inline))[0]
    tags: dict[int, tuple] = {}
    for start in range(0, len(block), entry):
        tag, kind = struct.unpack_from(order + "HH", block, start)
        number = struct.unpack_from(order + ("Q" if big else "I"), block, start + 4)[0]
        if kind not in _TYPES or not number or not (whole or tag in (_SUBFILE, _OLD_SUBFILE)):
            continue
        length = number * struct.calcsize("=" + _TYPES[kind])
        field = block[start + entry - inline : start + entry]
        if length > inline:
            offset = struct.unpack(order + ("Q" if big else "I"), field)[0]
            if tag not in _USED:
                continue  # long texts, profiles and private data
            if offset + length > size:
                raise OSError(f"the values of tag {tag} are cut short")
            stream.seek(offset)
            field = stream.read(length)
        tags[tag] = struct.unpack(f"{order}{number}{_TYPES[kind]}", field[:length])  # a text is one value
    return tags, following


def _require_known(page: TiffPage, path: Path) -> None:
    """ImageError for what neither Pillow nor this module would read right."""
    width, height = page.size
    if width < 1 or height < 1:
        raise OSError(f"its header promises {width}x{height} pixels")
    kinds = {page.bits, *page.tags.get(BITS, ())}
    reason = None
    if PHOTOMETRIC not in page.tags:
        reason = "does not say whether 0 is black or white (no PhotometricInterpretation)"
    elif page.get(PHOTOMETRIC) not in _COLOURS:
        colour = page.get(PHOTOMETRIC)
        reason = f"holds colours of another kind ({_OTHER_COLOURS.get(colour, f'PhotometricInterpretation {colour}')})"
    elif not page.colours <= page.samples <= page.colours + 1:
        reason = f"holds {page.samples} channels, of which {page.colours} carry colour and one may be alpha"
    elif len(kinds) > 1 or len(set(page.tags.get(FORMAT, ()))) > 1:
        reason = f"holds channels of different depth ({page.tags[BITS]} bits)"
    elif not _known_samples(page):
        kind = {1: "unsigned integers", 2: "signed integers", 3: "floats"}.get(page.get(FORMAT, 1), "another kind")
        reason = f"holds samples of {page.bits} bits ({kind}), {'planes apart' if page.planar else 'pixel by pixel'}"
    elif not page.is_plain and page.samples > page.colours and page.get(EXTRA) == 1:
        reason = "holds colours that are multiplied with their alpha"
    elif page.get(PHOTOMETRIC) == PALETTE and 0 < max(page.tags.get(COLOUR_MAP, (0,))) < 256:
        reason = "holds a palette that counts up to 255, where the format has 65535"
    elif page.get(PHOTOMETRIC) == CMYK and page.get(INK_SET, 1) != 1:
        reason = "holds inks that are not cyan, magenta, yellow and black"
    elif page.get(PHOTOMETRIC) == YCBCR and not page.lossy and page.tags.get(SUBSAMPLING, (2, 2)) != (1, 1):
        reason = "holds YCbCr colour at reduced resolution without JPEG"
    if reason:
        raise ImageError(f"image '{path}' {reason}, which is not read; convert it to grey or RGB and write it again")


def _known_samples(page: TiffPage) -> bool:
    """Whether Pillow or this module reads samples of this depth, format and colour right."""
    bits, kind, colour = page.bits, page.get(FORMAT, 1), page.get(PHOTOMETRIC)
    if page.is_plain:
        return bits <= 8 and kind in (1, 4) and not page.planar
    if (
        (colour in (PALETTE, YCBCR) and bits > 8)
        or (page.planar and bits < 8)
        or page.get(COMPRESSION, 1) in _FAX_AND_JPEG
    ):
        return False
    if kind == 3:
        return bits in (16, 32, 64)
    if kind == 2:
        return bits in (16, 32, 64) and colour == BLACK_IS_ZERO
    whole = bits in (8, 16) or 8 < bits < 16
    return kind in (1, 4) and (whole or (bits in (32, 64) and colour in (BLACK_IS_ZERO, RGB)))


def read_values(stream: BinaryIO, page: TiffPage, path: Path) -> np.ndarray:
    """Samples as stored, [H, W, samples] in the machine's byte order. OSError for damaged or missing data."""
    width, height = page.size
    if page.get(COMPRESSION, 1) not in COMPRESSIONS:
        raise ImageError(
            f"image '{path}' holds {page.bits}-bit samples with TIFF compression {page.get(COMPRESSION)}, which is not "
            "read at this depth; write it again with deflate, LZW or no compression"
        )
    item = 8 if page.bits > 32 else 4 if page.bits > 16 else 2 if page.bits > 8 else 1
    require_room(path, width, height, 2 * item * page.samples + 4 * page.colours)
    kind = {2: "i", 3: "f"}.get(page.get(FORMAT, 1), "u")
    values = np.zeros((height, width, page.samples), f"{kind}{item}")
    for segment in _segments(stream, page, path):
        block = unpack_segment(
            segment.raw,
            shape=(segment.rows, segment.columns, 1 if page.planar else page.samples),
            bits=page.bits,
            kind=page.order + kind,
            compression=page.get(COMPRESSION, 1),
            predictor=page.get(PREDICTOR, 1),
            reverse_bits=page.get(FILL_ORDER, 1) == 2,
        )
        part = values[segment.top : segment.top + segment.rows, segment.left : segment.left + segment.columns]
        target = part[:, :, segment.plane : segment.plane + 1] if page.planar else part
        target[...] = block[: part.shape[0], : part.shape[1]]
    return values


class _Segment(NamedTuple):
    """One strip or tile: the plane and pixels of the image that it holds, and its stored bytes."""

    plane: int
    top: int
    left: int
    rows: int
    columns: int
    raw: bytes


def _segments(stream: BinaryIO, page: TiffPage, path: Path) -> Iterator[_Segment]:
    """The strips or tiles of a page, in the order in which they are listed."""
    width, height = page.size
    tiled = TILES in page.tags
    rows = page.get(TILE_HEIGHT) if tiled else min(page.get(ROWS, height), height)
    columns = page.get(TILE_WIDTH) if tiled else width
    if rows < 1 or columns < 1:
        raise OSError(f"its strips or tiles are {columns}x{rows} pixels")
    require_room(path, columns, rows, page.samples * page.bits / 4)
    offsets, counts = (page.tags.get(t, ()) for t in ((TILES, TILE_BYTES) if tiled else (STRIPS, STRIP_BYTES)))
    across, down = -(-width // columns), -(-height // rows)
    needed = across * down * (page.samples if page.planar else 1)
    if len(offsets) < needed or len(counts) < needed:
        raise OSError(f"{min(len(offsets), len(counts))} strips or tiles are listed, expected {needed}")
    size = os.fstat(stream.fileno()).st_size
    for index in range(needed):
        plane, number = divmod(index, across * down)
        top, left = number // across * rows, number % across * columns
        offset, count = int(offsets[index]), int(counts[index])
        if offset < 0 or count < 0 or offset + count > size:
            raise OSError(f"strip or tile {index} is cut short")
        stream.seek(offset)
        yield _Segment(plane, top, left, rows if tiled else min(rows, height - top), columns, stream.read(count))
