"""Find the images of a task with their splits, labels, masks and groups, by names alone (no image is decoded).

There is one file per published layout. A task folder is read by the first one that it fits:

    meta_json   UniVAD: meta.json lists images, labels and masks
    brats       MedIAnomaly's BraTS 2021: train/*, test/{normal,tumor,annotation}
    folders     ours, BMAD, MVTec: labels are names of folders; masks beside, below or among them
    data_json   DDAD, MedIAnomaly: data.json lists the files under images/
    isic        ISIC 2018: Training_Input, Test_Input and their tables

Folder names are matched whole and without regard to case: good or normal; bad, ungood, abnormal or anomaly. A part of
a name never counts, so `Ungood` is not `good`. Order is natural (2 before 10) and the same on every platform. Files
that are not used join `TaskFiles.left_out` with their count and the reason, and one warning names them all. Files that
are no data (see `folder_walk`) are skipped without a word.

To add a layout
---------------
1. Write `layouts/<name>.py` with one function `read_<name>(folder) -> TaskFiles | None`: None where the folder has
   another layout, LayoutError where it has this one and something in it is wrong. `brats.py` is the shortest example.
   `folder_walk` lists files, `mask_pairing` gives masks to images, `json_listing` reads files that list images, and
   `left_out` records files that are not used.
2. Put it into `READERS` below, before every layout that would read such a folder wrongly.
3. Where the folder has neither train/ nor test/ nor a data.json, let `is_task_folder` recognise it too.
4. Add a line to the table above, and a test to `tests/data/test_published_layouts.py`.

`after_reading` then does what all layouts share: it names unused files beside the layout, refuses empty splits and
reads groups.csv.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from d24fad_lite.data.layouts.after_reading import finish_task
from d24fad_lite.data.layouts.brats import read_brats
from d24fad_lite.data.layouts.data_json import has_data_json, read_data_json
from d24fad_lite.data.layouts.folder_names import EXPECTED
from d24fad_lite.data.layouts.folder_walk import subfolders
from d24fad_lite.data.layouts.folders import read_folders
from d24fad_lite.data.layouts.isic import isic_folders, read_isic
from d24fad_lite.data.layouts.meta_json import read_meta_json
from d24fad_lite.data.layouts.task_files import LayoutError, TaskFiles

READERS: tuple[Callable[[Path], TaskFiles | None], ...] = (
    read_meta_json,
    read_brats,
    read_folders,
    read_data_json,
    read_isic,
)


def is_task_folder(folder: Path) -> bool:
    """Whether a folder holds train/ or test/ (any case), a data.json, or ISIC's folders."""
    return bool(has_data_json(folder) or subfolders(folder, ("train", "test")) or isic_folders(folder))


def read_task(folder: Path) -> TaskFiles:
    """Read one task folder with the first layout that it fits.

    LayoutError: no layout fits, a split is missing or empty, a mask has no image, or a listing has a bad entry.
    """
    for read in READERS:
        task = read(folder)
        if task is not None:
            finish_task(task)
            return task
    raise LayoutError(f"task '{folder.name}' at '{folder}' is empty or of no known layout; expected {EXPECTED}")
