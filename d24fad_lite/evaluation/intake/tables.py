"""The tables of the intake report, and how they read in a terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ...data.image_set import ImageSet
from ...data.layouts.found import printable

COLUMNS = {
    "tasks": ["task", "split", "normal", "anomalous", "masks", "groups", "sizes", "bits", "format", "modality",
              "turned", "unreadable"],
    "files": ["task", "split", "name", "label", "kind", "mask", "group", "format", "width", "height", "bits",
              "channels", "orientation", "modality"],
    "left_out": ["task", "place", "files", "first", "why"],
    "findings": ["task", "level", "finding"],
    "shortcuts": ["task", "statistic", "anomalous are", "AUROC", "chance up to", "normal", "anomalous"],
}


@dataclass
class Part:
    """One split of a task, or a folder without tasks; `labelled` where its labels mean something."""

    task: str
    split: str
    images: ImageSet
    labelled: bool = True
    readable: np.ndarray = field(default_factory=lambda: np.array([], bool))  # [N]


@dataclass
class Tables:
    """What a folder of data holds, as pandas DataFrames.

    Attributes
    ----------
    tasks : one row per split: images by label, with masks, groups (patients), sizes, bits per channel, formats, DICOM
        modalities, images with an orientation tag, unreadable ones.
    files : one row per image.
    left_out : files that are not used: where, how many, why.
    findings : errors first, each with what to do.
    shortcuts : AUROC of statistics that see no disease, the better of the two signs, beside what chance alone reaches
        with so many images.
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
        return int((self.findings["level"] == "error").sum())

    def summary(self) -> str:
        """The counts in one line."""
        return (f"{self.tasks['task'].nunique()} task(s), {len(self.files)} images, {self.errors} error(s), "
                f"{len(self.findings) - self.errors} warning(s), {int(self.left_out['files'].sum())} file(s) left out")

    def text(self) -> str:
        """The counts, findings and files left out, for a terminal."""
        lines = [self._line(row) for _, row in self.tasks.iterrows()]
        lines += [f"{row['level']}: {row['task']}: {row['finding']}" for _, row in self.findings.iterrows()]
        lines += [f"left out: {'/'.join(filter(None, (row['task'], row['place'])))}: {row['files']} file(s), "
                  f"{row['why']}" for _, row in self.left_out.iterrows()]
        beyond = self.shortcuts[self.shortcuts["AUROC"] > self.shortcuts["chance up to"]]
        lines += [f"shortcut: {row['task']}: {row['statistic']} alone has AUROC {row['AUROC']:.2f}, chance up to "
                  f"{row['chance up to']:.2f} ({row['normal']} normal, {row['anomalous']} anomalous)"
                  for _, row in beyond.iterrows()]
        return "\n".join(printable(line) for line in [*lines, self.summary()])

    @staticmethod
    def _line(row: pd.Series) -> str:
        counts = f"{row['normal']} normal, {row['anomalous']} anomalous, {row['masks']} mask(s)"
        facts = "; ".join(filter(None, (row["sizes"], row["bits"], row["format"], row["modality"])))
        odd = "".join(f"; {row[name]} {what}" for name, what in (("turned", "with an orientation tag"),
                                                                 ("unreadable", "unreadable")) if row[name])
        return f"{row['task']} {row['split']}: {counts}; {facts}{odd}"
