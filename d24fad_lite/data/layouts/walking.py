"""Which files and folders there are, in an order that is the same on every system; nothing is passed over in silence.

Not named, because nobody takes them for data: what systems and tools leave behind (.DS_Store, Thumbs.db, desktop.ini,
macOS's ._name beside name, .git, .ipynb_checkpoints, __MACOSX), read-mes, licences and manifests, and hidden folders
beside the tasks (environments and caches of tools).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from d24fad_lite.data.layouts.found import LeftOut, natural_key
from d24fad_lite.data.recognise import is_image_file

# What people take for images and the kit does not read: a failure where every image is to be scored.
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
    """Whether a file beside the data is there to be read by people: README.md, LICENSE, MANIFEST.json."""
    lower = name.lower()
    return lower in _RECORDS or lower.endswith(".md") or lower.startswith(_DOCUMENTS) and Path(lower).suffix in _TEXTS


def is_junk(path: Path) -> bool:
    """Whether a file or folder is what a system or tool leaves behind."""
    name = path.name
    if name.lower() in _JUNK or name.lower() in _JUNK_FOLDERS:
        return True
    return name.startswith("._") and path.with_name(name[2:]).exists()


def list_folders(folder: Path) -> list[Path]:
    """Visible subfolders in natural order."""
    return sorted((p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".") and not is_junk(p)),
                  key=natural_key)


def subfolders(folder: Path, names: frozenset[str] | tuple[str, ...]) -> list[Path]:
    """Visible subfolders whose lower-case name is one of `names`, in natural order: `Good` and `normal` are both."""
    return [child for child in list_folders(folder) if child.name.lower() in names]


def list_images(folder: Path, left_out: list[LeftOut] | None = None, skip: Callable[[Path], bool] | None = None
                ) -> list[Path]:
    """Image files in a folder and below, in natural order of their path; loops of links are walked once.

    What is not used joins `left_out`: other files, hidden ones, folders that cannot be opened or hold nothing. Files
    and folders for which `skip` is true are passed over; the caller answers for them.
    """
    return _list(folder, left_out, skip, is_image_file)


def list_scans(folder: Path, left_out: list[LeftOut], skip: Callable[[Path], bool] | None = None) -> list[Path]:
    """As `list_images`, with the pictures of formats that are not read: whoever reads them names each as a failure."""
    return _list(folder, left_out, skip, lambda path: is_image_file(path) or path.suffix.lower() in PICTURE_SUFFIXES)


def _list(folder: Path, left_out: list[LeftOut] | None, skip: Callable[[Path], bool] | None,
          wanted: Callable[[Path], bool]) -> list[Path]:
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
    """Visible files in a folder and below; why others are passed over, with their paths, joins `reasons`."""
    seen: set[str] = set()

    def closed(error: OSError) -> None:
        reasons[f"cannot be opened: {error.strerror or error}"].append(Path(error.filename or folder))

    for here, folders, files in os.walk(folder, followlinks=True, onerror=closed):
        place = Path(here)
        real = os.path.realpath(here)
        if real in seen:
            reasons["a link to a folder that is read already"].append(place)
            folders.clear()
            continue
        seen.add(real)
        if not folders and not files and place != folder:
            reasons["an empty folder"].append(place)
        folders[:] = sorted(name for name in folders if not _passed_over(place / name, reasons, skip, is_folder=True))
        for name in files:
            if not _passed_over(place / name, reasons, skip, is_folder=False):
                yield place / name


def count_files(folder: Path) -> tuple[int, str]:
    """How many files lie in a folder and below (junk and documents apart), and the first one's name."""
    reasons: dict[str, list[Path]] = defaultdict(list)
    paths = [path for path in walk(folder, reasons) if not is_document(path.name)]
    paths.sort(key=natural_key)
    paths += [path for others in reasons.values() for path in others if not path.is_dir()]
    return len(paths), paths[0].name if paths else ""


def unused(path: Path, why: str) -> LeftOut:
    """A file or a whole folder that is not used."""
    if not path.is_dir():
        return LeftOut(path, 1, why, path.name)
    count, first = count_files(path)
    return LeftOut(path, count, why, first)


def grouped(folder: Path, paths: list[Path], why: str) -> LeftOut:
    """Several files in or below one folder that are not used for one reason."""
    paths = sorted(paths, key=natural_key)
    count = sum(1 if not path.is_dir() else 0 for path in paths)
    if len(paths) == 1:
        return LeftOut(paths[0], count, why, paths[0].name)
    return LeftOut(folder, count, why, paths[0].name)


def _passed_over(path: Path, reasons: dict[str, list[Path]], skip: Callable[[Path], bool] | None,
                 is_folder: bool) -> bool:
    if is_junk(path) or (skip is not None and skip(path)):
        return True
    if not path.name.startswith("."):
        return False
    if is_folder:
        reasons["hidden"] += [inner for inner in path.rglob("*")
                              if inner.is_file() and not is_junk(inner) and not is_document(inner.name)]
    else:
        reasons["hidden"].append(path)
    return True
