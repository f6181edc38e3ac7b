"""What the heatmaps of a folder's images are called: `stem.png`, unless two images of one folder would share it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from d24fad_lite.files import fitting_name


def heatmap_names(names: Iterable[str]) -> dict[str, PurePosixPath]:
    """Where the heatmap of each image goes, below the folder of heatmaps.

    scans/a.dcm gives scans/a.png; where a.dcm and a.jpg (or A.jpg: some disks do not tell them apart) lie side by side,
    a.dcm.png and a.jpg.png; and a.dcm.tif beside a.dcm keeps its whole name, too, as does a.jpg beside a folder a.png.
    A name too long for a file is shortened and gets a hash.
    """
    paths = {name: PurePosixPath(name) for name in names}
    taken = Counter(_key(path.with_name(path.stem)) for path in paths.values())
    taken.update(_key(path) for path in paths.values())
    # A heatmap a.png cannot lie where the heatmaps of a folder a.png do.
    folders = {_key(folder) for path in paths.values() for folder in path.parents}
    taken.update(folder.removesuffix(".png") for folder in folders if folder.endswith(".png"))
    return {name: _heatmap(path, alone=taken[_key(path.with_name(path.stem))] == 1) for name, path in paths.items()}


def whole_names(names: Iterable[str]) -> dict[str, PurePosixPath]:
    """The names of an earlier version, which kept each image's whole name: a.dcm.png."""
    return {name: _heatmap(PurePosixPath(name), alone=False) for name in names}


def rename_heatmaps(folder: Path, old: dict[str, PurePosixPath], new: dict[str, PurePosixPath]) -> None:
    """Move heatmaps whose names have changed, since images came or went, to their new places.

    First all of them aside, since the new name of one may be the old name of another.
    """
    moved = []
    for name, path in old.items():
        if name in new and new[name] != path and (folder / path).is_file():
            aside = folder / new[name].with_name(f"{new[name].name}.moving")
            (folder / path).replace(aside)
            moved.append((aside, folder / new[name]))
    for aside, target in moved:
        aside.replace(target)


def _heatmap(path: PurePosixPath, alone: bool) -> PurePosixPath:
    return path.parent / fitting_name(path.stem if alone else path.name, ".png")


def _key(path: PurePosixPath) -> str:
    return str(path).casefold()
