"""How names are compared: natural order of files, composed and decomposed accents, spellings of a task's name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from d24fad_lite.messages import did_you_mean, printable

# Names of the published tasks as the released code and the data sets write them -> the one used here.
PUBLISHED_TASKS = {
    "his": "HIS",
    "lag": "LAG",
    "aptos": "APTOS",
    "aptos2019": "APTOS",
    "rsna": "RSNA",
    "braintumor": "BrainTumor",
}


class UnknownTaskError(KeyError, ValueError):
    """A task name that the benchmark does not have; the message lists those it has."""

    def __str__(self) -> str:
        return printable(str(self.args[0]))


def natural_key(name: str | Path) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sort key in which `img2` precedes `img10`; ties (case, leading zeros) are broken by the exact text."""
    text = PurePosixPath(name).as_posix() if isinstance(name, str) else name.as_posix()
    pieces = re.split(r"(\d+)", text.casefold())
    return tuple((1, int(p), "") if p.isdecimal() else (0, 0, p) for p in pieces), text


def composed(name: str) -> str:
    """The name in Unicode's composed form; macOS writes an accent as a character of its own, most systems do not."""
    return unicodedata.normalize("NFC", name)


def canonical_task_name(name: str) -> str:
    """The one name of a published task (`His` -> `HIS`, `Brain_Tumor` -> `BrainTumor`); others stay as they are."""
    return PUBLISHED_TASKS.get(_without_separators(name), name)


def is_published_task(name: str) -> bool:
    """Whether a folder of this name is one of the published tasks, in any spelling."""
    return _without_separators(name) in PUBLISHED_TASKS


def find_task_name(name: str, known: Sequence[str], root: Path) -> str:
    """The name in `known` that `name` means, whatever its case, spaces, - and _. UnknownTaskError lists `known`."""
    if name in known:
        return name
    if isinstance(name, str):
        wanted = _without_separators(canonical_task_name(name))
        alike = [task for task in known if _without_separators(task) == wanted]
        if len(alike) == 1:
            return alike[0]
    available = ", ".join(known) or "none"
    raise UnknownTaskError(f"no task {name!r} in '{root}', available: {available}{did_you_mean(str(name), known)}")


def _without_separators(name: str) -> str:
    """The name in lower case without spaces, -, _ and dots: two spellings of one task give the same."""
    return re.sub(r"[\s_\-.]+", "", composed(name)).casefold()
