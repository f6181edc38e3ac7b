"""The one look at each image of a plan: can it be decoded, what is its hash, what does it look like in small?"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm.auto import tqdm

from d24fad_lite.data.convert.records import Plan, SourceImage
from d24fad_lite.data.images import ImageError, decode_image, read_mask, stored_size, to_float
from d24fad_lite.data.near_copies import SIDE, Fingerprints, fingerprints

WORKERS = min(8, os.cpu_count() or 1)


@dataclass
class Read:
    """What the one look at an image gave: its file, the hash of its content and its fingerprint."""

    path: Path
    sha256: str
    prints: Fingerprints
    remark: str = ""


def read_all(plan: Plan, made: Path, progress: bool) -> dict[str, Read]:
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

    found = in_threads(look, jobs, f"read {plan.source}", progress)
    remarks = Counter(read.remark for read in found if read is not None and read.remark)
    plan.notes += [f"{count} file(s): {remark}" for remark, count in remarks.items()]
    return {image.name: read for image, read in zip(images, found, strict=True) if read is not None}


def hash_unused(plan: Plan, progress: bool) -> dict[str, str]:
    """Name -> sha256 of the images of known label that are left out by design, as far as they can be read."""
    images = [
        image
        for image in plan.images
        if image.why and not image.problem and image.label is not None and isinstance(image.picture, Path)
    ]

    def look(image: SourceImage) -> str:
        try:
            return sha256_of(image.picture) if image.picture.is_file() else ""
        except OSError:
            return ""

    hashes = in_threads(look, images, f"compare {plan.source}", progress)
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
            raise ImageError(
                f"mask '{image.mask}' is {found[0]}x{found[1]} pixels, its image is {expected[0]}x{expected[1]}"
            )
        read_mask(image.mask)
    prints = fingerprints(to_float(square).permute(2, 0, 1)[None])
    return Read(path, sha256_of(path), prints, remark(path) if remark else "")


def in_threads(work: Callable, jobs: Sequence, what: str, progress: bool) -> list:
    """`[work(job) for job in jobs]` on several threads, with a bar; the first error is raised."""
    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            return list(
                tqdm(pool.map(work, jobs), total=len(jobs), desc=what, unit="image", disable=None if progress else True)
            )
        except BaseException:  # Ctrl-C too: what waits is not begun
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
