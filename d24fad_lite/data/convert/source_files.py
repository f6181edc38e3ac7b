"""Reading a source's folders and tables: files by name however they are written, and CSV files of any dialect."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from d24fad_lite.data.convert.records import SourceError
from d24fad_lite.data.images import IMAGE_SUFFIXES
from d24fad_lite.data.names import composed, natural_key
from d24fad_lite.messages import did_you_mean


def require_folder(root: Path, expected: str) -> Path:
    """Return the source folder if it is one; otherwise raise a SourceError that says what it should hold."""
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise SourceError(f"source folder '{root}' {what}; expected a folder with {expected}")
    return root


def subfolder(folder: Path, *names: str) -> Path | None:
    """The first subfolder with one of the names, in any case; None where there is none."""
    wanted = [name.casefold() for name in names]
    subfolders = {child.name.casefold(): child for child in sorted(folder.iterdir()) if child.is_dir()}
    return next((subfolders[name] for name in wanted if name in subfolders), None)


def images_in(folder: Path, notes: list[str]) -> list[Path]:
    """Image files directly in a folder, in natural order. Other files are counted and named in `notes`."""
    files = sorted((entry.name for entry in os.scandir(folder) if not entry.is_dir()), key=natural_key)
    images = [name for name in files if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".")]
    others = sorted(set(files) - set(images), key=natural_key)
    if others:
        notes.append(f"{len(others)} file(s) in '{folder.name}' are no images and were not used, first: {others[0]}")
    return [folder / name for name in images]


def note_unused(folder: Path, used: Iterable[Path | str], notes: list[str]) -> None:
    """Add a note that names the visible entries of a folder which a converter does not look at."""
    known = {Path(entry).name.casefold() for entry in used}
    unused = [child.name for child in sorted(folder.iterdir()) if child.name.casefold() not in known]
    unused = [name for name in unused if not name.startswith(".")]
    if unused:
        notes.append(f"not looked at in '{folder.name}': {', '.join(unused)}")


def plain_stem(path: Path) -> str:
    """The name without its suffix, which for NIfTI may be `.nii.gz`."""
    return path.name[: -len(".nii.gz")] if path.name.lower().endswith(".nii.gz") else path.stem


class FileIndex:
    """The files below a folder, to be found by name in any case and Unicode form, with or without their suffix.

    Parameters
    ----------
    folder : Path
        Searched with all its subfolders; hidden files and folders are skipped.
    suffixes : iterable of str, default the suffixes of images
        Lower-case endings of the files to take.

    Attributes
    ----------
    paths : list of Path
        All files, in natural order within a folder.
    """

    def __init__(self, folder: Path, suffixes: Iterable[str] = IMAGE_SUFFIXES) -> None:
        self.folder = folder
        self.paths: list[Path] = []
        self._by_name: dict[str, list[Path]] = {}
        endings = tuple(suffixes)
        for parent, subfolders, files in os.walk(folder):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            for name in sorted(files, key=natural_key):
                if name.lower().endswith(endings) and not name.startswith("."):
                    self._add(Path(parent) / name)

    def _add(self, path: Path) -> None:
        self.paths.append(path)
        inner = path.relative_to(self.folder)
        for key in {_plain(inner.as_posix()), _plain(inner.with_name(plain_stem(inner)).as_posix())}:
            self._by_name.setdefault(key, []).append(path)

    def find(self, name: str, suffix: str = "") -> Path | None:
        """The file that a table calls `name`.

        Parameters
        ----------
        name : str
            Path below the folder, with slashes of either kind between its parts.
        suffix : str, default ""
            Added to the name if no file has it as it stands.

        Returns
        -------
        Path, or None where no file fits

        Raises
        ------
        SourceError : several files fit.
        """
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
    """The rows of a CSV file, with values stripped of spaces.

    Parameters
    ----------
    path : Path
        UTF-8 text with or without byte-order mark, with commas, semicolons or tabs.
    columns : sequence of str
        Columns that must be there, in any case. Others are not read.

    Returns
    -------
    list of dict
        Value by column, under the names in `columns`.

    Raises
    ------
    SourceError : no such file, no such column, or no CSV text.
    """
    if not path.is_file():
        raise SourceError(f"table '{path}' does not exist; expected a CSV file with the columns {', '.join(columns)}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            header = stream.readline()
            stream.seek(0)
            reader = csv.DictReader(stream, delimiter=max(",;\t", key=header.count))
            own_names = {name: _column(path, name, reader.fieldnames or ()) for name in columns}
            return [{name: (row[own] or "").strip() for name, own in own_names.items()} for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"'{path}' is not a readable CSV file ({error}); save it as UTF-8 text") from error


def _column(path: Path, name: str, present: Sequence[str]) -> str:
    """How the table itself writes the name of a column; SourceError where it has no such column."""
    fitting = [own for own in present if own == name]
    fitting = fitting or [own for own in present if own and own.strip().casefold() == name.casefold()]
    if fitting:
        return fitting[0]
    hint = did_you_mean(name, [own for own in present if own])
    raise SourceError(f"'{path}' has no column {name!r}, it has {', '.join(map(str, present)) or 'none'}{hint}")


def same_value(text: str, value: str) -> bool:
    """Whether two cells say the same: equal text in any case, or equal numbers ("0", "0.0")."""
    if text.strip().casefold() == value.strip().casefold():
        return True
    try:
        return float(text) == float(value)
    except ValueError:
        return False
