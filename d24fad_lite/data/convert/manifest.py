"""What a conversion writes down: the table of what was found and kept, MANIFEST.json, left_out.csv, groups.csv."""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from d24fad_lite.data.convert.records import Plan

if TYPE_CHECKING:
    from d24fad_lite.data.convert.converting import Written

NAME = "d24fad_lite conversion"
SCHEMA = 1
MOST_PAIRS = 1000  # of near copies in the manifest
COLUMNS = ("class", "published", "found", "train", "valid", "test", "left out", "why")


@dataclass(frozen=True)
class Row:
    """A source class: how many images its publishers name, were found, and are in each split; and why others are not.

    published : None where the publishers give no number.
    """

    source_class: str
    published: int | None
    found: int
    train: int
    valid: int
    test: int
    why: dict[str, int]

    @property
    def kept(self) -> int:
        """Images in the task folder."""
        return self.train + self.valid + self.test

    @property
    def left_out(self) -> int:
        """Images that are not in the task folder."""
        return sum(self.why.values())

    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of COLUMNS."""
        why = "; ".join(f"{count} {reason}" for reason, count in self.why.items())
        numbers = (self.found, self.train, self.valid, self.test, self.left_out)
        return (self.source_class, "" if self.published is None else str(self.published), *map(str, numbers), why)


def table_rows(plan: Plan) -> list[Row]:
    """A row per source class, in the order of the plan; classes that the publishers name are there even without images.

    A row of a table whose file is missing counts as left out, not as found.
    """
    classes = dict.fromkeys([*plan.published, *(image.source_class for image in plan.images)])
    rows = []
    for name in classes:
        images = [image for image in plan.images if image.source_class == name]
        splits = Counter(image.split for image in images if not image.why)
        why = Counter(image.why for image in images if image.why)
        rows.append(
            Row(
                name,
                plan.published.get(name),
                sum(image.picture is not None for image in images),
                splits["train"],
                splits["valid"],
                splits["test"],
                dict(why),
            )
        )
    return rows


def format_table(rows: Sequence[Row]) -> str:
    """The table as aligned text, with a last row of sums."""
    published = sum(row.published or 0 for row in rows)
    sums = [sum(getattr(row, name) for row in rows) for name in ("found", "train", "valid", "test", "left_out")]
    total = ("all", str(published or ""), *map(str, sums), "")
    lines = [COLUMNS, *(row.cells() for row in rows), total]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    last = len(COLUMNS) - 1
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, last) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def write_records(
    plan: Plan,
    folder: Path,
    written: Sequence[Written],
    table: Sequence[Row],
    copies: Sequence[tuple[str, str]],
    settings: Mapping[str, object],
) -> None:
    """MANIFEST.json, left_out.csv and, where patients are known, groups.csv. No path of this computer is in them."""
    patients = [(entry.file, entry.image.patient) for entry in written if entry.image.patient]
    if patients:
        _write_csv(folder / "groups.csv", ("file", "group"), patients)
    left = [
        (image.name, image.source_class, image.why, _without_root(image.detail, plan.root))
        for image in plan.images
        if image.why
    ]
    _write_csv(folder / "left_out.csv", ("source", "class", "why", "detail"), left)
    manifest = {
        "name": NAME,
        "schema": SCHEMA,
        "source": plan.source,
        "title": plan.title,
        "licence": plan.licence,
        "command": _command(plan, settings),
        **settings,
        "options": plan.options,
        "patients": plan.patients,
        "groups": _groups(written),
        "published_note": plan.published_note,
        "counts": [_count(row) for row in table],
        "notes": [_without_root(note, plan.root) for note in plan.notes],
        "near_copies": len(copies),
        "near_copy_pairs": list(copies[:MOST_PAIRS]),
        "files": {key: value for entry in written for key, value in _files(entry).items()},
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (folder / "MANIFEST.json").write_text(text + "\n", encoding="utf-8", errors="surrogateescape")


def _command(plan: Plan, settings: Mapping[str, object]) -> str:
    given = {name.replace("_", "-"): value for name, value in {**plan.options, **settings}.items()}
    words = [
        f"--{name}" if value is True else f"--{name} {shlex.quote(str(value))}"
        for name, value in given.items()
        if value not in (None, False, "")
    ]
    return " ".join(["d24fad convert", plan.source, "SOURCE OUT", *words])


def _groups(written: Sequence[Written]) -> dict[str, int]:
    """Number of known patients per split."""
    splits = dict.fromkeys(entry.image.split for entry in written)
    return {
        str(split): len({e.image.patient for e in written if e.image.split == split and e.image.patient})
        for split in splits
    }


def _count(row: Row) -> dict[str, object]:
    return {
        "class": row.source_class,
        "published": row.published,
        "found": row.found,
        "train": row.train,
        "valid": row.valid,
        "test": row.test,
        "left_out": row.why,
    }


def _files(entry: Written) -> dict[str, dict[str, str]]:
    image = entry.image
    facts = {"sha256": entry.sha256, "source": image.name, "class": image.source_class}
    if image.patient:
        facts["group"] = image.patient
    files = {entry.file: facts}
    if entry.mask is not None and entry.mask_sha256 is not None:
        files[entry.mask] = {"sha256": entry.mask_sha256, "mask_of": entry.file}
    return files


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([header, *rows])


def _without_root(text: str, root: Path) -> str:
    """Paths below the source folder from there on, and of others the name alone."""
    for end in "/\\":
        text = text.replace(f"'{root}{end}", "'")
    return re.sub(r"'(?:[A-Za-z]:)?[/\\][^']*[/\\]([^'/\\]+)'", r"'\1'", text)
