"""Scores of a folder of images on disk, so that nothing once computed is lost or computed twice.

<out>/predict.json          settings: what the scores depend on; the supports' own scores; versions
<out>/scores.partial.csv    while a run is under way: rows are added after every batch
<out>/scores.csv            name, score, sha256 of the file; written whole at the end of a run
<out>/failures.csv          name, reason; only where files could not be used
<out>/heatmaps/<name>.png   see heatmaps.py; a name too long for a file is shortened and gets a hash
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pandas as pd

from d24fad_lite.files import JsonError, fitting_name, read_json, write_text
from d24fad_lite.sole_writer import LOCK, OWNER

SETTINGS, SCORES, PARTIAL, FAILURES = "predict.json", "scores.csv", "scores.partial.csv", "failures.csv"
FILES = (SETTINGS, SCORES, PARTIAL, FAILURES, "heatmaps", LOCK, OWNER)  # all that a run writes
HEADER = ("name", "score", "sha256")
SHA_LENGTH = 64


class ResultsConflict(ValueError):
    """The folder for the results holds others that must not be mixed with them or lost.

    `problem` says what was found, without advice: callers name their own way of replacing it.
    """

    def __init__(self, problem: str, replaced: str = "it") -> None:
        super().__init__(f"{problem}; choose another folder, or overwrite=True to replace {replaced}")
        self.problem, self.replaced = problem, replaced


class ScoreRow(NamedTuple):
    """One scored image; the score as text, so that it is never rounded twice."""

    name: str
    score: str
    sha256: str


class ScoreStore:
    """The results in one folder. Rows of an earlier run with the same settings are kept.

    Parameters
    ----------
    folder : where the results go; made if absent.
    settings : plain values on which every score depends.
    overwrite : discard the results of a run with other settings.

    Raises
    ------
    ResultsConflict : the folder holds results of other settings, or a scores.csv of another origin.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], overwrite: bool = False) -> None:
        self.folder, self.settings = folder, settings
        self.rows: dict[str, ScoreRow] = {}
        self.failures: dict[str, str] = {}
        self._overwrite = overwrite
        if overwrite:
            return
        stored = _read_settings(folder / SETTINGS)
        present = [name for name in (SCORES, PARTIAL) if (folder / name).exists()]
        if stored is None and present:
            raise ResultsConflict(f"{folder} holds a {present[0]} that this command did not write")
        if stored is not None and stored != settings:
            names = sorted(k for k in stored.keys() | settings.keys() if stored.get(k) != settings.get(k))
            raise ResultsConflict(f"{folder} holds scores of other settings (changed: {', '.join(names)})", "them")
        for name in (SCORES, PARTIAL):
            self.rows |= {row.name: row for row in _read_rows(folder / name)}

    def begin(self, facts: dict[str, Any]) -> None:
        """Write down the settings, and facts that no score depends on; after that rows may be added.

        With `overwrite`, what an earlier run left is removed first.
        """
        if self._overwrite:
            self._discard()
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {"schema": 1, "settings": self.settings, **facts}
        # In ASCII, unlike other files of the kit: names that are not UTF-8 must come back as they were.
        write_text(self.folder / SETTINGS, json.dumps(content, indent=1) + "\n")
        # A row that a crash cut short must not swallow the first row of this run.
        write_text(self.folder / PARTIAL, _csv(_read_rows(self.folder / PARTIAL)))

    def has(self, name: str, sha256: str, heatmap: bool) -> bool:
        """Whether this very file has its score (and its heatmap, where wanted)."""
        row = self.rows.get(name)
        return row is not None and row.sha256 == sha256 and (not heatmap or self.heatmap(name).is_file())

    def heatmap(self, name: str) -> Path:
        """Where the heatmap of an image goes. The whole name is kept: a.png and a.jpg are two images."""
        inner = PurePosixPath(name)
        return self.folder / "heatmaps" / inner.parent / fitting_name(inner.name, ".png")

    def add(self, rows: Iterable[ScoreRow]) -> None:
        """Add the rows of one batch; they are on disk when this returns."""
        rows = list(rows)
        self.rows |= {row.name: row for row in rows}
        with (self.folder / PARTIAL).open("a", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(_csv(rows, header=False))
            file.flush()
            os.fsync(file.fileno())

    def fail(self, name: str, reason: str) -> str:
        """Note a file that could not be used, and return the reason in one line.

        What was scored under its name before is no longer true and is dropped.
        """
        self.rows.pop(name, None)
        self.failures[name] = " ".join(reason.split())
        self._write_failures()
        return self.failures[name]

    def finish(self, names: Sequence[str]) -> int:
        """Write scores.csv, in the given order; returns how many rows are of images that are not among them."""
        listed = set(names)
        gone = [name for name in self.rows if name not in listed]
        self.rows = {name: self.rows[name] for name in [*names, *gone] if name in self.rows}
        write_text(self.folder / SCORES, _csv(self.rows.values()))
        self._write_failures()
        (self.folder / PARTIAL).unlink(missing_ok=True)
        return len(gone)

    def frame(self) -> pd.DataFrame:
        """The rows as a table: name, score (float), sha256."""
        table = pd.DataFrame(list(self.rows.values()), columns=list(HEADER))
        return table.astype({"score": float})

    def _write_failures(self) -> None:
        """Write failures.csv, or remove it where every file could be used."""
        if not self.failures:
            (self.folder / FAILURES).unlink(missing_ok=True)
            return
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows([("name", "reason"), *self.failures.items()])
        write_text(self.folder / FAILURES, buffer.getvalue())

    def _discard(self) -> None:
        """Remove what an earlier run wrote, and only that: heatmaps of its rows, and its files."""
        for name in (SCORES, PARTIAL):
            for row in _read_rows(self.folder / name):
                self.heatmap(row.name).unlink(missing_ok=True)
        for name in (SCORES, PARTIAL, FAILURES, SETTINGS):
            (self.folder / name).unlink(missing_ok=True)


def _csv(rows: Iterable[ScoreRow], header: bool = True) -> str:
    """The rows as text, with or without the line of column names."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([HEADER, *rows] if header else rows)
    return buffer.getvalue()


def _read_rows(path: Path) -> list[ScoreRow]:
    """The whole rows of a file; a last one that was cut short is left out."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        whole = [row for row in csv.reader(file) if len(row) == len(HEADER)]
    return [ScoreRow(*row) for row in whole if len(row[2]) == SHA_LENGTH]


def _read_settings(path: Path) -> dict[str, Any] | None:
    """The settings of an earlier run; None where there was none. Raises ResultsConflict for a damaged file."""
    try:
        return read_json(path)["settings"]
    except FileNotFoundError:
        return None
    except (JsonError, KeyError, TypeError) as error:
        raise ResultsConflict(f"{path} is damaged ({error})") from error
