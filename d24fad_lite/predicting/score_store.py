"""Scores of a folder of images on disk, so that nothing once computed is lost or computed twice.

<out>/predict.json          settings: what the scores depend on; the supports' own scores; versions; sha256 of results
<out>/scores.partial.csv    while a run is under way: all that is known, a row more after every image of a batch
<out>/scores.csv            name, score, sha256 of the file, p_value, alarm; written whole at the end of a run
<out>/failures.csv          name, reason; only where files could not be used
<out>/heatmaps/<stem>.png   see heatmaps.py and heatmap_names.py
<out>/names.csv             what the ids in predict.json stand for

Of these predict.json alone is made to be shared: the others are called as the images are, or name them.
A later run believes scores.csv by its sha256 in predict.json, a row of scores.partial.csv by its check, and a heatmap
by its sha256 in either; what is damaged is made again.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from d24fad_lite.csv_files import csv_text, read_csv, write_csv
from d24fad_lite.data.layouts.left_out import warn_of_data
from d24fad_lite.files import JsonError, file_sha256, read_json, sha256_of, write_text
from d24fad_lite.predicting.heatmap_names import heatmap_names, rename_heatmaps, whole_names
from d24fad_lite.private_names import KEY_FILE
from d24fad_lite.sole_writer import LOCK, OWNER

SETTINGS, SCORES, PARTIAL, FAILURES = "predict.json", "scores.csv", "scores.partial.csv", "failures.csv"
HEATMAPS, GALLERY = "heatmaps", "gallery.html"
FILES = (SETTINGS, SCORES, PARTIAL, FAILURES, HEATMAPS, GALLERY, KEY_FILE, LOCK, OWNER)  # all that a run writes
HEADER = ("name", "score", "sha256")
JOURNAL = (*HEADER, "heatmap", "check")
SCHEMA = 3
SHA256 = re.compile(r"[0-9a-f]{64}")


Columns = Callable[[np.ndarray], dict[str, list[Any]]]


def no_columns(scores: np.ndarray) -> dict[str, list[Any]]:
    """Nothing beside the scores."""
    return {}


class ResultsConflict(ValueError):
    """The folder for the results holds others that must not be mixed with them or lost.

    `problem` says what was found, without advice: callers name their own way of replacing it.
    """

    def __init__(self, problem: str, replaced: str = "it") -> None:
        super().__init__(f"{problem}; choose another folder, or overwrite=True to replace {replaced}")
        self.problem, self.replaced = problem, replaced


class ScoreRow(NamedTuple):
    """One scored image. The score is text, so that it is never rounded twice; a heatmap's sha256 is "" without one."""

    name: str
    score: str
    sha256: str
    heatmap: str = ""

    @property
    def check(self) -> str:
        """By which a row of the journal is known to be as it was written."""
        return sha256_of("\0".join(self))[:16]


