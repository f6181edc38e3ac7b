"""The tables of the intake report, and how they read in a terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from d24fad_lite.data.image_set import ImageSet
from d24fad_lite.messages import printable

_COUNTS = ["normal", "anomalous", "masks", "groups"]
_HEADER = ["format", "width", "height", "bits", "channels", "orientation", "modality"]
COLUMNS = {
    "tasks": ["task", "split", *_COUNTS, "sizes", "bits", "format", "modality", "turned", "unreadable"],
    "files": ["task", "split", "name", "label", "kind", "mask", "group", *_HEADER],
    "left_out": ["task", "place", "files", "first", "why"],
    "findings": ["task", "severity", "finding"],
    "shortcuts": ["task", "statistic", "anomalous are", "AUROC", "chance up to", "normal", "anomalous"],
}


@dataclass
class Part:
    """One split of a task, or the images of a folder without tasks.

    Attributes
    ----------
    task, split : str
    images : ImageSet of N images
    labelled : bool, whether the labels mean something
    readable : bool [N], whose pixels can be decoded; filled while the files are looked at
    """

    task: str
    split: str
    images: ImageSet
    labelled: bool = True
    readable: np.ndarray = field(default_factory=lambda: np.array([], bool))


@dataclass
class Tables:
    """What a folder of data holds, as pandas DataFrames.

    Attributes
    ----------
    root : Path
    tasks : DataFrame
        One row per split: images by label, with masks, groups (patients), sizes, bits per channel, formats, DICOM
        modalities, images with an orientation tag, unreadable ones. Sizes, bits and formats are those of headers;
        unreadable are images whose pixels cannot be decoded to the end, such as a file cut short: each is a finding.
    files : DataFrame
        One row per image.
    left_out : DataFrame
        Files that are not used: where, how many, why.
    findings : DataFrame
        Errors first, each with what to do.
    shortcuts : DataFrame
        AUROC of statistics that see no disease, the better of the two signs, beside what chance alone reaches with so
        many images.
    parts : list of Part
        The splits, for the contact sheet.
    thumbnails : int
        Images of each class and split on the contact sheet.
    """

    root: Path
    tasks: pd.DataFrame
    files: pd.DataFrame
    left_out: pd.DataFrame
    findings: pd.DataFrame
    shortcuts: pd.DataFrame
    parts: list[Part] = field(repr=False, default_factory=list)
    thumbnails: int = 12

    @property
    def errors(self) -> int:
        """How many findings would falsify results or stop work."""
        return int((self.findings["severity"] == "error").sum())

    def summary(self) -> str:
        """The counts in one line."""
        return (
            f"{self.tasks['task'].nunique()} task(s), {len(self.files)} images, {self.errors} error(s), "
            f"{len(self.findings) - self.errors} warning(s), {int(self.left_out['files'].sum())} file(s) left out"
        )

    def text(self) -> str:
        """The counts, findings and files left out, for a terminal."""
        lines = [self._line(row) for _, row in self.tasks.iterrows()]
        lines += [f"{row['severity']}: {row['task']}: {row['finding']}" for _, row in self.findings.iterrows()]
        lines += [
            f"left out: {'/'.join(filter(None, (row['task'], row['place'])))}: {row['files']} file(s), {row['why']}"
            for _, row in self.left_out.iterrows()
        ]
        beyond = self.shortcuts[self.shortcuts["AUROC"] > self.shortcuts["chance up to"]]
        lines += [
            f"shortcut: {row['task']}: {row['statistic']} alone has AUROC {row['AUROC']:.2f}, chance up to "
            f"{row['chance up to']:.2f} ({row['normal']} normal, {row['anomalous']} anomalous)"
            for _, row in beyond.iterrows()
        ]
        return "\n".join(printable(line) for line in [*lines, self.summary()])

    @staticmethod
    def _line(row: pd.Series) -> str:
        """One split in one line."""
        counts = f"{row['normal']} normal, {row['anomalous']} anomalous, {row['masks']} mask(s)"
        facts = "; ".join(filter(None, (row["sizes"], row["bits"], row["format"], row["modality"])))
        remarks = "".join(
            f"; {row[name]} {what}"
            for name, what in (("turned", "with an orientation tag"), ("unreadable", "unreadable"))
            if row[name]
        )
        return f"{row['task']} {row['split']}: {counts}; {facts}{remarks}"
