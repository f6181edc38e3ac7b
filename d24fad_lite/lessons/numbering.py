"""The names of lessons: a number, for some a letter behind it (06b lies between 06 and 07), then words."""

from __future__ import annotations

import re
from pathlib import Path

NAME = re.compile(r"(\d\d[a-z]?)_(.+)")


def lesson_files(folder: Path, suffix: str = ".ipynb") -> list[Path]:
    """Files of a folder that are named as a lesson is, in the order of the series."""
    return sorted(path for path in folder.glob(f"*{suffix}") if NAME.fullmatch(path.stem))


def number_of(name: str) -> str:
    """ "06b" of "06b_where_and_thresholds"; the whole name where it is not a lesson's."""
    found = NAME.fullmatch(name)
    return found[1] if found else name


def words_of(name: str) -> str:
    """ "where_and_thresholds" of "06b_where_and_thresholds"; the whole name where it is not a lesson's."""
    found = NAME.fullmatch(name)
    return found[2] if found else name


def is_called(name: str, wanted: str) -> bool:
    """Whether `wanted` means this lesson: its whole name, its words, or its number ("6", "06", "6b").

    A number means one lesson: "06" is not 06b.
    """
    number = f"0{wanted}" if re.fullmatch(r"\d[a-z]?", wanted) else wanted
    return wanted in (name, words_of(name)) or number == number_of(name)
