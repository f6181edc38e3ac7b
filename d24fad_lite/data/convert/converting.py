"""From a plan to a task folder: read every image once, split, copy, and write down what was done. All or nothing."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from ..images import ImageError, decode_image, read_mask, stored_size, to_float
from ..near_copies import SIDE, Fingerprints, fingerprints, matching_pairs
from .manifest import Row, table_rows, write_records
from .records import Plan, SourceError, SourceImage
from .splitting import (
    OTHER_LABEL,
    OTHER_SPLIT,
    SHARED_PATIENT,
    TWICE,
    drop_equal,
    drop_shared_patients,
    split_by_patient,
)

WORKERS = min(8, os.cpu_count() or 1)
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


def convert(plan: Plan, out: str | Path, *, seed: int = 0, test_fraction: float = 0.2,
            progress: bool = True) -> Conversion:
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
        read = _read_all(plan, Path(made), progress)
        _split(plan, read, _hash_unused(plan, progress), test_fraction, seed)
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
    needed = ROOM * sum(image.picture.stat().st_size for image in plan.images
                        if not image.why and isinstance(image.picture, Path) and image.picture.is_file())
    existing = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise OSError(f"the images take {needed / 1e9:.1f} GB and '{existing}' has {free / 1e9:.1f} GB free; "
                      "make room or choose another disk")


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out` that takes its name when the work is done, and else is removed."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.partial-"))
    except OSError as error:
        raise OSError(f"cannot write '{out}': {error.strerror or error}; "
                      "choose a folder that can be written") from error
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


# --- reading ---------------------------------------------------------------------------------------------------------


@dataclass
class Read:
    """What the one look at an image gave: its file, the hash of its content and its fingerprint."""

    path: Path
    sha256: str
    prints: Fingerprints
    remark: str = ""


def _read_all(plan: Plan, made: Path, progress: bool) -> dict[str, Read]:
    """Decode and hash every image that is to be used. What cannot be read is left out, with the reason."""
    images = [image for image in plan.images if not image.why]
    jobs = [(image, made / f"{index}.png") for index, image in enumerate(images)]

    def look(job: tuple[SourceImage, Path]) -> Read | None:
        image, file = job
        try:
            return _read(image, file, plan.remark)
        except (ValueError, OSError) as error:
            image.leave_out("cannot be read", str(error), problem=True)
            return None

    found = _in_threads(look, jobs, f"read {plan.source}", progress)
    remarks = Counter(read.remark for read in found if read is not None and read.remark)
    plan.notes += [f"{count} file(s): {remark}" for remark, count in remarks.items()]
    return {image.name: read for image, read in zip(images, found, strict=True) if read is not None}


def _hash_unused(plan: Plan, progress: bool) -> dict[str, str]:
    """Name -> sha256 of the images of known label that are left out by design, as far as they can be read."""
    images = [image for image in plan.images if image.why and not image.problem and image.label is not None
              and isinstance(image.picture, Path)]

    def look(image: SourceImage) -> str:
        try:
            return _sha256(image.picture) if image.picture.is_file() else ""
        except OSError:
            return ""

    hashes = _in_threads(look, images, f"compare {plan.source}", progress)
    return {image.name: digest for image, digest in zip(images, hashes, strict=True) if digest}


def _read(image: SourceImage, file: Path, remark: Callable[[Path], str] | None) -> Read:
    """Raises ImageError, OSError."""
    path = image.picture
    if not isinstance(path, Path):
        path(file)
        path = file
    square = torch.from_numpy(decode_image(path, SIDE))
    if isinstance(image.mask, Path):
        found, expected = stored_size(image.mask), stored_size(path)
        if found != expected:
            raise ImageError(f"mask '{image.mask}' is {found[0]}x{found[1]} pixels, its image is "
                             f"{expected[0]}x{expected[1]}")
        read_mask(image.mask)
    prints = fingerprints(to_float(square).permute(2, 0, 1)[None])
    return Read(path, _sha256(path), prints, remark(path) if remark else "")


def _in_threads(work: Callable, jobs: Sequence, what: str, progress: bool) -> list:
    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            return list(tqdm(pool.map(work, jobs), total=len(jobs), desc=what, unit="image",
                             disable=None if progress else True))
        except BaseException:  # Ctrl-C too: what waits is not begun
            pool.shutdown(wait=False, cancel_futures=True)
            raise


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
    parts = {("train", 0): "normal images for train", ("test", 0): "normal images for test",
             ("test", 1): "anomalous images for test"}
    missing = [text for (split, label), text in parts.items()
               if not any(image.split == split and image.label == label for image in chosen)]
    if missing:
        reasons = [f"{sum(image.why == why for image in plan.images)} {why}"
                   for why in dict.fromkeys(image.why for image in plan.images if image.why)]
        first = next((f" (first: {image.detail})" for image in plan.images if image.problem and image.detail), "")
        raise SourceError(f"'{plan.root}' gives no {' and no '.join(missing)}: {len(plan.images)} images found, "
                          f"{len(chosen)} usable; left out: {', '.join(reasons) or 'none'}{first}")


def _near_copies(chosen: Sequence[SourceImage], read: dict[str, Read]) -> list[tuple[SourceImage, SourceImage]]:
    """Pairs of images in train and elsewhere that are copies up to re-saving or resizing."""
    train = [image for image in chosen if image.split == "train"]
    other = [image for image in chosen if image.split != "train"]

    def stack(images: list[SourceImage]) -> Fingerprints:
        prints = [read[image.name].prints for image in images]
        return Fingerprints(torch.cat([p.bits for p in prints]), torch.cat([p.small for p in prints]))

    return [(train[i], other[j]) for i, j in matching_pairs(stack(train), stack(other))]


# --- writing ---------------------------------------------------------------------------------------------------------


def _write_all(plan: Plan, chosen: Sequence[SourceImage], read: dict[str, Read], partial: Path,
               progress: bool) -> list[Written]:
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

    return _in_threads(write, jobs, f"write {plan.source}", progress)


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
    return _sha256(target)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
