"""From a plan to a task folder: read every image once, split, copy, and write down what was done. All or nothing."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from d24fad_lite.data.convert.class_counts import ClassCounts, count_classes
from d24fad_lite.data.convert.manifest import write_records
from d24fad_lite.data.convert.reading import ReadImage, hash_unused, in_threads_with_progress, read_all
from d24fad_lite.data.convert.records import MakeMask, Plan, SourceError, SourceImage, WrittenImage
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
from d24fad_lite.files import file_sha256, replacing_folder

NEEDED_SPACE = 1.02  # of the images' bytes; the rest is for masks and tables


@dataclass(frozen=True)
class Conversion:
    """What became of a source.

    Attributes
    ----------
    out : Path
        The new task folder, as an absolute path.
    table : list of ClassCounts
        One entry for each class of the source.
    problems : list of SourceImage
        Images that are left out because something is wrong with them.
    copies : list of pairs of str
        Files that are near copies of each other, the first in train and the second in test or valid.
    notes : list of str
        Sentences that a reader should know.
    """

    out: Path
    table: list[ClassCounts]
    problems: list[SourceImage]
    copies: list[tuple[str, str]]
    notes: list[str]


def convert(
    plan: Plan, out: str | Path, *, seed: int = 0, test_fraction: float = 0.2, progress: bool = True
) -> Conversion:
    """Write the images of a plan as a task folder: train/good, test/good, test/bad[/kind], masks, groups.csv.

    Files are copied byte for byte under names of their own; slices of volumes are written as PNG. Beside them stand
    MANIFEST.json (source, licence, seed, counts, the sha256 of each file) and left_out.csv (every image that was not
    used, and why). The same source and arguments give the same bytes.

    Parameters
    ----------
    plan : Plan
        What a converter found. It is changed (splits, reasons, notes), so it serves for one conversion.
    out : str or Path
        The task folder to make; its name is the task's. It must be absent or empty, and appears when it is complete.
        Where it is a symbolic link, the folder it points to is filled.
    seed : int, default 0
        Of the split by patient. It does nothing where the plan keeps the published split.
    test_fraction : float, default 0.2
        Part of the patients without anomalous images, between 0 and 1, that goes to test. As `seed`, for new splits.
    progress : bool, default True
        Show bars, where there is a terminal.

    Returns
    -------
    Conversion

    Raises
    ------
    ValueError : the fraction is not between 0 and 1.
    SourceError : nothing to convert, or no normal images for train, or a class that test lacks.
    FileExistsError, OSError : the folder holds something, or cannot be written.
    """
    out = Path(out).resolve()
    if not 0 < test_fraction < 1:
        raise ValueError(f"test fraction {test_fraction!r} must lie between 0 and 1, for example 0.2")
    _require_names(plan)
    _require_free(plan, out)
    with _appearing(out) as partial, tempfile.TemporaryDirectory(dir=partial, prefix=".made-") as made_files:
        read = read_all(plan, Path(made_files), progress)
        _split(plan, read, hash_unused(plan, progress), test_fraction, seed)
        chosen = [image for image in plan.images if not image.why]
        _require_classes(plan, chosen)
        copies = _near_copies(chosen, read)
        written = _write_all(plan, chosen, read, partial, progress)
        table = count_classes(plan)
        files = {entry.image.name: entry.file for entry in written}
        copied_files = [(files[first.name], files[second.name]) for first, second in copies]
        settings = {"seed": seed, "test_fraction": test_fraction}
        write_records(plan, partial, written, table, copied_files, settings)
    problems = [image for image in plan.images if image.problem]
    return Conversion(out, table, problems, copied_files, plan.notes)


# --- the new folder --------------------------------------------------------------------------------------------------


def _require_names(plan: Plan) -> None:
    """Refuse two images of one name, which could not be told apart in left_out.csv."""
    names = Counter(image.name for image in plan.images if not image.why)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise SourceError(f"'{plan.root}' has {len(twice)} name(s) for two images, first: {twice[0]}; rename one")


def _require_free(plan: Plan, out: Path) -> None:
    """Refuse a folder that holds something and a disk without room, now rather than after an hour of work."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"'{out}' already holds something; choose a new or empty folder for the task")
    needed = NEEDED_SPACE * sum(
        image.picture.stat().st_size
        for image in plan.images
        if not image.why and isinstance(image.picture, Path) and image.picture.is_file()
    )
    existing = next(folder for folder in (out, *out.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise OSError(
            f"the images take {needed / 1e9:.1f} GB and '{existing}' has {free / 1e9:.1f} GB free; "
            "make room or choose another disk"
        )


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out` that takes its name when the work is done, and else is removed.

    So are, then, the folders above that were made for it.
    """
    made_above = [folder for folder in out.parents if not folder.exists()]  # the nearest first
    try:
        with ExitStack() as stack:
            try:
                partial = stack.enter_context(replacing_folder(out))
            except OSError as error:
                raise OSError(
                    f"cannot write '{out}': {error.strerror or error}; choose a folder that can be written"
                ) from error
            yield partial
            if out.exists():
                out.rmdir()  # it was empty before the work began; if not now, this raises and nothing is replaced
    except BaseException:
        with suppress(OSError):  # one is not empty: somebody else has come
            for folder in made_above:
                folder.rmdir()
        raise


# --- splitting -------------------------------------------------------------------------------------------------------


_WHAT_WAS_DONE = {
    OTHER_SPLIT: "equal content, kept in one split alone (in test where it is there)",
    TWICE: "equal content, kept once",
    OTHER_LABEL: "equal content, and nobody knows which label is true; all of them are left out",
    SHARED_PATIENT: "kept in one split alone (in test where the patient is there)",
}


def _split(plan: Plan, read: dict[str, ReadImage], unused_hashes: dict[str, str], fraction: float, seed: int) -> None:
    """Put every usable image in a split, leave out copies and divided patients, and note how many and why."""
    hashes = {name: entry.sha256 for name, entry in read.items()} | unused_hashes
    drop_equal(plan.images, hashes)

    def usable() -> list[SourceImage]:
        return [image for image in plan.images if not image.why]

    if any(image.split for image in usable()):
        drop_shared_patients(usable())
    else:
        split_by_patient(usable(), hashes, fraction, seed)
    reasons = Counter(image.why for image in plan.images)
    for why, action in _WHAT_WAS_DONE.items():
        if reasons[why]:
            plan.notes.append(f"{reasons[why]} image(s): {why}; {action}")


def _require_classes(plan: Plan, chosen: Sequence[SourceImage]) -> None:
    """Refuse a task that has no normal image to train on, or lacks a class in test."""
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


def _near_copies(chosen: Sequence[SourceImage], read: dict[str, ReadImage]) -> list[tuple[SourceImage, SourceImage]]:
    """Pairs of images in train and elsewhere that are copies up to re-saving or resizing."""
    train = [image for image in chosen if image.split == "train"]
    other = [image for image in chosen if image.split != "train"]

    def stack(images: list[SourceImage]) -> Fingerprints:
        prints = [read[image.name].prints for image in images]
        return Fingerprints(torch.cat([p.bits for p in prints]), torch.cat([p.small for p in prints]))

    return [(train[i], other[j]) for i, j in matching_pairs(stack(train), stack(other))]


# --- writing ---------------------------------------------------------------------------------------------------------


class _TaskFiles(NamedTuple):
    """Where an image and its mask go, below the task folder."""

    image: str
    mask: str | None


def _write_all(
    plan: Plan, chosen: Sequence[SourceImage], read: dict[str, ReadImage], partial: Path, progress: bool
) -> list[WrittenImage]:
    """Copy every chosen image, or move the file that was made of it, and write its mask."""
    several_kinds = len({image.kind for image in chosen if image.label == 1}) > 1
    taken: set[str] = set()
    jobs = [(image, _task_files(image, read[image.name], several_kinds, taken)) for image in chosen]

    def write(job: tuple[SourceImage, _TaskFiles]) -> WrittenImage:
        image, files = job
        entry = read[image.name]
        target = partial / files.image
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.path.is_relative_to(partial):
            entry.path.replace(target)
        elif _copy(entry.path, target) != entry.sha256:
            raise OSError(f"'{entry.path}' changed while it was being converted; start again when nothing writes there")
        if files.mask is None or image.mask is None:
            return WrittenImage(image, files.image, entry.sha256)
        mask_sha256 = _write_mask(image.mask, target, partial / files.mask)
        return WrittenImage(image, files.image, entry.sha256, files.mask, mask_sha256)

    return in_threads_with_progress(write, jobs, f"write {plan.source}", progress)


def _task_files(image: SourceImage, entry: ReadImage, several_kinds: bool, taken: set[str]) -> _TaskFiles:
    """Names of the image and its mask in the task folder; a name in use gets a piece of the hash."""
    kind_folder = f"{_plain(image.kind)}/" if several_kinds and image.label == 1 and image.kind else ""
    source_name = image.name.rsplit("/", 1)[-1]
    suffix = entry.path.suffix
    stem = _plain(source_name.removesuffix(suffix))
    folder = f"{image.split}/{'bad' if image.label == 1 else 'good'}/{kind_folder}"
    if f"{folder}{stem}".casefold() in taken:
        stem = f"{stem}-{entry.sha256[:12]}"
    taken.add(f"{folder}{stem}".casefold())
    has_mask = image.label == 1 and image.mask is not None
    return _TaskFiles(f"{folder}{stem}{suffix}", f"{image.split}/mask/{kind_folder}{stem}.png" if has_mask else None)


def _plain(name: str) -> str:
    """A name that every system takes and no reader of folders skips."""
    return re.sub(r"[^\w.()+ -]", "_", name).strip(" .") or "image"


def _copy(source: Path, target: Path) -> str:
    """Copy a file and return the sha256 of what was written."""
    shutil.copyfile(source, target)
    return file_sha256(target)


def _write_mask(mask: Path | MakeMask, picture: Path, target: Path) -> str:
    """Write the mask of a picture as PNG with 0 and 255, and return its sha256."""
    width, height = stored_size(picture)
    marked: np.ndarray = read_mask(mask) if isinstance(mask, Path) else mask(width, height)  # bool [H, W]
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(marked.astype(np.uint8) * 255).save(target, format="PNG")
    return file_sha256(target)
