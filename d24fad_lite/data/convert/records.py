"""What a source says of its images before any is opened, and what became of them: the records all converters share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from d24fad_lite.messages import NamingError

MakePicture = Callable[[Path], None]  # writes a PNG file
MakeMask = Callable[[int, int], np.ndarray]  # (width, height) -> bool [H, W]


class SourceError(NamingError):
    """A source folder or table that is not as its publisher describes it; the message says what was expected."""


@dataclass
class SourceImage:
    """One image of a source, and what is to become of it.

    Attributes
    ----------
    name : str
        How the source calls the image: its path below the source folder, in posix form.
    source_class : str
        Its class (and published split) in the source's own words; a row of the final table.
    picture : Path, callable or None, default None
        The image file, or a function that writes the picture as PNG to a path. None only where `why` says that there
        is no file.
    label : int or None, default None
        0 for normal, 1 for anomalous, None where the source does not say.
    kind : str or None, default None
        Kind of the anomaly; it becomes a folder below test/bad where a task has several kinds.
    patient : str or None, default None
        The group of images that must stay on one side of the split; None where it is not known.
    split : str or None, default None
        "train", "valid" or "test". Where a converter sets it, the published split is kept.
    mask : Path, callable or None, default None
        Mask of an anomalous image: a file, or a function that makes it for a width and a height in pixels.
    why : str, default ""
        The reason, in a few words, if the image is left out. Images are counted by it.
    detail : str, default ""
        More about the reason, for this image alone.
    problem : bool, default False
        The image is left out because something is wrong with it, not by design.
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
        """Record that this image is not used, and why. An image that has a reason already keeps it."""
        if not self.why:
            self.why, self.detail, self.problem = why, detail, problem


@dataclass
class Plan:
    """Everything a converter says of a source as it lies on disk.

    Attributes
    ----------
    source : str
        Name of the converter, as on the command line.
    title : str
        Name of the data set.
    licence : str
        What its publishers ask of those who use it.
    root : Path
        The source folder.
    patients : str
        A sentence on how patients are known.
    published_note : str
        Where the numbers in `published` come from.
    images : list of SourceImage
        All images of the source, also those that will not be used.
    published : dict of str to int
        Number of images that the publishers name for a source class.
    options : dict of str to object
        Settings of the converter, for the manifest.
    notes : list of str
        Sentences that a reader should know, such as which files were not looked at.
    remark : callable or None, default None
        Says what is worth a note about one file, "" for nothing. Equal remarks are counted and become one note.
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


@dataclass(frozen=True)
class WrittenImage:
    """One image of the new task folder.

    Attributes
    ----------
    image : SourceImage
        The image of the source that it is.
    file : str
        Its path below the task folder, in posix form.
    sha256 : str
        Hash of its content, in hexadecimal.
    mask, mask_sha256 : str or None, default None
        Path and hash of its mask, where it has one.
    """

    image: SourceImage
    file: str
    sha256: str
    mask: str | None = None
    mask_sha256: str | None = None
