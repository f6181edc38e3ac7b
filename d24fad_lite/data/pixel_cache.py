"""Decoded images kept in memory, so that every file is decoded once per size; bounded and shared by a benchmark."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np

from d24fad_lite.data.images import decode_image

T = TypeVar("T")
DEFAULT_CACHE_BYTES = 2 * 2**30


class PixelCache:
    """A store of decoded squares, (path, size) -> uint8 or uint16 [S, S, 3].

    At 128 px an 8-bit image takes 48 KiB, so the default of 2 GiB holds about 43,000. When the store is full, further
    images are decoded again each time they are asked for: none is thrown out for another, so a loop over a set that
    is larger than the store still gains from the part that fits.

    Parameters
    ----------
    limit : int, default 2 GiB
        Bytes of pixels kept at most; 0 keeps none.
    workers : int, optional
        Threads that decode (Pillow releases the interpreter lock). Default: the CPU count, at most 8.

    Attributes
    ----------
    bytes : int
        Bytes of pixels kept now.
    decodes : int
        Files decoded so far.
    """

    def __init__(self, limit: int = DEFAULT_CACHE_BYTES, workers: int | None = None) -> None:
        if limit < 0:
            raise ValueError(f"cache_bytes must be 0 or more, got {limit}")
        if workers is not None and workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        self.limit = limit
        self.workers = workers or min(8, os.cpu_count() or 1)
        self.bytes = 0
        self.decodes = 0
        self._squares: dict[tuple[Path, int], np.ndarray] = {}
        self._lock = Lock()

    def get(self, paths: Sequence[Path], size: int) -> list[np.ndarray]:
        """Decoded squares of `paths` in their order. Raises ImageError for a file that cannot be used."""
        squares = {path: self._squares[path, size] for path in paths if (path, size) in self._squares}
        missing = [path for path in dict.fromkeys(paths) if path not in squares]
        decoded = in_threads(lambda path: decode_image(path, size), missing, self.workers)
        for path, pixels in zip(missing, decoded, strict=True):
            squares[path] = pixels
            self._keep(path, size, pixels)
        return [squares[path] for path in paths]

    def clear(self) -> None:
        """Forget every image."""
        with self._lock:
            self._squares.clear()
            self.bytes = 0

    def _keep(self, path: Path, size: int, pixels: np.ndarray) -> None:
        """Store a square where there is room."""
        with self._lock:
            self.decodes += 1
            if (path, size) not in self._squares and self.bytes + pixels.nbytes <= self.limit:
                self._squares[path, size] = pixels
                self.bytes += pixels.nbytes

    def __getstate__(self) -> dict[str, Any]:
        # A copy in another process starts empty: sending the pixels would cost more than decoding them.
        return {"limit": self.limit, "workers": self.workers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        PixelCache.__init__(self, **state)


def in_threads(function: Callable[[Path], T], paths: Sequence[Path], workers: int) -> list[T]:
    """`[function(p) for p in paths]`, on `workers` threads for four paths or more; the first error is raised."""
    if workers == 1 or len(paths) < 4:
        return [function(path) for path in paths]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, paths))
