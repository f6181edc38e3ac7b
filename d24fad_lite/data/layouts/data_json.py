"""DDAD and MedIAnomaly: data.json lists the files under images/ by split and label, "0" is normal.

    data.json {"train": {"0": [...], "unlabeled": {...}}, "test": {"0": [...], "1": [...]}}

Training files that are listed under other names than "0" are not used; they are counted and named.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from d24fad_lite.data.layouts.folder_names import MASK_FOLDERS, SPLITS
from d24fad_lite.data.layouts.folder_walk import grouped, list_folders, list_images, subfolders
from d24fad_lite.data.layouts.json_listing import listed_file, posix, read_listing
from d24fad_lite.data.layouts.left_out import LeftOut
from d24fad_lite.data.layouts.mask_pairing import Owners, attach_mask_folder, key_of
from d24fad_lite.data.layouts.task_files import LabelledImage, LayoutError, TaskFiles
from d24fad_lite.data.names import composed, natural_key

DATA_JSON = "data.json"


def has_data_json(folder: Path) -> bool:
    """Whether a folder holds a data.json."""
    return (folder / DATA_JSON).is_file()


def read_data_json(folder: Path) -> TaskFiles | None:
    """Read a task that a data.json lists; None without such a file. LayoutError: a bad entry, a missing file."""
    if not has_data_json(folder):
        return None
    path = folder / DATA_JSON
    listing = read_listing(path)
    task = TaskFiles(folder, DATA_JSON, used_folders=list_folders(folder))  # each is listed, or named as unlisted
    for split in SPLITS:
        labels = listing.get(split) if isinstance(listing, dict) else None
        if split == "valid" and labels is None:
            continue
        if not isinstance(labels, dict):
            raise LayoutError(
                f"'{path}' has no object '{split}' that lists files by label, expected "
                '{"train": {"0": [...]}, "test": {"0": [...], "1": [...]}}'
            )
        if images := list(_read_split(path, split, labels, task)):
            task.splits[split] = images
    _attach_masks(task)
    _list_unlisted(task, listing)
    return task


def _read_split(path: Path, split: str, labels: dict[str, Any], task: TaskFiles) -> Iterator[LabelledImage]:
    """The images of one split; files listed under labels that are not used join `left_out`."""
    wanted = ("0",) if split == "train" else ("0", "1")
    for key in (key for key in labels if key not in wanted):
        others = list(_names(labels[key]))
        if others:
            why = f"{split} lists them as {key!r}, which is not used here"
            task.left_out.append(LeftOut(path, len(others), why, others[0]))
    for label in wanted:
        names = labels.get(label, [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise LayoutError(f"'{path}': {split} / {label!r} must be a list of file names, got {type(names).__name__}")
        for name in sorted(names, key=natural_key):
            yield LabelledImage(listed_file(path, name, "images"), int(label))


def _names(value: object) -> Iterator[str]:
    """Every file name in a nested listing."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _names(inner)


def _attach_masks(task: TaskFiles) -> None:
    """Give the masks in folders beside images/ to the images they are named after."""
    mask_folders = subfolders(task.folder, MASK_FOLDERS)
    if not mask_folders:
        return
    anomalous, normal = Owners(), Owners(flat=False)
    for image in (image for images in task.splits.values() for image in images):
        key = key_of(image.path.relative_to(task.folder))
        (anomalous if image.label else normal).add(image, key, *key.split("/", 1)[1:])
    for folder in mask_folders:
        attach_mask_folder(task, anomalous, normal, folder)


def _list_unlisted(task: TaskFiles, listing: object) -> None:
    """Add files that the listing does not name to `left_out`; those it names for other uses are counted already."""
    used = {image.path for images in task.splits.values() for image in images}
    named = {composed(posix(name).as_posix()) for name in _names(listing)}
    for folder in list_folders(task.folder):
        if folder.name.lower() in MASK_FOLDERS:
            continue
        unlisted = [
            path
            for path in list_images(folder, task.left_out)
            if path not in used
            and not named & {composed(path.relative_to(top).as_posix()) for top in (folder, task.folder)}
        ]
        if unlisted:
            task.left_out.append(grouped(folder, unlisted, f"not listed in {DATA_JSON}"))
