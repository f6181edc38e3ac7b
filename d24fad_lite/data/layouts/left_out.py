"""Files that are not used: an entry holds them with the reason, and one warning per folder counts and names them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from d24fad_lite.messages import printable

MOST_NAMED = 8  # entries that one warning spells out; the list `left_out` has them all


class DataWarning(UserWarning):
    """Something in a data folder is odd, or is not used; the text says what, how many files and why."""


@dataclass(frozen=True)
class LeftOut:
    """Files that are not used for one reason.

    Attributes
    ----------
    path : Path
        The file, or the folder in or below which the files lie.
    count : int
        Number of files.
    why : str
        The reason, as it stands in messages.
    first : str
        Name of the first of the files; default "".
    """

    path: Path
    count: int
    why: str
    first: str = ""

    def sentence(self, root: Path) -> str:
        """ "3 file(s) in test/other, first: 1.png (why)", with the path relative to `root`."""
        shown = _below(self.path, root)
        if self.first and self.first != self.path.name:
            return f"{self.count} file(s) in {shown}, first: {self.first} ({self.why})"
        return f"{shown} ({self.why})"


def ignored_files_sentence(what: str, left_out: Sequence[LeftOut], root: Path) -> str:
    """One sentence that counts and names the files that are not used; `what` is "task 'RSNA'" or the like."""
    total = sum(item.count for item in left_out)
    parts = [item.sentence(root) for item in left_out[:MOST_NAMED]]
    more = f"; and {len(left_out) - MOST_NAMED} more places" if len(left_out) > MOST_NAMED else ""
    return f"{what}: {total} file(s) ignored: {'; '.join(parts)}{more}"


def warn_of_data(sentences: Iterable[str], stacklevel: int) -> None:
    """Issue each sentence as a `DataWarning`; `stacklevel` counts from the caller, as in `warnings.warn`."""
    for sentence in sentences:
        warnings.warn(printable(sentence), DataWarning, stacklevel=stacklevel + 1)


def _below(path: Path, root: Path) -> str:
    """A path relative to `root`, in posix form; `root` itself by its name, and a path elsewhere as it is."""
    try:
        inner = path.relative_to(root).as_posix()
    except ValueError:
        return path.as_posix()
    return path.name if inner == "." else inner
