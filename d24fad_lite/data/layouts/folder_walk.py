"""Lists files and folders in an order that is the same on every system, and reports which of them are not used.

Some files are skipped without a report, because nobody takes them for data: what systems and tools leave behind
(.DS_Store, Thumbs.db, desktop.ini, macOS's ._name beside name, .git, .ipynb_checkpoints, __MACOSX), read-mes, licences
and manifests, and hidden folders beside the tasks (environments and caches of tools).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from d24fad_lite.data.formats.recognise import is_image_file
from d24fad_lite.data.layouts.left_out import LeftOut
from d24fad_lite.data.names import natural_key

# Formats of images that the kit does not read; where every image is to be scored, each such file counts as a failure.
PICTURE_SUFFIXES = frozenset({
    ".webp", ".gif", ".heic", ".heif", ".avif", ".jp2", ".j2k", ".jxl", ".jfif", ".jpe", ".psd", ".svg", ".nii", ".gz",
    ".mha", ".mhd", ".nrrd", ".svs", ".ndpi", ".pgm", ".ppm", ".exr", ".dng",
})  # fmt: skip
NOT_READ = "no PNG, JPEG, BMP, TIFF or DICOM"
_JUNK = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
_JUNK_FOLDERS = frozenset({".git", ".ipynb_checkpoints", "__macosx", ".svn", "__pycache__"})
_DOCUMENTS = ("readme", "license", "licence", "attribution", "notice", "citation", "changelog", "manifest")
_RECORDS = frozenset({"left_out.csv"})  # what `d24fad convert` leaves beside its MANIFEST.json
_TEXTS = frozenset({"", ".txt", ".md", ".rst", ".pdf", ".html", ".json", ".cff"})


def is_document(name: str) -> bool:
    """Whether a file is a document for people, not data: README.md, LICENSE, MANIFEST.json."""
    lower = name.lower()
    return lower in _RECORDS or lower.endswith(".md") or (lower.startswith(_DOCUMENTS) and Path(lower).suffix in _TEXTS)


def is_junk(path: Path) -> bool:
    """Whether a file or folder was left behind by an operating system or a tool."""
    name = path.name
    if name.lower() in _JUNK or name.lower() in _JUNK_FOLDERS:
        return True
    return name.startswith("._") and path.with_name(name[2:]).exists()


def list_folders(folder: Path) -> list[Path]:
    """Visible subfolders in natural order."""
    return sorted(
        (p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".") and not is_junk(p)), key=natural_key
    )


def subfolders(folder: Path, names: frozenset[str] | tuple[str, ...]) -> list[Path]:
    """Visible subfolders whose lower-case name is one of `names`, in natural order: `Good` and `normal` are both."""
    return [child for child in list_folders(folder) if child.name.lower() in names]


def list_images(
    folder: Path, left_out: list[LeftOut] | None = None, skip: Callable[[Path], bool] | None = None
) -> list[Path]:
    """Image files in a folder and below, in natural order of their path; a folder reached by two links is read once.

    Files that are no images, hidden files, and folders that are empty or cannot be opened join `left_out`. Files and
    folders for which `skip` is true are skipped without an entry; the caller reports them.
    """
    return _list_files(folder, left_out, skip, is_image_file)


def list_scans(folder: Path, left_out: list[LeftOut], skip: Callable[[Path], bool] | None = None) -> list[Path]:
    """As `list_images`, plus pictures in formats that are not read: reading one reports it as a failure."""
    return _list_files(
        folder, left_out, skip, lambda path: is_image_file(path) or path.suffix.lower() in PICTURE_SUFFIXES
    )


def _list_files(
    folder: Path, left_out: list[LeftOut] | None, skip: Callable[[Path], bool] | None, wanted: Callable[[Path], bool]
) -> list[Path]:
    """Wanted files in a folder and below, in natural order; the others join `left_out`."""
    images: list[Path] = []
    reasons: dict[str, list[Path]] = defaultdict(list)
    for path in walk(folder, reasons, skip):
        if wanted(path):
            images.append(path)
        elif not is_document(path.name):
            reasons[NOT_READ].append(path)
    if left_out is not None:
        left_out += [grouped(folder, paths, why) for why, paths in reasons.items() if paths]
    return sorted(images, key=lambda path: natural_key(path.relative_to(folder)))


def walk(folder: Path, reasons: dict[str, list[Path]], skip: Callable[[Path], bool] | None = None) -> Iterator[Path]:
    """Visible files in a folder and below. Other files join `reasons`: why they are not used -> their paths."""
    visited: set[str] = set()

    def cannot_open(error: OSError) -> None:
        """Record a folder that `os.walk` could not list."""
        reasons[f"cannot be opened: {error.strerror or error}"].append(Path(error.filename or folder))

    for name_of_folder, folders, files in os.walk(folder, followlinks=True, onerror=cannot_open):
        current = Path(name_of_folder)
        real = os.path.realpath(current)
        if real in visited:
            reasons["a link to a folder that is read already"].append(current)
            folders.clear()
            continue
        visited.add(real)
        if not folders and not files and current != folder:
            reasons["an empty folder"].append(current)
        folders[:] = sorted(name for name in folders if not _is_skipped(current / name, reasons, skip, is_folder=True))
        for name in files:
            if not _is_skipped(current / name, reasons, skip, is_folder=False):
                yield current / name


def count_files(folder: Path) -> tuple[int, str]:
    """How many files lie in a folder and below, without junk and documents, and the name of the first."""
    reasons: dict[str, list[Path]] = defaultdict(list)
    paths = [path for path in walk(folder, reasons) if not is_document(path.name)]
    paths.sort(key=natural_key)
    paths += [path for others in reasons.values() for path in others if not path.is_dir()]
    return len(paths), paths[0].name if paths else ""


def unused(path: Path, why: str) -> LeftOut:
    """The entry for a file or a whole folder that is not used."""
    if not path.is_dir():
        return LeftOut(path, 1, why, path.name)
    count, first = count_files(path)
    return LeftOut(path, count, why, first)


def grouped(folder: Path, paths: list[Path], why: str) -> LeftOut:
    """The entry for several files in or below one folder that are not used for one reason."""
    paths = sorted(paths, key=natural_key)
    count = sum(not path.is_dir() for path in paths)
    if len(paths) == 1:
        return LeftOut(paths[0], count, why, paths[0].name)
    return LeftOut(folder, count, why, paths[0].name)


def _is_skipped(
    path: Path, reasons: dict[str, list[Path]], skip: Callable[[Path], bool] | None, is_folder: bool
) -> bool:
    """Whether a file or folder is skipped; hidden ones join `reasons`."""
    if is_junk(path) or (skip is not None and skip(path)):
        return True
    if not path.name.startswith("."):
        return False
    if is_folder:
        reasons["hidden"] += [
            inner for inner in path.rglob("*") if inner.is_file() and not is_junk(inner) and not is_document(inner.name)
        ]
    else:
        reasons["hidden"].append(path)
    return True
