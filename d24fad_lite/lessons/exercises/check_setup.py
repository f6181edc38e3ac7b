"""Exercises to lesson 00: the highest peak of several maps, and files that are not what they were."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from d24fad_lite.files import sha256_of
from d24fad_lite.lessons.exercises.exercise import Case, Exercise


def highest_peak(maps):
    """Which image has the highest score, and where the peak of its map lies: [N, H, W] -> image, row, column."""
    image = int(maps.flatten(1).amax(dim=1).argmax())  # the score of an image is the maximum of its map
    row, column = divmod(int(maps[image].argmax()), maps.shape[2])
    return image, row, column


def changed(contents, hashes):
    """Positions of files that are missing (None) or whose SHA-256 is not the expected one."""
    return [
        i
        for i, (content, expected) in enumerate(zip(contents, hashes))
        if content is None or hashlib.sha256(content).hexdigest() != expected
    ]


def _peak_by_numpy(maps):
    return tuple(int(i) for i in np.unravel_index(maps.numpy().argmax(), tuple(maps.shape)))


def _changed_by_package(contents, hashes):
    right = [content is not None and sha256_of(content) == expected for content, expected in zip(contents, hashes)]
    return [i for i, fine in enumerate(right) if not fine]


def _maps():
    rng = torch.Generator().manual_seed(1)

    def maps(*shape):
        return torch.randn(*shape, generator=rng)

    corner = maps(3, 5, 5)
    corner[1, 4, 4] = 9.0
    flat = torch.full((2, 6, 6), 0.9)
    flat[0, 2, 3], flat[1, 5, 0] = 1.3, 0.95
    return [
        Case("six maps", (maps(6, 16, 16),)),
        Case("height unlike width", (maps(4, 5, 12),)),
        Case("one map", (maps(1, 8, 8),)),
        Case("a peak in the last corner", (corner,)),
        Case("all values below zero", (maps(3, 7, 7) - 100,)),
        Case("the peak that stands out is not the highest one", (torch.stack([flat[0] - 0.5, flat[1]]),)),
    ]


def _files():
    pictures = [b"first", b"second", b"", b"first"]
    right = [sha256_of(content) for content in pictures]
    return [
        Case("one changed", ([b"first", b"2nd", b"", b"first"], right)),
        Case("one missing", ([b"first", b"second", b"", None], right)),
        Case("an empty file is not a missing one", ([None, b"second", b"", b"other"], right)),
        Case("two exchanged", ([b"second", b"first", b"", b"first"], right)),
    ]


EXERCISES = (
    Exercise(
        number=1,
        title="highest peak",
        solution=highest_peak,
        reference=_peak_by_numpy,
        cases=_maps,
        hints=(
            "The score of an image is the maximum of its map, so the highest pixel of all maps is in the right image.",
            "maps[image].argmax() counts through the rows: which row and column is position 17 of a map 5 wide?",
            "divmod(position, width) is (row, column). The width is maps.shape[2].",
        ),
    ),
    Exercise(
        number=2,
        title="changed files",
        solution=changed,
        reference=_changed_by_package,
        cases=_files,
        hints=(
            "Go through contents and hashes together; a file that is missing has the content None.",
            "hashlib.sha256(content).hexdigest() is the hash of the bytes; b'' has one as well.",
            "A list comprehension with enumerate(zip(contents, hashes)), and `or` between the two conditions.",
        ),
    ),
)

ANSWERS = (
    "How unlike the supports each place of the image is. `matched` compares the teacher's features with those of the "
    "supports and reads nothing that was trained.",
    "Every file's SHA-256 stands in MANIFEST.json; the page computes it anew and compares.",
    "The ImageNet network that a package brings, and the embedded fractal teacher. Whether the weights are found on "
    "this computer decides. The second sees less: lesson 02 measures how much.",
    "The task that is left out and evaluated. It gives K normal images at the end, as supports, and no training image.",
    "Epochs, images per epoch, seeds, left-out tasks, and one training for each K. Each factor is larger.",
)
