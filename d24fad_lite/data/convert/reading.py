"""The one look at each image of a plan: can it be decoded, what is its hash, and its fingerprint for near copies?"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from tqdm.auto import tqdm

from d24fad_lite.data.convert.records import Plan, SourceImage
from d24fad_lite.data.images import ImageError, decode_image, read_mask, stored_size, to_float
from d24fad_lite.data.near_copies import SIDE, Fingerprints, fingerprints
from d24fad_lite.files import file_sha256

WORKERS = min(8, os.cpu_count() or 1)
Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class ReadImage:
    """What the one look at an image gave.

    Attributes
    ----------
    path : Path
        The image file, or the PNG that was made of a slice.
    sha256 : str
        Hash of the file's content, in hexadecimal.
    prints : Fingerprints
        Of one image, to compare it with others.
    remark : str, default ""
        What the plan finds worth a note about this file.
    """

    path: Path
    sha256: str
    prints: Fingerprints
    remark: str = ""


def read_all(plan: Plan, made_files: Path, progress: bool) -> dict[str, ReadImage]:
    """Decode and hash every image that is to be used; one that cannot be read is left out, with the reason.

    Parameters
    ----------
    plan : Plan
        Its images may get a reason to be left out, and its notes the remarks about files.
    made_files : Path
        Folder for the files of pictures that are no files yet.
    progress : bool
        Show a bar.

    Returns
    -------
    dict of str to ReadImage
        By name of the image, for those that could be read.
    """
    images = [image for image in plan.images if not image.why]
    jobs = [(image, made_files / f"{index}.png") for index, image in enumerate(images)]

    def look(job: tuple[SourceImage, Path]) -> ReadImage | None:
        image, made_file = job
        try:
            return _read(image, made_file, plan.remark)
        except (ValueError, OSError) as error:
            image.leave_out("cannot be read", str(error), problem=True)
            return None

    results = in_threads_with_progress(look, jobs, f"read {plan.source}", progress)
    readable = {image.name: read for image, read in zip(images, results, strict=True) if read is not None}
    remarks = Counter(read.remark for read in readable.values() if read.remark)
    plan.notes += [f"{count} file(s): {remark}" for remark, count in remarks.items()]
    return readable


def hash_unused(plan: Plan, progress: bool) -> dict[str, str]:
    """Name -> sha256 of the images of known label that are left out by design, as far as they can be read."""
    unused_files = [
        (image.name, image.picture)
        for image in plan.images
        if image.why and not image.problem and image.label is not None and isinstance(image.picture, Path)
    ]

    def look(unused: tuple[str, Path]) -> str:
        _, path = unused
        try:
            return file_sha256(path) if path.is_file() else ""
        except OSError:
            return ""

    hashes = in_threads_with_progress(look, unused_files, f"compare {plan.source}", progress)
    return {name: digest for (name, _), digest in zip(unused_files, hashes, strict=True) if digest}


def _read(image: SourceImage, made_file: Path, remark: Callable[[Path], str] | None) -> ReadImage:
    """Look at one image and its mask. Raises ImageError, OSError."""
    path = _file_of(image, made_file)
    square = torch.from_numpy(decode_image(path, SIDE))  # [SIDE, SIDE, 3]
    if isinstance(image.mask, Path):
        actual, expected = stored_size(image.mask), stored_size(path)
        if actual != expected:
            raise ImageError(
                f"mask '{image.mask}' is {actual[0]}x{actual[1]} pixels, its image is {expected[0]}x{expected[1]}"
            )
        read_mask(image.mask)
    prints = fingerprints(to_float(square).permute(2, 0, 1)[None])  # of [1, 3, SIDE, SIDE]
    return ReadImage(path, file_sha256(path), prints, remark(path) if remark else "")


def _file_of(image: SourceImage, made_file: Path) -> Path:
    """The image's own file; where the source has a function in its place, `made_file`, which it writes."""
    if isinstance(image.picture, Path):
        return image.picture
    if image.picture is None:
        raise ImageError(f"image '{image.name}' has no file; give one, or say why it is left out")
    image.picture(made_file)
    return made_file


def in_threads_with_progress(
    work: Callable[[Job], Result], jobs: Sequence[Job], what: str, progress: bool
) -> list[Result]:
    """`[work(job) for job in jobs]` on several threads, with a bar; the first error is raised."""
    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            return list(
                tqdm(pool.map(work, jobs), total=len(jobs), desc=what, unit="image", disable=None if progress else True)
            )
        except BaseException:  # Ctrl-C too: what waits is not begun
            pool.shutdown(wait=False, cancel_futures=True)
            raise
