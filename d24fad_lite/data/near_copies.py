"""Copies of an image that are not equal byte for byte: saved again, resized, a little brighter or darker."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from d24fad_lite.data.image_set import ImageSet

SIDE = 64  # pixels, side of the pictures that are compared
PICTURES_AT_ONCE = 64  # pictures in memory at a time
COMPARED_AT_ONCE = 1024  # fingerprints compared with all others at a time
MAX_DIFFERING_BITS = 24  # of the 256 of a hash, between copies of one image
MIN_CORRELATION = 0.99  # of the small pictures of two copies


class Fingerprints(NamedTuple):
    """Two fingerprints for each of N images; copies agree in both.

    bits : 0/1 floats [N, 256], difference hash: whether each of 16 x 16 cells is brighter than its left neighbour.
    small : unit vectors [N, 1024], the picture at 32 x 32 pixels with its mean subtracted.
    """

    bits: Tensor
    small: Tensor


def near_copies(first: ImageSet, second: ImageSet) -> list[tuple[int, int]]:
    """Images of two sets that are copies of each other, up to re-saving, resizing and small changes of brightness.

    Parameters
    ----------
    first, second : ImageSet
        Sets of N and M images; all are decoded at 64 x 64 pixels.

    Returns
    -------
    list of (int, int)
        Pairs (i, j): image i of `first` and image j of `second` are copies.
    """
    return matching_pairs(_fingerprints_of(first), _fingerprints_of(second))


def fingerprints(pictures: Tensor) -> Fingerprints:
    """Fingerprints of pictures, float [N, 3, SIDE, SIDE] in 0..1."""
    grey = pictures.mean(dim=1, keepdim=True)
    steps = F.interpolate(grey, size=(16, 17), mode="area")  # [N, 1, 16, 17]
    vectors = F.interpolate(grey, size=(32, 32), mode="area").flatten(1)
    bits = (steps[..., 1:] > steps[..., :-1]).flatten(1).float()
    return Fingerprints(bits, F.normalize(vectors - vectors.mean(dim=1, keepdim=True), dim=1))


def matching_pairs(first: Fingerprints, second: Fingerprints) -> list[tuple[int, int]]:
    """Pairs (i, j) of positions whose hashes differ in few bits and whose small pictures agree."""
    pairs = []
    for start in range(0, len(first.bits), COMPARED_AT_ONCE):
        bits, small = first.bits[start : start + COMPARED_AT_ONCE], first.small[start : start + COMPARED_AT_ONCE]
        differing = bits @ (1 - second.bits).T + (1 - bits) @ second.bits.T  # [n, M], bits
        alike = (differing <= MAX_DIFFERING_BITS) & (small @ second.small.T >= MIN_CORRELATION)
        pairs += [(start + i, j) for i, j in alike.nonzero().tolist()]
    return pairs


def _fingerprints_of(images: ImageSet) -> Fingerprints:
    """Fingerprints of a set, decoded a few pictures at a time."""
    parts = [
        fingerprints(images.images(SIDE, range(start, min(start + PICTURES_AT_ONCE, len(images)))))
        for start in range(0, len(images), PICTURES_AT_ONCE)
    ]
    return Fingerprints(torch.cat([part.bits for part in parts]), torch.cat([part.small for part in parts]))
