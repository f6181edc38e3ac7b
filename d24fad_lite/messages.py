"""Words that errors share, whatever floor they come from."""

from __future__ import annotations

import difflib
import html
import logging
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

# What comes before a path: a colour of a terminal, or a character that no path or address goes on after.
_BEFORE = r"(?P<before>^|\x1b\[[0-9;]*m|[^\w.:/\\<~+-])"
_ROOT = r"(?:file://)?(?:~?/|[A-Za-z]:[/\\]|\\\\)"
# Folders of an absolute path: in quotes they may hold anything, elsewhere they end where a word ends.
_QUOTED = re.compile(rf"(?P<quote>['\"]){_ROOT}[^'\"\n]*[/\\](?=[^'\"/\\\n]+(?P=quote))")
_PICTURE = re.compile(r"(data:[\w/.+-]+;base64,[\w+/=]*)")  # whose letters are no path
_FOLDERS = re.compile(rf"{_BEFORE}{_ROOT}(?:[^\s/\\'\"<>|:*?`()\[\]{{}},;]+[/\\]+)+", re.MULTILINE)


def did_you_mean(name: str, known: Iterable[object]) -> str:
    """' (did you mean 'x'?)' for the closest of the known names, else an empty text."""
    lowered = {str(item).lower(): str(item) for item in known}
    close = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    return f" (did you mean {lowered[close[0]]!r}?)" if close else ""


def choose_one_of(what: str, name: object, known: Iterable[object]) -> str:
    """ "what='nam' is not known; choose one of 'name', 'other' (did you mean 'name'?)"."""
    names = list(known)
    return f"{what}={name!r} is not known; choose one of {', '.join(map(repr, names))}{did_you_mean(str(name), names)}"


def printable(text: str) -> str:
    """Any name as every terminal and page can show it: bytes that are no text, and line breaks, become escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def printable_lines(text: str) -> str:
    """A text of several lines as every terminal can show it; tabs become blanks."""
    return "\n".join(map(printable, text.expandtabs(4).split("\n")))


def in_html(value: object) -> str:
    """Any value as text for a page, also inside an attribute: markup is escaped, and so is what no page can show."""
    return html.escape(printable(str(value)))


class NamingError(ValueError):
    """An error whose text names files, which may be called anything: it is shown without control characters.

    Each argument is a line.
    """

    def __str__(self) -> str:
        return "\n".join(printable(str(line)) for line in self.args)


def without_folders(text: str) -> str:
    """The text with every absolute path (from the root, a drive or ~) cut to its last name; addresses stay whole."""
    return beside_pictures(text, lambda part: _FOLDERS.sub(r"\g<before>", _QUOTED.sub(r"\g<quote>", part)))


def beside_pictures(text: str, change: Callable[[str], str]) -> str:
    """The text changed, except for the pictures in it (data: addresses), whose letters mean nothing else."""
    parts = _PICTURE.split(text)
    parts[::2] = map(change, parts[::2])
    return "".join(parts)


def in_short(error: BaseException, most: int = 160) -> str:
    """Kind and beginning of an error's text, in one line; for what other libraries raise with pages of text."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:most]}"


@contextmanager
def quiet(name: str, level: int) -> Iterator[None]:
    """Within, no warnings, and of the logger of this name nothing below `level`."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
