"""BraTS 2021 as MedIAnomaly publishes it: folders are labels, and the mask of `.._flair_60` is called `.._seg_60`.

train/*   test/normal/*   test/tumor/*   test/annotation/*
"""

from __future__ import annotations

import re
from pathlib import Path

from d24fad_lite.data.layouts.folder_names import BAD_FOLDERS, MASK_FOLDERS
from d24fad_lite.data.layouts.folder_walk import list_folders, subfolders
from d24fad_lite.data.layouts.folders import Dialect, read_folders
from d24fad_lite.data.layouts.task_files import TaskFiles

TUMOUR_FOLDERS = frozenset({"tumor", "tumour"})


def read_brats(folder: Path) -> TaskFiles | None:
    """Read a task of this layout; None where test/ has no folder of tumours beside one of masks or normal slices."""
    names = {child.name.lower() for test in subfolders(folder, ("test",)) for child in list_folders(test)}
    if not names & TUMOUR_FOLDERS or not names & (MASK_FOLDERS | {"normal", "good"}):
        return None
    return read_folders(folder, BRATS)


def image_name(mask: str) -> str:
    """The name of the slice to which a mask belongs."""
    return re.sub(r"(?<![^\W_])seg(?![^\W_])", "flair", mask)


BRATS = Dialect(bad=BAD_FOLDERS | TUMOUR_FOLDERS, loose_train=True, rename=image_name)
