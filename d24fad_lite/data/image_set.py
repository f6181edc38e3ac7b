"""One split of a task: a sequence of image files whose pixels are decoded when asked for, and once per size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from d24fad_lite.data.formats.recognise import refuse_special
from d24fad_lite.data.images import ImageError, check_size, load_mask, stored_size, to_float
from d24fad_lite.data.layouts.left_out import LeftOut
from d24fad_lite.data.pixel_cache import PixelCache, in_threads
from d24fad_lite.files import file_sha256


class ImageSet(Sequence[Path]):
    """Images with labels and, where known, masks, groups and kinds of anomaly.

    Parameters
    ----------
    name : str
        Shown in messages, for example "RSNA/test".
    root : Path
        Folder of the task; `names` are relative to it.
    paths : sequence of Path, length N
        Image files in their final order.
    labels : sequence of int, length N, optional
        0 normal, 1 anomalous. Default: all 0.
    mask_paths : sequence of Path or None, length N, optional
        File that marks the anomalous pixels of each image. Default: all None.
    groups, kinds : sequence of str or None, length N, optional
        Group (patient) and kind of anomaly of each image. Default: all None.
    decoded : PixelCache, optional
        Keeps decoded pixels, shared by the sets of a benchmark. Default: one of its own.

    Attributes
    ----------
    names : list of str
        Path of each image relative to the root, in posix form: its stable identity.
    labels : numpy.ndarray, int64 [N]
    left_out : list of LeftOut
        Files of the folder that are not used, where `open_folder` made the set; else empty.

    Raises
    ------
    ValueError
        Labels, masks, groups or kinds of another length than `paths`.
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
        decoded: PixelCache | None = None,
    ) -> None:
        count = len(paths)
        self.name = name
        self.root = Path(root)
        self.paths = list(paths)
        self.names = [path.relative_to(self.root).as_posix() for path in self.paths]
        self.labels = np.zeros(count, np.int64) if labels is None else np.array(labels, np.int64)
        self.mask_paths: list[Path | None] = list(mask_paths) if mask_paths is not None else [None] * count
        self.groups: list[str | None] = list(groups) if groups is not None else [None] * count
        self.kinds: list[str | None] = list(kinds) if kinds is not None else [None] * count
        self.decoded = decoded or PixelCache()
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
        size : int
            Side S in pixels, at least 16.
        indices : int, list, array, Tensor or slice, optional
            Positions, or one boolean per image. Default: all. To save memory, pass a few at a time: only these are
            copied to float.

        Returns
        -------
        Tensor
            float32 [n, 3, S, S] in 0..1.

        Raises
        ------
        ImageError
            A file that cannot be used; the message names it.
        IndexError
            A position outside the set.
        ValueError
            A size that is no whole number of at least 16.
        """
        size = check_size(size)
        chosen = self._positions(indices)
        squares = self.decoded.get([self.paths[i] for i in chosen], size)
        images = torch.empty(len(squares), 3, size, size)  # [n, 3, S, S]
        for image, square in zip(images, squares, strict=True):
            image.copy_(to_float(torch.from_numpy(square)).permute(2, 0, 1))
        return images

    def masks(self, size: int, indices: Any = None) -> Tensor | None:
        """bool [n, S, S], True where anomalous; None when the set has no mask file at all.

        Normal images, and anomalous ones without a mask file (see `mask_known`), are all False. Masks shrink by the
        rule of `load_mask`.

        Parameters
        ----------
        size : int
            Side S in pixels, at least 16.
        indices : int, list, array, Tensor or slice, optional
            Positions as in `images`. Default: all.

        Returns
        -------
        Tensor or None
            bool [n, S, S].

        Raises
        ------
        ImageError
            A mask and its image differ in stored size, or one of them cannot be read.
        IndexError
            A position outside the set.
        ValueError
            A size that is no whole number of at least 16.
        """
        size = check_size(size)
        if not self.has_masks:
            return None
        chosen = self._positions(indices)
        masks = torch.zeros(len(chosen), size, size, dtype=torch.bool)  # [n, S, S]
        for mask, i in zip(masks, chosen, strict=True):
            path = self.mask_paths[i]
            if path is not None:
                require_same_size(self.paths[i], path)
                mask.copy_(load_mask(path, size))
        return masks

    def hashes(self, indices: Any = None) -> list[str]:
        """SHA-256 (hex) of the content of each file, computed once; `indices` as in `images`."""
        chosen = [self.paths[i] for i in self._positions(indices)]
        missing = [path for path in dict.fromkeys(chosen) if path not in self._hashes]
        self._hashes.update(zip(missing, in_threads(_content_sha256, missing, self.decoded.workers), strict=True))
        return [self._hashes[path] for path in chosen]

    def subset(self, indices: Any, name: str | None = None) -> ImageSet:
        """A set of some of the images, in the order of `indices`, which shares the decoded pixels.

        Parameters
        ----------
        indices : int, list, array, Tensor or slice
            Positions as in `images`.
        name : str, optional
            Shown in messages. Default: that of this set.

        Returns
        -------
        ImageSet

        Raises
        ------
        IndexError
            A position outside the set.
        """
        chosen = self._positions(indices)
        return ImageSet(
            name or self.name,
            self.root,
            [self.paths[i] for i in chosen],
            labels=self.labels[chosen],
            mask_paths=[self.mask_paths[i] for i in chosen],
            groups=[self.groups[i] for i in chosen],
            kinds=[self.kinds[i] for i in chosen],
            decoded=self.decoded,
        )

    def _positions(self, indices: Any) -> np.ndarray:
        """Chosen positions, int64 [n]; IndexError for one outside the set."""
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
    actual, expected = stored_size(mask), stored_size(image)
    if actual != expected:
        raise ImageError(
            f"mask '{mask}' is {actual[0]}x{actual[1]} pixels, "
            f"its image '{image.name}' is {expected[0]}x{expected[1]}; make the mask the size of its image"
        )


def _content_sha256(path: Path) -> str:
    """The SHA-256 of a file's content; ImageError where it cannot be read."""
    refuse_special(path)
    try:
        return file_sha256(path)
    except OSError as error:
        raise ImageError(f"image '{path}' cannot be read ({error}); open the data folder again") from error
