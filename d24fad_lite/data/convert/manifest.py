"""What a conversion writes beside the images: MANIFEST.json, left_out.csv and groups.csv."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from d24fad_lite.csv_files import write_csv
from d24fad_lite.data.convert.class_counts import ClassCounts
from d24fad_lite.data.convert.records import Plan, WrittenImage
from d24fad_lite.files import write_json

NAME = "d24fad_lite conversion"
SCHEMA = 1
MOST_PAIRS = 1000  # of near copies in the manifest


def write_records(
    plan: Plan,
    folder: Path,
    written: Sequence[WrittenImage],
    table: Sequence[ClassCounts],
    copies: Sequence[tuple[str, str]],
    settings: Mapping[str, object],
) -> None:
    """Write MANIFEST.json, left_out.csv and, where patients are known, groups.csv.

    No path of this computer is in them, and the same conversion gives the same bytes.

    Parameters
    ----------
    plan : Plan
        What was converted, with the reason of every image that is not used.
    folder : Path
        The task folder.
    written : sequence of WrittenImage
        The images in it.
    table : sequence of ClassCounts
        Counts for the manifest.
    copies : sequence of pairs of str
        Files that are near copies of each other; the manifest lists the first 1000 pairs.
    settings : mapping of str to object
        Seed and test fraction, under their names on the command line.
    """
    patients = [(entry.file, entry.image.patient) for entry in written if entry.image.patient]
    if patients:
        write_csv(folder / "groups.csv", ("file", "group"), patients)
    left = [
        (image.name, image.source_class, image.why, _without_root(image.detail, plan.root))
        for image in plan.images
        if image.why
    ]
    write_csv(folder / "left_out.csv", ("source", "class", "why", "detail"), left)
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
        "counts": [_count(counts) for counts in table],
        "notes": [_without_root(note, plan.root) for note in plan.notes],
        "near_copies": len(copies),
        "near_copy_pairs": list(copies[:MOST_PAIRS]),
        "files": {key: value for entry in written for key, value in _files(entry).items()},
    }
    write_json(folder / "MANIFEST.json", manifest, indent=1)


def _command(plan: Plan, settings: Mapping[str, object]) -> str:
    """The command line of this conversion, without options that are off or empty."""
    options = {name.replace("_", "-"): value for name, value in {**plan.options, **settings}.items()}
    words = [
        f"--{name}" if value is True else f"--{name} {shlex.quote(str(value))}"
        for name, value in options.items()
        if value not in (None, False, "")
    ]
    return " ".join(["d24fad convert", plan.source, "SOURCE OUT", *words])


def _groups(written: Sequence[WrittenImage]) -> dict[str, int]:
    """Number of known patients per split."""
    splits = dict.fromkeys(entry.image.split for entry in written)
    return {
        str(split): len({entry.image.patient for entry in written if entry.image.split == split} - {None, ""})
        for split in splits
    }


def _count(counts: ClassCounts) -> dict[str, object]:
    """The counts of a class as the manifest lists them."""
    return {
        "class": counts.source_class,
        "published": counts.published,
        "found": counts.found,
        "train": counts.train,
        "valid": counts.valid,
        "test": counts.test,
        "left_out": counts.why,
    }


def _files(entry: WrittenImage) -> dict[str, dict[str, str]]:
    """File -> what the manifest says of it, for an image and its mask."""
    image = entry.image
    facts = {"sha256": entry.sha256, "source": image.name, "class": image.source_class}
    if image.patient:
        facts["group"] = image.patient
    files = {entry.file: facts}
    if entry.mask is not None and entry.mask_sha256 is not None:
        files[entry.mask] = {"sha256": entry.mask_sha256, "mask_of": entry.file}
    return files


def _without_root(text: str, root: Path) -> str:
    """The text with quoted paths cut: those below the source folder start there, others keep the file's name alone."""
    for end in "/\\":
        text = text.replace(f"'{root}{end}", "'")
    return re.sub(r"'(?:[A-Za-z]:)?[/\\][^']*[/\\]([^'/\\]+)'", r"'\1'", text)
