"""UniVAD (and others after it): meta.json lists images of MVTec-like folders, with their labels and masks.

    meta.json {"train": {CLASS: [{"img_path": "train/good/000.png", "mask_path": "", "specie_name": "good",
                                  "anomaly": 0}, ...]}, "test": {CLASS: [...]}}

The file lies in the task's folder, or in the folder above; there, paths begin with the task's name. Labels and masks
are those of the listing, whatever the folders are called. Files of train/ and test/ that it does not list are counted
and named.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeGuard

from d24fad_lite.data.layouts.folder_names import GOOD_FOLDERS, MASK_FOLDERS, SPLIT_FOLDERS, SPLITS
from d24fad_lite.data.layouts.folder_walk import grouped, list_images, subfolders
from d24fad_lite.data.layouts.json_listing import listed_file, posix, read_listing
from d24fad_lite.data.layouts.task_files import LabelledImage, LayoutError, TaskFiles
from d24fad_lite.data.names import composed, natural_key

META_JSON = "meta.json"
Entries = dict[str, list[dict[str, Any]]]  # by split


def read_meta_json(folder: Path) -> TaskFiles | None:
    """Read a task that a meta.json lists; None without train/ and test/, or where no meta.json lists the folder.

    LayoutError: a listed file is missing, or an anomaly is neither 0 nor 1.
    """
    if not subfolders(folder, ("train", "test")):
        return None
    listed = _entries_of(folder)
    return None if listed is None else _read_entries(folder, *listed)


def _entries_of(folder: Path) -> tuple[Path, Entries] | None:
    """The meta.json that lists a task folder, and its entries by split; None where there is none."""
    for path in (folder / META_JSON, folder.parent / META_JSON):
        if not path.is_file():
            continue
        inside = path.parent == folder
        if not inside and not is_listing(path):
            continue
        listing = read_listing(path)
        if not _is_meta(listing):
            continue
        entries = {
            split: [
                entry
                for of_class in listing.get(split, {}).values()
                for entry in of_class
                if inside or _first_part(entry["img_path"]) == composed(folder.name)
            ]
            for split in SPLITS
        }
        if any(entries.values()):
            return path, entries
    return None


def is_listing(path: Path) -> bool:
    """Whether a file is a meta.json of this form."""
    try:
        return path.name == META_JSON and _is_meta(read_listing(path))
    except (LayoutError, OSError):
        return False


def _is_meta(listing: object) -> TypeGuard[dict[str, Any]]:
    """Whether the content of a meta.json has the form above; other programs use that name too."""
    if not isinstance(listing, dict) or not isinstance(listing.get("test"), dict):
        return False
    parts = [part for split in SPLITS for part in _values(listing.get(split, {}))]
    return bool(parts) and all(
        isinstance(part, list)
        and all(isinstance(entry, dict) and isinstance(entry.get("img_path"), str) for entry in part)
        for part in parts
    )


def _values(part: object) -> list[object]:
    """The lists of entries of a split; where it is no object, the split itself, which `_is_meta` then refuses."""
    return list(part.values()) if isinstance(part, dict) else [part]


def _first_part(name: str) -> str:
    """The first folder of a listed path."""
    parts = posix(name).parts
    return composed(parts[0]) if parts else ""


def _read_entries(folder: Path, path: Path, entries: Entries) -> TaskFiles:
    """The task that the entries of the listing at `path` describe."""
    task = TaskFiles(folder, META_JSON, used_folders=subfolders(folder, MASK_FOLDERS | SPLIT_FOLDERS))
    for split, listed in entries.items():
        images = [_image(path, entry) for entry in sorted(listed, key=lambda entry: natural_key(entry["img_path"]))]
        anomalous = [image for image in images if image.label == 1]
        if split == "train" and anomalous:
            task.left_out.append(
                grouped(folder, [image.path for image in anomalous], "training sees normal images only")
            )
            images = [image for image in images if image.label == 0]
        if images:
            task.splits[split] = sorted(images, key=lambda image: image.label)
    _list_unlisted(task)
    return task


def _image(path: Path, entry: dict[str, Any]) -> LabelledImage:
    """The image of one entry of the listing at `path`."""
    name, label = entry["img_path"], entry.get("anomaly")
    if label not in (0, 1):
        raise LayoutError(f"'{path}': {name!r} has anomaly {label!r}, expected 0 (normal) or 1")
    mask = entry.get("mask_path") or ""
    kind = entry.get("specie_name")
    shown = kind if label == 1 and isinstance(kind, str) and kind.lower() not in GOOD_FOLDERS else None
    return LabelledImage(
        listed_file(path, name), int(label), listed_file(path, mask) if mask and label else None, shown
    )


def _list_unlisted(task: TaskFiles) -> None:
    """Add files of train/, test/ and the mask folders that the listing does not name to `left_out`."""
    used = {path for images in task.splits.values() for image in images for path in (image.path, image.mask)}
    used |= {item.path for item in task.left_out}
    for folder in task.used_folders:
        unlisted = [path for path in list_images(folder, task.left_out) if path not in used]
        if unlisted:
            task.left_out.append(grouped(folder, unlisted, f"not listed in {META_JSON}"))
