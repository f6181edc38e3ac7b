"""BraTS 2021 as MedIAnomaly publishes it: slices by folder, the mask of `.._flair_60` is called `.._seg_60`.

    train/*   test/normal/*   test/tumor/*   test/annotation/*
"""

from __future__ import annotations

import re
from pathlib import Path

from d24fad_lite.data.layouts.folders import Dialect
from d24fad_lite.data.layouts.found import BAD_FOLDERS, MASK_FOLDERS
from d24fad_lite.data.layouts.walking import list_folders, subfolders

TUMOUR_FOLDERS = frozenset({"tumor", "tumour"})


def is_brats(folder: Path) -> bool:
    """Whether test/ has a folder of tumours beside a folder of masks or of normal slices."""
    names = {child.name.lower() for test in subfolders(folder, ("test",)) for child in list_folders(test)}
    return bool(names & TUMOUR_FOLDERS) and bool(names & (MASK_FOLDERS | {"normal", "good"}))


def image_name(mask: str) -> str:
    """The name of the slice to which a mask belongs."""
    return re.sub(r"(?<![^\W_])seg(?![^\W_])", "flair", mask)


BRATS = Dialect(bad=BAD_FOLDERS | TUMOUR_FOLDERS, loose_train=True, rename=image_name)
