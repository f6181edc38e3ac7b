"""Teacher features, computed once: the teacher is frozen, so each image needs one pass in a whole training run."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.files import PARTIAL, cache_root, replacing_folder, sha256_of
from d24fad_lite.messages import choose_one_of
from d24fad_lite.model.features import TeacherFeatures
from d24fad_lite.model.teacher import Teacher

MEMORY_LIMIT = 4 * 2**30  # bytes; "auto" goes to disk beyond
DISK_LIMIT = 64 * 2**30  # bytes of one folder; the published data at 128 px takes about 13 GiB for the largest teacher
ABANDONED = 24 * 3600  # seconds after which half-made files can belong to no running process
ENCODE_BATCH = 32
STORAGES = ("auto", "memory", "disk", "off")


class TeacherCache:
    """Teacher features of several image sets laid one after the other.

    Parameters
    ----------
    teacher : Teacher
    sets : sequence of ImageSet
        Positions count through them in order, as in `EpisodeBatch`.
    storage : {"auto", "memory", "disk", "off"}, default "auto"
        Keep float32 features in memory; keep float16 features in memory-mapped files; or compute them anew at each
        call. `"auto"`: memory up to 4 GiB, then disk.
    folder : path, optional
        For `"disk"`; default `$D24FAD_CACHE/features` or `~/.cache/d24fad_lite/features`. Files are keyed by the
        teacher's fingerprint, the images' content, and by what decides the last bits: the kind of device and
        PyTorch's version. They appear only when complete, so that an interrupted run leaves nothing half-made and
        other runs and notebooks share them. A folder keeps 64 GiB: beyond, the features that were opened longest ago
        make room.
    progress : bool, default False
        Show a progress bar while features are computed.

    Raises
    ------
    ValueError
        An unknown `storage`.
    """

    def __init__(
        self,
        teacher: Teacher,
        sets: Sequence[ImageSet],
        storage: str = "auto",
        folder: str | Path | None = None,
        progress: bool = False,
    ) -> None:
        if storage not in STORAGES:
            raise ValueError(choose_one_of("cache", storage, STORAGES))
        self.teacher, self.sets, self.progress = teacher, list(sets), progress
        self.starts = np.cumsum([0] + [len(s) for s in self.sets])
        pyramid = teacher.pyramid
        self._shapes = [(c, *g) for c, g in zip(pyramid.channels, pyramid.grids, strict=True)]
        self._shapes.append((pyramid.embedding_channels, *pyramid.embedding_grid))
        if storage == "auto":
            storage = "memory" if self.nbytes <= MEMORY_LIMIT else "disk"
        self.storage = storage
        self._maps: list[Any] = []
        if storage == "memory":
            self._maps = [torch.empty(len(self), *shape) for shape in self._shapes]
            self._fill(self._maps)
        elif storage == "disk":
            self._maps = self._open_on_disk(Path(folder) if folder else default_folder())

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def nbytes(self) -> int:
        """Bytes of all features in float32."""
        return 4 * len(self) * sum(int(np.prod(shape)) for shape in self._shapes)

    def features(self, positions: np.ndarray, embedding_only: bool = False) -> TeacherFeatures:
        """Features of images by position, int64 [N], in float32 on the CPU (or fresh on the teacher's device).

        With `embedding_only` the levels stay empty: supports need nothing else.
        """
        if self.storage == "off":
            fresh = self._encode(positions)
            return TeacherFeatures([], fresh.embedding) if embedding_only else fresh
        maps = self._maps[-1:] if embedding_only else self._maps
        *levels, embedding = (_read(stored, positions) for stored in maps)
        return TeacherFeatures(levels, embedding)

    def images(self, positions: np.ndarray) -> Tensor:
        """Images by position -> float32 [N, 3, S, S] in 0..1."""
        positions = np.asarray(positions)
        size = self.teacher.image_size
        out = torch.empty(len(positions), 3, size, size)
        owner = np.searchsorted(self.starts, positions, side="right") - 1
        for index in np.unique(owner):
            wanted = np.flatnonzero(owner == index)
            out[wanted] = self.sets[index].images(size, positions[wanted] - self.starts[index])
        return out

    def _encode(self, positions: np.ndarray) -> TeacherFeatures:
        return self.teacher(self.images(positions).to(self.teacher.get_buffer("mean").device))

    def _fill(self, maps: Sequence[Any]) -> None:
        blocks = range(0, len(self), ENCODE_BATCH)
        for start in tqdm(blocks, desc="teacher features", disable=not self.progress, leave=False):
            positions = np.arange(start, min(start + ENCODE_BATCH, len(self)))
            features = self._encode(positions)
            for target, value in zip(maps, [*features.levels, features.embedding], strict=True):
                value = value.float().cpu()
                target[start : start + len(positions)] = value if isinstance(target, Tensor) else value.numpy()

    def _open_on_disk(self, folder: Path) -> list[np.ndarray]:
        home = folder / self._key()
        maps = self._opened(home)
        if maps is None:
            shutil.rmtree(home, ignore_errors=True)  # damaged, if it is there
            try:
                folder.mkdir(parents=True, exist_ok=True)
                make_room(folder, self.nbytes // 2)  # float16
                with replacing_folder(home) as partial:
                    self._write(partial)
            except OSError as error:
                raise OSError(
                    f"cannot keep {self.nbytes // 2 / 2**20:.0f} MiB of teacher features in '{folder}': "
                    f"{error.strerror or error}; make room, set D24FAD_CACHE to another folder, or pass cache='off'"
                ) from error
            maps = self._opened(home)
        if maps is None:
            raise OSError(f"teacher features in '{home}' cannot be read back; check the disk, or pass cache='off'")
        home.touch()  # opened last
        return maps

    def _key(self) -> str:
        """32 digits that stand for everything that decides the features, bit by bit."""
        hashes = (digest for image_set in self.sets for digest in image_set.hashes())
        computed_by = f"{self.teacher.device.type} {torch.__version__}"
        return sha256_of(self.teacher.fingerprint(), computed_by, *hashes)[:32]

    def _opened(self, home: Path) -> list[np.ndarray] | None:
        """The maps of a folder of features; None where one is absent, is no array, or is of another shape or type."""
        try:
            maps = [np.load(home / f"{i}.npy", mmap_mode="r", allow_pickle=False) for i in range(len(self._shapes))]
        except (OSError, ValueError, EOFError):
            return None
        fit = all(m.shape == (len(self), *s) and m.dtype == np.float16 for m, s in zip(maps, self._shapes, strict=True))
        return maps if fit else None

    def _write(self, folder: Path) -> None:
        maps = [
            np.lib.format.open_memmap(folder / f"{i}.npy", "w+", np.float16, (len(self), *shape))
            for i, shape in enumerate(self._shapes)
        ]
        for i in range(len(maps)):
            _reserve(folder / f"{i}.npy")
        self._fill(maps)
        for array in maps:
            array.flush()


def default_folder() -> Path:
    """Where features are kept on disk."""
    return cache_root() / "features"


def make_room(folder: Path, needed: int, limit: int = DISK_LIMIT) -> list[Path]:
    """Remove the subfolders opened longest ago until `needed` more bytes fit under `limit`; returns what was removed.

    Processes that still read a removed subfolder keep their view of it. What an interrupted run left half-made is
    removed after a day.
    """
    partial = [p for p in folder.glob(f"{PARTIAL}*") if time.time() - p.stat().st_mtime > ABANDONED]
    complete = sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=lambda p: p.stat().st_mtime)
    used = sum(_bytes(p) for p in complete)
    removed = []
    for home in complete:
        if used + needed <= limit:
            break
        used -= _bytes(home)
        removed.append(home)
    for path in partial + removed:
        shutil.rmtree(path, ignore_errors=True)
    return removed


def _reserve(file: Path) -> None:
    """Have the disk keep room for a mapped file: writing into a map of a full disk would end the process (SIGBUS)."""
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _read(stored: Tensor | np.ndarray, positions: np.ndarray) -> Tensor:
    if isinstance(stored, Tensor):
        return stored[torch.as_tensor(positions)]
    return torch.from_numpy(np.asarray(stored[np.asarray(positions)], dtype=np.float32))
