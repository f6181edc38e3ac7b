"""Normal images of the training tasks, held out to watch training; the test set plays no part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from d24fad_lite.data.image_set import ImageSet


def hold_out(
    sets: Sequence[ImageSet], fraction: float, shots: int, seed: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Split each set into positions to train on and positions held out, both int64 and ascending.

    About `fraction` (above 0, below 1) of each set is held out, at least shots + 1 images so that episodes can be
    formed from it. Images of one group (patient) stay on one side. Raises ValueError where too few are left to train.
    """
    trained, held_out = [], []
    for index, images in enumerate(sets):
        wanted = max(round(fraction * len(images)), shots + 1)
        generator = np.random.default_rng([seed, index, 7])
        chosen: list[int] = []
        members = _members(images)
        for group in generator.permutation(len(members)):
            if len(chosen) < wanted:
                chosen += members[group]
        held_out.append(np.sort(np.array(chosen, dtype=np.int64)))
        trained.append(np.setdiff1d(np.arange(len(images)), held_out[-1]))
        if len(trained[-1]) < shots + 1:
            raise ValueError(
                f"validation={fraction} holds out {len(chosen)} of the {len(images)} images of {images.name}, which "
                f"leaves {len(trained[-1])} for training, and {shots} shots need {shots + 1}; lower validation or shots"
            )
    return trained, held_out


def _members(images: ImageSet) -> list[list[int]]:
    """Positions by group; an image without a group is a group of its own."""
    groups: dict[str, list[int]] = {}
    for position, group in enumerate(images.groups):
        groups.setdefault(group if group is not None else f"\0{position}", []).append(position)
    return list(groups.values())
