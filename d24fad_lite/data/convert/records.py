"""What a source says of its images, before any is opened; and reading its folders and tables."""

from __future__ import annotations

import csv
import difflib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from d24fad_lite.data.images import IMAGE_SUFFIXES
from d24fad_lite.data.names import composed, natural_key

MakePicture = Callable[[Path], None]  # writes a PNG file
MakeMask = Callable[[int, int], np.ndarray]  # (width, height) -> bool [H, W]


class SourceError(ValueError):
    """A source folder or table that is not as its publisher describes it; the message says what was expected."""


@dataclass
class SourceImage:
    """One image of a source, and what is to become of it.

    Attributes
    ----------
    name : how the source calls it, a path below the source folder in posix form.
    source_class : its class (and published split) in the source's own words: a row of the final table.
    picture : the file, or a function that writes the picture as PNG; None where `why` says that there is none.
    label : 0 normal, 1 anomalous, None where the source does not say.
    kind : kind of the anomaly, a folder below test/bad where a task has several.
    patient : the group that must not be divided; None where it is not known.
    split : train, valid or test where the published split is kept.
    mask : file or function for the mask of an anomalous image.
    why : a few words if the image is left out (images are counted by them); `detail` tells more.
    problem : it is left out because something is wrong with it, not by design.
    """

    name: str
    source_class: str
    picture: Path | MakePicture | None = None
    label: int | None = None
    kind: str | None = None
    patient: str | None = None
    split: str | None = None
    mask: Path | MakeMask | None = None
    why: str = ""
    detail: str = ""
    problem: bool = False

    def leave_out(self, why: str, detail: str = "", problem: bool = False) -> None:
        """Say that this image is not used. The first reason stands."""
        if not self.why:
            self.why, self.detail, self.problem = why, detail, problem


@dataclass
class Plan:
    """A source as it lies on disk.

    Attributes
    ----------
    source, title, licence : the converter's name, the data set's, and what its publishers ask.
    root : the source folder. images : all that it has, also those that will not be used.
    published : source class -> number of images the publishers name. published_note : where these numbers are from.
    patients : a sentence on how patients are known. options : settings of the converter, for the manifest.
    notes : sentences on what a reader should know, such as files that were not looked at.
    remark : what is worth a note about one file ("" for nothing); equal remarks are counted and become one note.
    """

    source: str
    title: str
    licence: str
    root: Path
    patients: str
    published_note: str
    images: list[SourceImage] = field(default_factory=list)
    published: dict[str, int] = field(default_factory=dict)
    options: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    remark: Callable[[Path], str] | None = None


def require_folder(root: Path, expected: str) -> Path:
    """The source folder; SourceError says what it should hold."""
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise SourceError(f"source folder '{root}' {what}; expected a folder with {expected}")
    return root


def subfolder(folder: Path, *names: str) -> Path | None:
    """The first subfolder with one of the names, in any case."""
    wanted = [name.casefold() for name in names]
    found = {child.name.casefold(): child for child in sorted(folder.iterdir()) if child.is_dir()}
    return next((found[name] for name in wanted if name in found), None)


def images_in(folder: Path, notes: list[str]) -> list[Path]:
    """Image files directly in a folder, in natural order. Other files are counted and named in `notes`."""
    files = sorted((entry.name for entry in os.scandir(folder) if not entry.is_dir()), key=natural_key)
    images = [name for name in files if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".")]
    others = sorted(set(files) - set(images), key=natural_key)
    if others:
        notes.append(f"{len(others)} file(s) in '{folder.name}' are no images and were not used, first: {others[0]}")
    return [folder / name for name in images]


def note_unused(folder: Path, used: Iterable[Path | str], notes: list[str]) -> None:
    """Name the visible entries of a folder that a converter does not look at."""
    known = {Path(entry).name.casefold() for entry in used}
    unused = [child.name for child in sorted(folder.iterdir()) if child.name.casefold() not in known]
    unused = [name for name in unused if not name.startswith(".")]
    if unused:
        notes.append(f"not looked at in '{folder.name}': {', '.join(unused)}")


def plain_stem(path: Path) -> str:
    """The name without its suffix, which for NIfTI may be `.nii.gz`."""
    return path.name[: -len(".nii.gz")] if path.name.lower().endswith(".nii.gz") else path.stem


class FileIndex:
    """The files below a folder by name, found in any case and Unicode form, with or without their suffix."""

    def __init__(self, folder: Path, suffixes: Iterable[str] = IMAGE_SUFFIXES) -> None:
        self.folder = folder
        self.paths: list[Path] = []
        self._by_name: dict[str, list[Path]] = {}
        kinds = tuple(suffixes)
        for place, folders, files in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files, key=natural_key):
                if name.lower().endswith(kinds) and not name.startswith("."):
                    self._add(Path(place) / name)

    def _add(self, path: Path) -> None:
        self.paths.append(path)
        inner = path.relative_to(self.folder)
        for key in {_plain(inner.as_posix()), _plain(inner.with_name(plain_stem(inner)).as_posix())}:
            self._by_name.setdefault(key, []).append(path)

    def find(self, name: str, suffix: str = "") -> Path | None:
        """The file a table calls `name`; SourceError where several fit."""
        wanted = name.replace("\\", "/").removeprefix("./")
        for key in (wanted, wanted + suffix):
            candidates = self._by_name.get(_plain(key), [])
            exact = [path for path in candidates if path.relative_to(self.folder).as_posix() == key]
            candidates = exact or candidates
            if len(candidates) > 1:
                raise SourceError(
                    f"'{name}' fits {len(candidates)} files in '{self.folder.name}' "
                    f"({candidates[0].name} and {candidates[1].name}); rename one of them"
                )
            if candidates:
                return candidates[0]
        return None


def _plain(name: str) -> str:
    return composed(name).casefold()


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV file (comma, semicolon or tab; with or without byte-order mark), values stripped.

    `columns` must be there, in any case; the rows use the names given here. Raises SourceError.
    """
    if not path.is_file():
        raise SourceError(f"table '{path}' does not exist; expected a CSV file with the columns {', '.join(columns)}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            header = stream.readline()
            stream.seek(0)
            reader = csv.DictReader(stream, delimiter=max(",;\t", key=header.count))
            names = {name: _column(path, name, reader.fieldnames or ()) for name in columns}
            return [{name: (row[own] or "").strip() for name, own in names.items()} for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"'{path}' is not a readable CSV file ({error}); save it as UTF-8 text") from error


def _column(path: Path, name: str, present: Sequence[str]) -> str:
    fitting = [own for own in present if own == name]
    fitting = fitting or [own for own in present if own and own.strip().casefold() == name.casefold()]
    if fitting:
        return fitting[0]
    close = difflib.get_close_matches(name, [own for own in present if own], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise SourceError(f"'{path}' has no column {name!r}, it has {', '.join(map(str, present)) or 'none'}{hint}")


def same_value(text: str, value: str) -> bool:
    """Whether two cells say the same: equal text in any case, or equal numbers ("0", "0.0")."""
    if text.strip().casefold() == value.strip().casefold():
        return True
    try:
        return float(text) == float(value)
    except ValueError:
        return False