class ScoreStore:
    """The results in one folder. Rows of an earlier run with the same settings are kept.

    Parameters
    ----------
    folder : where the results go; made if absent.
    settings : plain values on which every score depends.
    overwrite : discard the results of a run with other settings.

    Raises
    ------
    ResultsConflict : the folder holds results of other settings, or a scores.csv or gallery.html of another origin.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], overwrite: bool = False) -> None:
        self.folder, self.settings = folder, settings
        self.rows: dict[str, ScoreRow] = {}
        self.failures: dict[str, str] = {}
        self._overwrite = overwrite
        self._facts: dict[str, Any] = {}
        self._results: Any = None
        self._older = False  # heatmaps are called as an earlier version did
        self._heatmaps: dict[str, PurePosixPath] = {}
        self._beside: dict[str, list[Any]] = {}
        if overwrite:
            return
        stored = _read_note(folder / SETTINGS)
        present = [name for name in (SCORES, PARTIAL, GALLERY) if (folder / name).exists()]
        if stored is None:
            if present:
                raise ResultsConflict(f"{folder} holds a {present[0]} that this command did not write")
            return
        if stored["settings"] != settings:
            old = stored["settings"]
            names = sorted(name for name in old.keys() | settings if old.get(name) != settings.get(name))
            raise ResultsConflict(f"{folder} holds scores of other settings (changed: {', '.join(names)})", "them")
        self._results = stored.get("results")
        self._older = stored.get("schema") != SCHEMA
        self.rows = _finished_rows(folder, self._results) | _journal_rows(folder / PARTIAL)

    def begin(self, facts: dict[str, Any], names: Sequence[str]) -> None:
        """Write down the settings, and facts that no score depends on; after that rows may be added.

        names : all images that are to be scored; on them depends what the heatmaps are called
        With `overwrite`, what an earlier run left is removed first.
        """
        if self._overwrite:
            self._discard()
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in (FAILURES, GALLERY):  # of an earlier run; with --gallery 0 no old page must stay
            (self.folder / name).unlink(missing_ok=True)
        self._heatmaps = heatmap_names(dict.fromkeys([*names, *self.rows]))
        earlier = whole_names(self.rows) if self._older else heatmap_names(self.rows)
        rename_heatmaps(self.folder / HEATMAPS, earlier, self._heatmaps)
        self._facts = facts
        self._write_note()
        # All that is known goes into the journal: until the run ends, nothing else need be believed.
        write_text(self.folder / PARTIAL, csv_text([JOURNAL, *map(_journal_row, self.rows.values())]))

    def has(self, name: str, sha256: str, heatmap: bool) -> bool:
        """Whether this very file has its score (and its heatmap, where wanted, as it was drawn)."""
        row = self.rows.get(name)
        if row is None or row.sha256 != sha256:
            return False
        return not heatmap or (row.heatmap != "" and _sha256_or_none(self.heatmap(name)) == row.heatmap)

    def heatmap(self, name: str) -> Path:
        """Where the heatmap of an image goes, see `heatmap_names`."""
        return self.folder / HEATMAPS / self._heatmaps[name]

    def add(self, rows: Iterable[ScoreRow]) -> None:
        """Add the rows of one batch; they are on disk when this returns."""
        rows = list(rows)
        self.rows |= {row.name: row for row in rows}
        _append(self.folder / PARTIAL, csv_text(map(_journal_row, rows)))

    def fail(self, name: str, reason: str) -> str:
        """Note a file that could not be used, and return the reason in one line.

        What was scored under its name before is no longer true and is dropped.
        """
        self.rows.pop(name, None)
        reason = self.failures[name] = " ".join(reason.split())
        _append(self.folder / FAILURES, csv_text([("name", "reason")] * (len(self.failures) == 1) + [(name, reason)]))
        return reason

    def finish(self, names: Sequence[str], columns: Columns = no_columns) -> int:
        """Write scores.csv, in the given order; returns how many rows are of images that are not among them.

        columns : what stands beside the scores, from float [N] to columns of N values by name
        """
        listed = set(names)
        gone = [name for name in self.rows if name not in listed]
        self.rows = {name: self.rows[name] for name in [*names, *gone] if name in self.rows}
        beside = columns(np.array([float(row.score) for row in self.rows.values()]))
        rows = ((*row[: len(HEADER)], *values) for row, *values in zip(self.rows.values(), *beside.values()))
        write_csv(self.folder / SCORES, (*HEADER, *beside), rows)
        if self.failures:
            write_csv(self.folder / FAILURES, ("name", "reason"), self.failures.items())
        heatmaps = [row.heatmap for row in self.rows.values()]  # in the order of scores.csv, so without names
        self._results = {SCORES: file_sha256(self.folder / SCORES), "heatmaps": heatmaps}
        self._write_note()
        (self.folder / PARTIAL).unlink(missing_ok=True)
        self._beside = beside
        return len(gone)

    def frame(self) -> pd.DataFrame:
        """The rows as a table: name, score (float), sha256, and the columns beside them."""
        table = pd.DataFrame([row[: len(HEADER)] for row in self.rows.values()], columns=list(HEADER))
        return table.astype({"score": float}).assign(**self._beside)

    def _write_note(self) -> None:
        content = {"schema": SCHEMA, "settings": self.settings, **self._facts, "results": self._results}
        # In ASCII, unlike other files of the kit: names that are not UTF-8 must come back as they were.
        write_text(self.folder / SETTINGS, json.dumps(content, indent=1) + "\n")

    def _discard(self) -> None:
        """Remove what an earlier run wrote, and only that: heatmaps of its rows, and its files.

        A scores.csv of another origin may hold anything: no row of it names a file to remove.
        """
        for path in (self.folder / SCORES, self.folder / PARTIAL):
            names = [row[0] for row in _rows(path) if _is_of_a_run(row)]
            for heatmap in {*heatmap_names(names).values(), *whole_names(names).values()}:
                (self.folder / HEATMAPS / heatmap).unlink(missing_ok=True)
        for name in (SCORES, PARTIAL, FAILURES, GALLERY, SETTINGS):
            (self.folder / name).unlink(missing_ok=True)


def _is_of_a_run(row: Sequence[str]) -> bool:
    """Whether a row is such as a run writes: a name below the folder, and in the third cell a sha256."""
    if len(row) < len(HEADER) or not SHA256.fullmatch(row[2]):
        return False
    name = PurePosixPath(row[0])
    return not name.is_absolute() and ".." not in name.parts


def _append(path: Path, text: str) -> None:
    """Add to a file; the text is on disk when this returns."""
    with path.open("a", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _journal_row(row: ScoreRow) -> tuple[str, ...]:
    return (*row, row.check)


def _finished_rows(folder: Path, results: Any) -> dict[str, ScoreRow]:
    """The rows of scores.csv by name, where it is as a run wrote it; none and a warning where it is not."""
    path = folder / SCORES
    if not path.exists():
        return {}
    if not isinstance(results, dict) or results.get(SCORES) != _sha256_or_none(path):
        warn_of_data([f"{path} is not what was written (sha256 differs): its images are scored again"], stacklevel=3)
        return {}
    heatmaps = results.get("heatmaps")
    rows = read_csv(path)[1:]
    if not isinstance(heatmaps, list) or len(heatmaps) != len(rows):
        heatmaps = [""] * len(rows)
    return {row[0]: ScoreRow(row[0], row[1], row[2], str(drawn)) for row, drawn in zip(rows, heatmaps, strict=True)}


def _journal_rows(path: Path) -> dict[str, ScoreRow]:
    """The rows of a run that was stopped, by name; a row that was cut short or changed is left out."""
    rows = [(ScoreRow(*row[:-1]), row[-1]) for row in _rows(path) if len(row) == len(JOURNAL)]
    return {row.name: row for row, check in rows if row.check == check}


def _rows(path: Path) -> list[list[str]]:
    """The rows of a file that may be absent or damaged, without those that cannot be read."""
    try:
        return [row for row in read_csv(path) if row]
    except (OSError, csv.Error):
        return []


def _sha256_or_none(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:
        return None


def _read_note(path: Path) -> dict[str, Any] | None:
    """What predict.json of an earlier run says; None where there was none. ResultsConflict for a damaged one."""
    try:
        note = read_json(path)
    except FileNotFoundError:
        return None
    except JsonError as error:
        raise ResultsConflict(f"{path} is damaged ({error})") from error
    if not isinstance(note, dict) or not isinstance(note.get("settings"), dict):
        raise ResultsConflict(f"{path} is damaged (no settings in it)")
    return note
