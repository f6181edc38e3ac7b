"""One split of a task: a sequence of image files whose pixels are decoded when asked for, and once per size."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from d24fad_lite.data.decoded import DecodedImages, in_threads
from d24fad_lite.data.images import ImageError, check_size, load_mask, stored_size, to_float
from d24fad_lite.data.recognise import refuse_special

if TYPE_CHECKING:
    from d24fad_lite.data.layouts import LeftOut


class ImageSet(Sequence[Path]):
    """Images with labels, and masks, groups and kinds where there are any.

    Parameters
    ----------
    name : shown in messages, for example "RSNA/test".
    root : folder of the task; `names` are relative to it.
    paths : image files in their final order.
    labels : 0 normal, 1 anomalous; default all 0.
    mask_paths, groups, kinds : one entry per image or None; default all None.
    decoded : store of decoded pixels, shared by the sets of a benchmark; default one of its own.

    Attributes
    ----------
    names : list of str, path relative to the root in posix form: stable identities of the images.
    labels : int64 [N].
    left_out : files of the folder that are not used, where `open_folder` made the set.
    """

    def __init__(
        self,
        name: str,
        root: Path,
        paths: Sequence[Path],
        labels: Sequence[int] | np.ndarray | None = None,
        mask_paths: Sequence[Path | None] | None = None,
        groups: Sequence[str | None] | None = None,
        kinds: Sequence[str | None] | None = None,
        decoded: DecodedImages | None = None,
    ) -> None:
        count = len(paths)
        self.name = name
        self.root = Path(root)
        self.paths = list(paths)
        self.names = [path.relative_to(self.root).as_posix() for path in self.paths]
        self.labels = np.zeros(count, np.int64) if labels is None else np.array(labels, np.int64)
        self.mask_paths = list(mask_paths) if mask_paths is not None else [None] * count
        self.groups = list(groups) if groups is not None else [None] * count
        self.kinds = list(kinds) if kinds is not None else [None] * count
        self.decoded = decoded or DecodedImages()
        self.left_out: list[LeftOut] = []
        self._hashes: dict[Path, str] = {}
        for what in ("labels", "mask_paths", "groups", "kinds"):
            if len(getattr(self, what)) != count:
                raise ValueError(f"image set '{name}' has {count} paths but {len(getattr(self, what))} {what}")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Any:
        """A path, or for a slice a list of paths."""
        return self.paths[index]

    def __repr__(self) -> str:
        bad = int(self.labels.sum())
        return f"ImageSet({self.name!r}, {len(self) - bad} normal, {bad} anomalous)"

    @property
    def has_masks(self) -> bool:
        """Whether any image has a mask file."""
        return any(path is not None for path in self.mask_paths)

    @property
    def mask_known(self) -> np.ndarray:
        """bool [N]: normal images (nothing is marked) and those with a mask file; pixel metrics use these."""
        has_mask = np.array([path is not None for path in self.mask_paths], bool)
        return has_mask | (self.labels == 0)

    def images(self, size: int, indices: Any = None) -> Tensor:
        """Pixels as float32 [n, 3, S, S] in 0..1, decoded once per size.

        Parameters
        ----------
        size : side S in pixels, at least 16.
        indices : positions (list, array, slice, mask or one int), default all. Pass a few at a time to stream: the
            float copy is made for these alone.

        Raises
        ------
        ImageError : names the file that cannot be used. IndexError : a position outside the set.
        """
        size = check_size(size)
        chosen = self._positions(indices)
        squares = self.decoded.get([self.paths[i] for i in chosen], size)
        images = torch.empty(len(squares), 3, size, size)  # [n, 3, S, S]
        for row, square in zip(images, squares, strict=True):
            row.copy_(to_float(torch.from_numpy(square)).permute(2, 0, 1))
        return images

    def masks(self, size: int, indices: Any = None) -> Tensor | None:
        """bool [n, S, S], True where anomalous; None when the set has no mask file at all.

        Normal images, and anomalous ones without a mask file (see `mask_known`), are all False. How masks shrink is
        told in `load_mask`. Raises ImageError where a mask and its image differ in stored size.
        """
        size = check_size(size)
        if not self.has_masks:
            return None
        chosen = self._positions(indices)
        masks = torch.zeros(len(chosen), size, size, dtype=torch.bool)  # [n, S, S]
        for row, i in zip(masks, chosen, strict=True):
            mask = self.mask_paths[i]
            if mask is not None:
                require_same_size(self.paths[i], mask)
                row.copy_(load_mask(mask, size))
        return masks

    def hashes(self, indices: Any = None) -> list[str]:
        """SHA-256 (hex) of the content of the files, computed once."""
        chosen = [self.paths[i] for i in self._positions(indices)]
        missing = [path for path in dict.fromkeys(chosen) if path not in self._hashes]
        self._hashes.update(zip(missing, in_threads(_sha256, missing, self.decoded.workers), strict=True))
        return [self._hashes[path] for path in chosen]

    def subset(self, indices: Any, name: str | None = None) -> ImageSet:
        """A set of some of the images, in the order given, which shares the decoded pixels."""
        chosen = self._positions(indices)
        lists = [[values[i] for i in chosen] for values in (self.mask_paths, self.groups, self.kinds)]
        paths = [self.paths[i] for i in chosen]
        return ImageSet(name or self.name, self.root, paths, self.labels[chosen], *lists, decoded=self.decoded)

    def _positions(self, indices: Any) -> np.ndarray:
        every = np.arange(len(self))
        if indices is None:
            return every
        if isinstance(indices, Tensor):
            indices = indices.cpu().numpy()
        if not isinstance(indices, slice):
            indices = np.atleast_1d(np.asarray(indices))
            indices = indices.astype(np.int64) if indices.size == 0 else indices
        try:
            return every[indices]
        except IndexError as error:
            raise IndexError(f"image set '{self.name}' has {len(self)} images: {error}") from error


def require_same_size(image: Path, mask: Path) -> None:
    """ImageError unless image and mask have the same stored width and height (headers only)."""
    found, expected = stored_size(mask), stored_size(image)
    if found != expected:
        raise ImageError(
            f"mask '{mask}' is {found[0]}x{found[1]} pixels, its image '{image.name}' is {expected[0]}x{expected[1]}; "
            "make the mask the size of its image"
        )


def _sha256(path: Path) -> str:
    refuse_special(path)
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ImageError(f"image '{path}' cannot be read ({error}); open the data folder again") from error
