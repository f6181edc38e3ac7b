"""Neutral names for what is shared, and the key that turns them back: "image 0007", "group 0003".

A file's name often says who the patient is, and so does a group. Reports therefore speak of `image 0007`; names.csv
beside them is the key, for whoever owns the data and for nobody else.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from d24fad_lite.csv_files import read_csv, write_csv
from d24fad_lite.files import UnreadableFile

KEY_FILE = "names.csv"
PRIVATE = "PRIVATE: the true names behind the files beside this one. Do not share this file; the others need it not."
HEADER = ("id", "name")
DIGITS = 4  # of an id, more where there are more names


def neutral_names(names: Iterable[str | None], kind: str) -> dict[str, str]:
    """Name -> "kind 0001", numbered in the order of the sorted names: sorting ids sorts names."""
    distinct = sorted({name for name in names if name is not None})
    digits = max(DIGITS, len(str(len(distinct))))
    return {name: f"{kind} {number:0{digits}d}" for number, name in enumerate(distinct, start=1)}


def write_key(folder: Path, *neutral: Mapping[str, str]) -> Path:
    """Write names.csv of these mappings of name -> id into `folder`; its first line says that it is private."""
    rows = [(number, name) for names in neutral for name, number in names.items()]
    write_csv(folder / KEY_FILE, [PRIVATE], [HEADER, *rows])
    return folder / KEY_FILE


def read_key(folder: Path) -> dict[str, str]:
    """Id -> name, from the names.csv of a folder; empty where there is none. Raises UnreadableFile for another file."""
    path = folder / KEY_FILE
    if not path.is_file():
        return {}
    try:
        rows = read_csv(path)
        if rows[:2] != [[PRIVATE], [*HEADER]]:
            raise ValueError(f"it begins with {rows[:2]!r:.80}")
        return {number: name for number, name in rows[2:]}
    except (ValueError, csv.Error, OSError) as error:
        raise UnreadableFile(
            f"{path} is not the key to the names in {folder} ({error}), expected the line {PRIVATE!r}, the line "
            f"{','.join(HEADER)}, and an id and a name in each further line; move it away to read on without names"
        ) from error
