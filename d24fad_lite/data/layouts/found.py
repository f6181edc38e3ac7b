"""What was found in one task folder: images with labels and masks, and what lies there and is not used."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

GOOD_FOLDERS = frozenset({"good", "normal"})
BAD_FOLDERS = frozenset({"bad", "ungood", "abnormal", "anomaly"})
IMAGE_FOLDERS = frozenset({"img", "imgs", "image", "images"})
MASK_FOLDERS = frozenset({
    "mask", "masks", "label", "labels", "anomaly_mask", "anomaly_masks", "ground_truth", "groundtruth", "gt",
    "annotation", "annotations", "segmentation", "segmentations", "seg", "segs", "msk", "ground truth", "ground-truth",
})  # fmt: skip
_MASK_WORDS = frozenset({"mask", "masks", "gt", "groundtruth", "segmentation", "segmentations"})
SPLITS = {"train": ("train",), "valid": ("valid", "val", "validation"), "test": ("test",)}
EXPECTED = "train/good, test/good and test/bad (or BMAD's test/Ungood, MVTec's ground_truth/, or a data.json)"
MOST_TOLD = 8  # places that one warning names; the list `left_out` has them all


class LayoutError(ValueError):
    """A data folder that does not follow a known layout; the message names the folder and says what to do."""


class DataWarning(UserWarning):
    """What is odd in a data folder, or lies there and is not used; says what, how many files and why."""


@dataclass(frozen=True)
class LeftOut:
    """Files that are not used: a file, or the folder they lie in or below, how many, why, and the first one's name."""

    path: Path
    count: int
    why: str
    first: str = ""

    def sentence(self, root: Path) -> str:
        """ "3 file(s) in test/other, first: 1.png (why)", with the path relative to `root`."""
        place = _below(self.path, root)
        if self.first and self.first != self.path.name:
            return f"{self.count} file(s) in {place}, first: {self.first} ({self.why})"
        return f"{place} ({self.why})"


@dataclass
class FoundImage:
    """One image file: label 0 normal or 1 anomalous, its mask and kind (name of the subfolder) where there are any."""

    path: Path
    label: int
    mask: Path | None = None
    kind: str | None = None


@dataclass
class FoundTask:
    """Everything found in one task folder, splits in natural order, normal images before anomalous ones."""

    folder: Path
    layout: str
    splits: dict[str, list[FoundImage]] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)  # path relative to the task folder (posix) -> group
    warnings: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    normal_masks: list[tuple[Path, Path]] = field(default_factory=list)  # normal image, its mask: should be empty

    @property
    def train_place(self) -> str:
        """Where a user adds normal training images, for messages."""
        if self.layout == "data.json":
            return f"{self.folder.name}/images, listed in {self.folder.name}/data.json"
        normal = self.splits.get("train")
        inner = normal[0].path.parent.relative_to(self.folder).as_posix() if normal else "train/good"
        return f"{self.folder.name}/{inner}"


def natural_key(name: str | Path) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sort key in which `img2` precedes `img10`; ties (case, leading zeros) are broken by the exact text."""
    text = PurePosixPath(name).as_posix() if isinstance(name, str) else name.as_posix()
    pieces = re.split(r"(\d+)", text.casefold())
    return tuple((1, int(p), "") if p.isdecimal() else (0, 0, p) for p in pieces), text


def composed(name: str) -> str:
    """The name in Unicode's composed form: macOS writes accents as signs of their own, most others do not."""
    return unicodedata.normalize("NFC", name)


def holds_masks(name: str) -> bool:
    """Whether a folder among images holds masks by its name: `masks`, `GT_mask`, `mask images`, `lesion_masks`."""
    words = re.split(r"[\W_]+", name.lower())
    if words[-1] in IMAGE_FOLDERS and len(words) > 1:
        words.pop()
    return name.lower() in MASK_FOLDERS or words[-1] in _MASK_WORDS


def printable(text: str) -> str:
    """Any name as every terminal and page can show it: bytes that are no text, and line breaks, become escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def told(what: str, left_out: Sequence[LeftOut], root: Path) -> str:
    """One sentence that counts and names what is not used."""
    total = sum(item.count for item in left_out)
    parts = [item.sentence(root) for item in left_out[:MOST_TOLD]]
    more = f"; and {len(left_out) - MOST_TOLD} more places" if len(left_out) > MOST_TOLD else ""
    return f"{what}: {total} file(s) ignored: {'; '.join(parts)}{more}"


def warn(texts: Iterable[str], stacklevel: int) -> None:
    """Say each sentence as a `DataWarning`."""
    for text in texts:
        warnings.warn(text, DataWarning, stacklevel=stacklevel + 1)


def _below(path: Path, root: Path) -> str:
    try:
        inner = path.relative_to(root).as_posix()
    except ValueError:
        return path.as_posix()
    return path.name if inner == "." else inner
