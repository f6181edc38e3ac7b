"""Copies of an image that are not equal byte for byte: saved again, resized, a little brighter or darker."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from d24fad_lite.data.image_set import ImageSet

SIDE = 64  # px, of the pictures that are compared
CHUNK = 64  # pictures in memory at a time
ROWS = 1024  # fingerprints compared with all others at a time
HASH_BITS = 24  # of 256 that may differ between copies of one image
SAME = 0.99  # correlation of the small pictures of two copies


class Fingerprints(NamedTuple):
    """Difference hash, 0/1 floats [N, 256], and the standardised small picture, unit vectors [N, 1024]."""

    bits: Tensor
    small: Tensor


def near_copies(first: ImageSet, second: ImageSet) -> list[tuple[int, int]]:
    """Pairs (i, j) of positions whose pictures are copies up to re-saving, resizing and small changes of brightness."""
    return matching_pairs(_fingerprints_of(first), _fingerprints_of(second))


def fingerprints(pictures: Tensor) -> Fingerprints:
    """Fingerprints of pictures, float [n, 3, SIDE, SIDE] in 0..1."""
    grey = pictures.mean(dim=1, keepdim=True)
    steps = F.interpolate(grey, size=(16, 17), mode="area")  # (n, 1, 16, 17)
    vectors = F.interpolate(grey, size=(32, 32), mode="area").flatten(1)
    bits = (steps[..., 1:] > steps[..., :-1]).flatten(1).float()
    return Fingerprints(bits, F.normalize(vectors - vectors.mean(dim=1, keepdim=True), dim=1))


def matching_pairs(first: Fingerprints, second: Fingerprints) -> list[tuple[int, int]]:
    """Pairs (i, j) whose hashes differ in few bits and whose small pictures agree."""
    pairs = []
    for start in range(0, len(first.bits), ROWS):
        bits, small = first.bits[start : start + ROWS], first.small[start : start + ROWS]
        differing = bits @ (1 - second.bits).T + (1 - bits) @ second.bits.T  # (ROWS, M), bits
        alike = (differing <= HASH_BITS) & (small @ second.small.T >= SAME)
        pairs += [(start + i, j) for i, j in alike.nonzero().tolist()]
    return pairs


def _fingerprints_of(images: ImageSet) -> Fingerprints:
    parts = [fingerprints(images.images(SIDE, range(start, min(start + CHUNK, len(images)))))
             for start in range(0, len(images), CHUNK)]
    return Fingerprints(torch.cat([part.bits for part in parts]), torch.cat([part.small for part in parts]))
