"""One strip or tile of a TIFF: compressed bytes -> samples. Nothing unpacks to more than the segment's size."""

from __future__ import annotations

import numpy as np

from d24fad_lite.data.limits import inflate

NONE, LZW, DEFLATE, OLD_DEFLATE, PACKBITS = 1, 5, 8, 32946, 32773
COMPRESSIONS = frozenset({NONE, LZW, DEFLATE, OLD_DEFLATE, PACKBITS})
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
_CLEAR, _END = 256, 257


def unpack_segment(raw: bytes, shape: tuple[int, int, int], bits: int, kind: str, compression: int, predictor: int,
                   reverse_bits: bool = False) -> np.ndarray:
    """Stored bytes -> samples [rows, columns, samples].

    Parameters
    ----------
    bits : per sample; other than 8, 16, 32 and 64 they are packed, and each row begins at a whole byte.
    kind : byte order and "u", "i" or "f".
    predictor : 1 none, 2 differences to the left neighbour, 3 the same on the bytes of floats.
    reverse_bits : FillOrder 2, the lowest bit of a byte comes first.

    Raises
    ------
    OSError : fewer data than the shape needs, or damaged.
    """
    rows, columns, samples = shape
    row_bytes = -(-columns * samples * bits // 8)
    expected = rows * row_bytes
    raw = raw.translate(_REVERSED) if reverse_bits else raw
    data = _decompressed(raw, expected, compression)
    if len(data) < expected:
        raise OSError(f"a strip or tile holds {len(data):,} of {expected:,} bytes")
    lines = np.frombuffer(data, np.uint8, expected).reshape(rows, row_bytes)
    if bits not in (8, 16, 32, 64):
        if predictor != 1:
            raise OSError(f"predictor {predictor} with packed samples of {bits} bits")
        return _packed(lines, bits, columns * samples).reshape(shape)
    if predictor == 3 and kind[1] == "f":
        return _float_differences(lines, shape, bits // 8)
    values = lines.view(f"{kind}{bits // 8}").reshape(shape)
    native = values.astype(values.dtype.newbyteorder("="))
    if predictor == 2:  # sums wrap around, for signed integers and floats too: they are differences of bit patterns
        whole = native.view(f"u{bits // 8}")
        np.cumsum(whole, axis=1, dtype=whole.dtype, out=whole)
    elif predictor != 1:
        raise OSError(f"predictor {predictor} is not known for these samples")
    return native


def _decompressed(raw: bytes, expected: int, compression: int) -> bytes:
    if compression in (DEFLATE, OLD_DEFLATE):
        return inflate(raw, expected)
    if compression == LZW:
        return _lzw(raw, expected)
    return _packbits(raw, expected) if compression == PACKBITS else raw


def _packed(lines: np.ndarray, bits: int, count: int) -> np.ndarray:
    """Samples of 9 to 15 bits, highest bit first, uint8 [rows, bytes] -> uint16 [rows, count]."""
    weights = (1 << np.arange(bits - 1, -1, -1)).astype(np.uint16)
    values = np.empty((len(lines), count), np.uint16)
    for row, line in zip(values, lines, strict=True):  # row by row: a bit takes a byte while it is unpacked
        row[:] = np.unpackbits(line, count=count * bits).reshape(count, bits) @ weights
    return values


def _float_differences(lines: np.ndarray, shape: tuple[int, int, int], size: int) -> np.ndarray:
    """Predictor 3: bytes of a row sorted by significance, then stored as differences."""
    rows, columns, samples = shape
    steps = lines.reshape(rows, -1, samples)
    planes = np.cumsum(steps, axis=1, dtype=np.uint8).reshape(rows, size, columns * samples)
    values = np.ascontiguousarray(planes.transpose(0, 2, 1)).view(f">f{size}")
    return values.astype(f"f{size}").reshape(shape)


def _packbits(raw: bytes, expected: int) -> bytes:
    out, at = bytearray(), 0
    while at < len(raw) and len(out) < expected:
        head = raw[at]
        if head < 128:
            out += raw[at + 1 : at + 2 + head]
            at += head + 2
        else:
            if head > 128:
                out += raw[at + 1 : at + 2] * (257 - head)
            at += 2 if head > 128 else 1
    return bytes(out)


def _lzw(raw: bytes, expected: int) -> bytes:
    """LZW as TIFF 6.0 has it: codes of 9 to 12 bits, highest bit first, widened one code early."""
    if raw[:1] == b"\0":
        raise OSError("a strip or tile is packed with the LZW of before TIFF 6.0")
    singles = [bytes([value]) for value in range(256)] + [b"", b""]
    table, out = list(singles), bytearray()
    width, buffer, held, previous = 9, 0, 0, b""
    for byte in raw:
        buffer, held = (buffer << 8 | byte) & 0xFFFFFF, held + 8
        if held < width:
            continue
        held -= width
        code = buffer >> held & ((1 << width) - 1)
        if code == _CLEAR:
            table, width, previous = list(singles), 9, b""
            continue
        if code == _END or len(out) >= expected:
            break
        if not previous:
            if code > 255:
                raise OSError("an LZW stream is damaged")
            entry = singles[code]
        elif code < len(table):
            entry = table[code]
            table.append(previous + entry[:1])
        elif code == len(table):
            entry = previous + previous[:1]
            table.append(entry)
        else:
            raise OSError("an LZW stream is damaged")
        out += entry
        previous = entry
        if len(table) >= (1 << width) - 1 and width < 12:
            width += 1
    return bytes(out)
