"""groups.csv: which images belong to the same patient, so that no patient stands on both sides of a split."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from d24fad_lite.csv_files import restored
from d24fad_lite.data.names import composed
from d24fad_lite.messages import NamingError


class GroupsError(NamingError):
    """A groups.csv that cannot be read; the message names the line and what was expected."""


def read_groups(path: Path, names: Iterable[str], warnings: list[str]) -> dict[str, str]:
    """Read a groups.csv: path of an image relative to the task folder (posix) -> its group.

    The file has a header `file,group`; `file` is the path relative to the task folder, or a bare file name where that
    is unique in the task; accents may be composed or not. Lines for unknown files, and images without a line, are
    reported in `warnings`.
    """
    known = set(names)
    by_basename: dict[str, list[str]] = {}
    by_composed_path: dict[str, list[str]] = {}
    for name in known:
        by_basename.setdefault(composed(name.rsplit("/", 1)[-1]), []).append(name)
        by_composed_path.setdefault(composed(name), []).append(name)
    groups: dict[str, str] = {}
    unknown = []
    for line, file, group in _lines(path):
        plain = composed(file)
        candidates = [file] if file in known else by_composed_path.get(plain) or by_basename.get(plain, [])
        if not candidates:
            unknown.append(file)
        elif len(candidates) > 1:
            raise GroupsError(
                f"'{path}', line {line}: {file!r} fits {len(candidates)} images ({', '.join(sorted(candidates)[:2])}); "
                "write the path relative to the task folder"
            )
        elif groups.setdefault(candidates[0], group) != group:
            first = groups[candidates[0]]
            raise GroupsError(f"'{path}', line {line}: {file!r} has two groups, {first!r} and {group!r}; keep one")
    if unknown:
        warnings.append(f"'{path}' names {len(unknown)} file(s) the task does not have, first: {unknown[0]}")
    if len(groups) < len(known):
        first = min(known - groups.keys())
        warnings.append(f"'{path}' gives no group to {len(known) - len(groups)} image(s), first: {first}")
    return groups


def shared_groups(left: Iterable[str | None], right: Iterable[str | None]) -> list[str]:
    """Groups that occur on both sides, sorted."""
    return sorted({group for group in left if group} & {group for group in right if group})


def _lines(path: Path) -> list[tuple[int, str, str]]:
    """(number of the line, file, group) of each line after the header."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            if not {"file", "group"} <= set(reader.fieldnames or ()):
                header = ",".join(reader.fieldnames or ()) or "nothing"
                raise GroupsError(f"'{path}' must start with the line 'file,group', found '{header}'")
            lines = [(reader.line_num, _cell(row["file"]).replace("\\", "/"), _cell(row["group"])) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise GroupsError(f"'{path}' is not a readable CSV file ({error}); save it as UTF-8 text") from error
    for line, file, group in lines:
        if not file or not group:
            raise GroupsError(f"'{path}', line {line}: file and group must both be given, got {file!r} and {group!r}")
    return lines


def _cell(text: str | None) -> str:
    return restored((text or "").strip())
