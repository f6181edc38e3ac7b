"""Small pictures of candidates as JPEG bytes, made once each and only when their page is looked at."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.data.images import decode_image
from d24fad_lite.data.pixel_cache import in_threads
from d24fad_lite.figures.overlay import encoded, pixels

THUMBNAIL, PREVIEW = 160, 360  # px; views scale with CSS, so one size of thumbnail serves all
MOST_PREVIEWS = 64


class Thumbnails:
    """JPEG bytes by position in a set. About 5 KB a thumbnail: 5,000 take some 25 MB when all have been looked at."""

    def __init__(self, images: ImageSet) -> None:
        self.images, self.made = images, 0
        self._small: dict[int, bytes] = {}
        self._large: OrderedDict[int, bytes] = OrderedDict()

    def get(self, indices: Sequence[int]) -> list[bytes]:
        """Thumbnails in the order of `indices`; those not made yet are decoded, several at a time.

        Raises ImageError naming the file that cannot be read.
        """
        new = [i for i in dict.fromkeys(indices) if i not in self._small]
        paths = [self.images.paths[i] for i in new]
        for i, content in zip(new, in_threads(_thumbnail, paths, self.images.decoded.workers), strict=True):
            self._small[i] = content
        self.made += len(new)
        return [self._small[i] for i in indices]

    def preview(self, index: int) -> bytes:
        """A larger picture of one image; the last few are kept."""
        if index not in self._large:
            self._large[index] = encoded(pixels(decode_image(self.images.paths[index], PREVIEW)), "JPEG", 90)
            while len(self._large) > MOST_PREVIEWS:
                self._large.popitem(last=False)
        self._large.move_to_end(index)
        return self._large[index]


def _thumbnail(path: Path) -> bytes:
    return encoded(pixels(decode_image(path, THUMBNAIL)), "JPEG")
