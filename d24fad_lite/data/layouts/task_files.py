"""The result of reading a layout: the images of a task with labels and masks, and the files that are not used."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from d24fad_lite.data.layouts.left_out import LeftOut
from d24fad_lite.messages import NamingError


class LayoutError(NamingError):
    """A data folder that does not follow a known layout; the message names the folder and says what to do."""


@dataclass
class LabelledImage:
    """One image file of a task.

    Attributes
    ----------
    path : Path
    label : int
        0 normal, 1 anomalous.
    mask : Path or None
        File that marks the anomalous pixels.
    kind : str or None
        Kind of anomaly: the name of the subfolder, or what a listing calls it.
    """

    path: Path
    label: int
    mask: Path | None = None
    kind: str | None = None


@dataclass
class TaskFiles:
    """The files of one task folder.

    Attributes
    ----------
    folder : Path
    layout : str
        Name of the layout: "folders", "data.json", "meta.json" or "isic".
    used_folders : list of Path
        Subfolders of `folder` that belong to the layout; whatever else lies beside them is named as not used.
    splits : dict of str to list of LabelledImage
        "train", "test" and perhaps "valid", in natural order, normal images before anomalous ones.
    groups : dict of str to str
        Path relative to the task folder (posix) -> group (patient).
    warnings : list of str
        What is odd but usable, as sentences.
    left_out : list of LeftOut
        Files that are not used.
    normal_masks : list of (Path, Path)
        Normal images with masks of their own, which should mark nothing.
    """

    folder: Path
    layout: str
    used_folders: list[Path]
    splits: dict[str, list[LabelledImage]] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    normal_masks: list[tuple[Path, Path]] = field(default_factory=list)

    @property
    def training_location(self) -> str:
        """Where a user adds normal training images, for messages."""
        if self.layout == "data.json":
            return f"{self.folder.name}/images, listed in {self.folder.name}/data.json"
        normal = self.splits.get("train")
        inner = normal[0].path.parent.relative_to(self.folder).as_posix() if normal else "train/good"
        return f"{self.folder.name}/{inner}"
