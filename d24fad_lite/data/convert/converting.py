"""From a plan to a task folder: read every image once, split, copy, and write down what was done. All or nothing."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from d24fad_lite.data.convert.manifest import Row, table_rows, write_records
from d24fad_lite.data.convert.reading import Read, hash_unused, in_threads, read_all, sha256_of
from d24fad_lite.data.convert.records import Plan, SourceError, SourceImage
from d24fad_lite.data.convert.splitting import (
    OTHER_LABEL,
    OTHER_SPLIT,
    SHARED_PATIENT,
    TWICE,
    drop_equal,
    drop_shared_patients,
    split_by_patient,
)
from d24fad_lite.data.images import read_mask, stored_size
from d24fad_lite.data.near_copies import Fingerprints, matching_pairs

ROOM = 1.02  # of the images' bytes, for masks and tables


@dataclass
class Conversion:
    """What became of a source.

    table : a row per source class. problems : images left out because something is wrong with them.
    copies : pairs of files, in train and in test or valid, that are near copies. notes : what a reader should know.
    """

    out: Path
    table: list[Row]
    problems: list[SourceImage]
    copies: list[tuple[str, str]]
    notes: list[str]


@dataclass
class Written:
    """One image of the new task folder."""

    image: SourceImage
    file: str
    sha256: str
    mask: str | None = None
    mask_sha256: str | None = None


def convert(
    plan: Plan, out: str | Path, *, seed: int = 0, test_fraction: float = 0.2, progress: bool = True
) -> Conversion:
    """Write the images of a plan as a task folder: train/good, test/good, test/bad[/kind], masks, groups.csv.

    Files are copied byte for byte under names of their own; what a source calls slices are written as PNG. Beside them:
    MANIFEST.json (source, licence, seed, counts, the sha256 of each file) and left_out.csv (every image that was not
    used, and why). The same source and arguments give the same bytes. A plan is for one conversion.

    Parameters
    ----------
    out : the task folder to make. Its name is the task's. It must be absent or empty, and appears when it is complete.
    seed, test_fraction : of the split by patient, unless the plan keeps the published split (then they do not matter).

    Raises
    ------
    SourceError : nothing to convert, or no normal images for train, or a class that test lacks.
    FileExistsError, OSError : the folder holds something, or cannot be written.
    """
    out = Path(os.path.abspath(out))
    if not 0 < test_fraction < 1:
        raise ValueError(f"test fraction {test_fraction!r} must lie between 0 and 1, for example 0.2")
    _require_names(plan)
    _require_free(plan, out)
    with _appearing(out) as partial, tempfile.TemporaryDirectory(dir=partial, prefix=".made-") as made:
        read = read_all(plan, Path(made), progress)
        _split(plan, read, hash_unused(plan, progress), test_fraction, seed)
        chosen = [image for image in plan.images if not image.why]
        _require_classes(plan, chosen)
        copies = _near_copies(chosen, read)
        written = _write_all(plan, chosen, read, partial, progress)
        table = table_rows(plan)
        names = {entry.image.name: entry.file for entry in written}
        pairs = [(names[first.name], names[second.name]) for first, second in copies]
        settings = {"seed": seed, "test_fraction": test_fraction}
        write_records(plan, partial, written, table, pairs, settings)
    problems = [image for image in plan.images if image.problem]
    return Conversion(out, table, problems, pairs, plan.notes)


# --- the new folder --------------------------------------------------------------------------------------------------


def _require_names(plan: Plan) -> None:
    """Two images of one name could not be told apart in left_out.csv."""
    names = Counter(image.name for image in plan.images if not image.why)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise SourceError(f"'{plan.root}' has {len(twice)} name(s) for two images, first: {twice[0]}; rename one")


def _require_free(plan: Plan, out: Path) -> None:
    """Better said now than after an hour: a folder that holds something, a disk without room."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"'{out}' already holds something; choose a new or empty folder for the task")
    needed = ROOM * sum(
        image.picture.stat().st_size
        for image in plan.images
        if not image.why and isinstance(image.picture, Path) and image.picture.is_file()
    )
    existing = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise OSError(
            f"the images take {needed / 1e9:.1f} GB and '{existing}' has {free / 1e9:.1f} GB free; "
            "make room or choose another disk"
        )


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out` that takes its name when the work is done, and else is removed."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.partial-"))
    except OSError as error:
        raise OSError(
            f"cannot write '{out}': {error.strerror or error}; choose a folder that can be written"
        ) from error
    try:
        yield partial
        partial.chmod(0o777 & ~_umask())
        if out.exists():
            out.rmdir()  # empty: it was looked at before
        os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# --- splitting -------------------------------------------------------------------------------------------------------


_TOLD = {
    OTHER_SPLIT: "equal content, kept in one split alone (in test where it is there)",
    TWICE: "equal content, kept once",
    OTHER_LABEL: "equal content, and nobody knows which label is true; all of them are left out",
    SHARED_PATIENT: "kept in one split alone (in test where the patient is there)",
}


def _split(plan: Plan, read: dict[str, Read], unused: dict[str, str], fraction: float, seed: int) -> None:
    hashes = {name: entry.sha256 for name, entry in read.items()} | unused
    drop_equal(plan.images, hashes)

    def usable() -> list[SourceImage]:
        return [image for image in plan.images if not image.why]

    if any(image.split for image in usable()):
        drop_shared_patients(usable())
    else:
        split_by_patient(usable(), hashes, fraction, seed)
    reasons = Counter(image.why for image in plan.images)
    plan.notes += [f"{reasons[why]} image(s): {why}; {then}" for why, then in _TOLD.items() if reasons[why]]


def _require_classes(plan: Plan, chosen: Sequence[SourceImage]) -> None:
    parts = {
        ("train", 0): "normal images for train",
        ("test", 0): "normal images for test",
        ("test", 1): "anomalous images for test",
    }
    missing = [
        text
        for (split, label), text in parts.items()
        if not any(image.split == split and image.label == label for image in chosen)
    ]
    if missing:
        reasons = [
            f"{sum(image.why == why for image in plan.images)} {why}"
            for why in dict.fromkeys(image.why for image in plan.images if image.why)
        ]
        first = next((f" (first: {image.detail})" for image in plan.images if image.problem and image.detail), "")
        raise SourceError(
            f"'{plan.root}' gives no {' and no '.join(missing)}: {len(plan.images)} images found, "
            f"{len(chosen)} usable; left out: {', '.join(reasons) or 'none'}{first}"
        )


def _near_copies(chosen: Sequence[SourceImage], read: dict[str, Read]) -> list[tuple[SourceImage, SourceImage]]:
    """Pairs of images in train and elsewhere that are copies up to re-saving or resizing."""
    train = [image for image in chosen if image.split == "train"]
    other = [image for image in chosen if image.split != "train"]

    def stack(images: list[SourceImage]) -> Fingerprints:
        prints = [read[image.name].prints for image in images]
        return Fingerprints(torch.cat([p.bits for p in prints]), torch.cat([p.small for p in prints]))

    return [(train[i], other[j]) for i, j in matching_pairs(stack(train), stack(other))]


# --- writing ---------------------------------------------------------------------------------------------------------


def _write_all(
    plan: Plan, chosen: Sequence[SourceImage], read: dict[str, Read], partial: Path, progress: bool
) -> list[Written]:
    kinds = {image.kind for image in chosen if image.label == 1}
    taken: set[str] = set()
    jobs = [(image, *_places(image, read[image.name], len(kinds) > 1, taken)) for image in chosen]

    def write(job: tuple[SourceImage, str, str | None]) -> Written:
        image, file, mask_file = job
        entry = read[image.name]
        target = partial / file
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.path.is_relative_to(partial):
            os.replace(entry.path, target)
        elif _copy(entry.path, target) != entry.sha256:
            raise OSError(f"'{entry.path}' changed while it was being converted; start again when nothing writes there")
        written = Written(image, file, entry.sha256, mask_file)
        if mask_file is not None:
            written.mask_sha256 = _write_mask(image, target, partial / mask_file)
        return written

    return in_threads(write, jobs, f"write {plan.source}", progress)


def _places(image: SourceImage, entry: Read, several_kinds: bool, taken: set[str]) -> tuple[str, str | None]:
    """Names of the image and its mask in the task folder; a name in use gets a piece of the hash."""
    inner = f"{_plain(image.kind)}/" if several_kinds and image.label == 1 and image.kind else ""
    source = image.name.rsplit("/", 1)[-1]
    suffix = entry.path.suffix
    stem = _plain(source.removesuffix(suffix))
    folder = f"{image.split}/{'bad' if image.label == 1 else 'good'}/{inner}"
    if f"{folder}{stem}".casefold() in taken:
        stem = f"{stem}-{entry.sha256[:12]}"
    taken.add(f"{folder}{stem}".casefold())
    mask = f"{image.split}/mask/{inner}{stem}.png" if image.label == 1 and image.mask is not None else None
    return f"{folder}{stem}{suffix}", mask


def _plain(name: str) -> str:
    """A name that every system takes and no reader of folders skips."""
    return re.sub(r"[^\w.()+ -]", "_", name).strip(" .") or "image"


def _copy(source: Path, target: Path) -> str:
    """Copy and give the sha256 of what was written."""
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("wb") as writer:
        while block := reader.read(2**20):
            digest.update(block)
            writer.write(block)
    return digest.hexdigest()


def _write_mask(image: SourceImage, picture: Path, target: Path) -> str:
    """The mask as PNG with 0 and 255, and its sha256."""
    width, height = stored_size(picture)
    marked: np.ndarray = read_mask(image.mask) if isinstance(image.mask, Path) else image.mask(width, height)
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(marked.astype(np.uint8) * 255).save(target, format="PNG")
    return sha256_of(target)
