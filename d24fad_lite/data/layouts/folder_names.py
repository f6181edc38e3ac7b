"""Names of folders that mean something, in lower case; they are matched whole, never as a part of a longer name."""

from __future__ import annotations

import re

GOOD_FOLDERS = frozenset({"good", "normal"})
BAD_FOLDERS = frozenset({"bad", "ungood", "abnormal", "anomaly"})
IMAGE_FOLDERS = frozenset({"img", "imgs", "image", "images"})
MASK_FOLDERS = frozenset({
    "mask", "masks", "label", "labels", "anomaly_mask", "anomaly_masks", "ground_truth", "groundtruth", "gt",
    "annotation", "annotations", "segmentation", "segmentations", "seg", "segs", "msk", "ground truth", "ground-truth",
})  # fmt: skip
SPLITS = {"train": ("train",), "valid": ("valid", "val", "validation"), "test": ("test",)}
SPLIT_FOLDERS = frozenset(name for names in SPLITS.values() for name in names)
EXPECTED = "train/good, test/good and test/bad (or BMAD's test/Ungood, MVTec's ground_truth/, or a data.json)"
_MASK_WORDS = frozenset({"mask", "masks", "gt", "groundtruth", "segmentation", "segmentations"})


def holds_masks(name: str) -> bool:
    """Whether a folder among images holds masks by its name: `masks`, `GT_mask`, `mask images`, `lesion_masks`."""
    words = re.split(r"[\W_]+", name.lower())
    if words[-1] in IMAGE_FOLDERS and len(words) > 1:
        words.pop()
    return name.lower() in MASK_FOLDERS or words[-1] in _MASK_WORDS
